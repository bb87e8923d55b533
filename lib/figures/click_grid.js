// The board of lib.figures.widgets.ClickGrid: squares to click on, to drag over, or to reach with the arrow keys.
const STEPS = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] };

function render({ model, el }) {
  const [rows, columns, side] = [model.get("rows"), model.get("columns"), model.get("pixels")];
  const board = Object.assign(document.createElement("div"), { tabIndex: 0, className: "board" });
  const places = `repeat(${rows}, ${side}px) / repeat(${columns}, ${side}px)`;
  board.style.cssText = `display: inline-grid; grid-template: ${places}; cursor: pointer; touch-action: none; user-select: none`;
  const squares = Array.from({ length: rows * columns }, (_, number) => {
    const title = `row ${Math.floor(number / columns)}, column ${number % columns}`;
    return Object.assign(document.createElement("div"), { title });
  });
  board.append(...squares);

  const draw = () => {
    const [row, column] = model.get("value");
    squares.forEach((square, number) => {
      const color = number === row * columns + column ? "#D55E00" : "#DDD";
      square.style.cssText = `background: ${color}; margin: 1px; border-radius: 2px`;
    });
  };
  const move = (row, column) => {
    const inside = (number, count) => Math.min(count - 1, Math.max(0, number));
    model.set("value", [inside(row, rows), inside(column, columns)]);
    model.save_changes(); // it holds the newest value back while the kernel still draws an older one
  };
  const follow = (event) => {
    const box = board.getBoundingClientRect();
    move(Math.floor((event.clientY - box.top) / side), Math.floor((event.clientX - box.left) / side));
  };

  board.addEventListener("pointerdown", (event) => {
    board.setPointerCapture(event.pointerId);
    follow(event);
  });
  board.addEventListener("pointermove", (event) => event.buttons && follow(event));
  board.addEventListener("keydown", (event) => {
    if (!(event.key in STEPS)) return;
    event.preventDefault(); // else the page scrolls,
    event.stopPropagation(); // and JupyterLab selects another cell
    const [down, across] = STEPS[event.key];
    const [row, column] = model.get("value");
    move(row + down, column + across);
  });
  model.on("change:value", draw);
  draw();
  el.append(board);
}

export default { render };

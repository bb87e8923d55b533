// The pad of lib.figures.widgets.PlanePoint: a picture of a plane with a cross that follows the pointer or the arrow keys.
const STEPS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] };
const PAUSE = 120; // milliseconds between two messages while the pointer moves

function render({ model, el }) {
  const [low, high, side] = [model.get("low"), model.get("high"), model.get("pixels")];
  const canvas = document.createElement("canvas");
  Object.assign(canvas, { width: side, height: side, tabIndex: 0, className: "plane" });
  canvas.style.cssText = `width: ${side}px; border: 1px solid #888; cursor: crosshair; touch-action: none`;
  const context = canvas.getContext("2d");
  const picture = new Image();
  let point = model.get("value");
  let timer = null;

  const draw = () => {
    context.clearRect(0, 0, side, side);
    context.drawImage(picture, 0, 0, side, side);
    const [x, y] = [((point[0] - low) / (high - low)) * side, ((high - point[1]) / (high - low)) * side];
    for (const [color, width] of [["white", 6], ["black", 3]]) {
      context.beginPath();
      for (const [dx, dy] of [[11, 0], [0, 11]]) {
        context.moveTo(x - dx, y - dy);
        context.lineTo(x + dx, y + dy);
      }
      Object.assign(context, { strokeStyle: color, lineWidth: width });
      context.stroke();
    }
  };
  const send = () => {
    timer = null;
    model.set("value", point);
    model.save_changes();
  };
  const move = (x, y) => {
    point = [x, y].map((number) => Math.round(100 * Math.min(high, Math.max(low, number))) / 100);
    draw();
    timer ??= setTimeout(send, PAUSE); // the last place is always sent
  };
  const follow = (event) => {
    const box = canvas.getBoundingClientRect();
    const across = (event.clientX - box.left) / box.width;
    const down = (event.clientY - box.top) / box.height;
    move(low + (high - low) * across, high - (high - low) * down);
  };

  canvas.addEventListener("pointerdown", (event) => {
    canvas.setPointerCapture(event.pointerId);
    follow(event);
  });
  canvas.addEventListener("pointermove", (event) => event.buttons && follow(event));
  canvas.addEventListener("keydown", (event) => {
    if (!(event.key in STEPS)) return;
    event.preventDefault(); // else the page scrolls,
    event.stopPropagation(); // and JupyterLab selects another cell
    const step = (high - low) / 80;
    move(...STEPS[event.key].map((sign, axis) => point[axis] + sign * step));
  });
  model.on("change:value", () => {
    if (timer === null) point = model.get("value"); // while the pointer moves, it knows better
    draw();
  });
  picture.onload = draw;
  picture.src = URL.createObjectURL(new Blob([model.get("background")], { type: "image/png" }));
  el.append(canvas);
  return () => {
    clearTimeout(timer);
    URL.revokeObjectURL(picture.src);
  };
}

export default { render };

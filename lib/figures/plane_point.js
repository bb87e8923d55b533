// The pad of lib.figures.widgets.PlanePoint: a picture of a plane with a cross that follows the pointer or the arrow keys.
const STEPS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] };

function render({ model, el }) {
  const [low, high, side] = [model.get("low"), model.get("high"), model.get("pixels")];
  const canvas = document.createElement("canvas");
  Object.assign(canvas, { width: side, height: side, tabIndex: 0, className: "plane" });
  canvas.style.cssText = `width: ${side}px; border: 1px solid #888; cursor: crosshair; touch-action: none; user-select: none`;
  const context = canvas.getContext("2d");
  const picture = new Image();

  const draw = () => {
    context.clearRect(0, 0, side, side);
    context.drawImage(picture, 0, 0, side, side);
    const point = model.get("value");
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
  const move = (...place) => {
    const inside = (number) => Math.round(100 * Math.min(high, Math.max(low, number))) / 100;
    model.set("value", place.map(inside));
    model.save_changes(); // it holds the newest value back while the kernel still draws an older one
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
    move(...STEPS[event.key].map((sign, axis) => model.get("value")[axis] + sign * step));
  });
  model.on("change:value", draw);
  picture.onload = draw;
  picture.src = URL.createObjectURL(new Blob([model.get("background")], { type: "image/png" }));
  el.append(canvas);
  return () => URL.revokeObjectURL(picture.src);
}

export default { render };

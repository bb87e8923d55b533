// The screen of lib.figures.widgets.GamePlayer: draws the frames, reads keys and buttons, and asks for one frame at a time.
const NAMES = { ArrowUp: "▲", ArrowDown: "▼", ArrowLeft: "◀", ArrowRight: "▶", " ": "space" };

function render({ model, el }) {
  const [height, width, keys] = [model.get("height"), model.get("width"), model.get("controls")];
  const held = [];
  let playing = false;
  let waiting = false;

  const canvas = Object.assign(document.createElement("canvas"), { width, height, tabIndex: 0, className: "game" });
  canvas.style.cssText = `width: ${2 * width}px; image-rendering: pixelated; border: 2px solid #888; outline: none`;
  const context = canvas.getContext("2d");
  const image = context.createImageData(width, height);

  const bar = document.createElement("div");
  const button = (text) => {
    const made = Object.assign(document.createElement("button"), { textContent: text });
    made.style.cssText = "min-width: 3em; margin: 4px 4px 0 0; padding: 4px";
    bar.append(made);
    return made;
  };
  const start = button("Play");
  const counter = document.createElement("span");

  const draw = () => {
    const bytes = model.get("picture");
    for (let i = 0; i < width * height; i++) {
      image.data.fill(bytes.getUint8(i), 4 * i, 4 * i + 3);
      image.data[4 * i + 3] = 255;
    }
    context.putImageData(image, 0, 0);
    counter.textContent = ` ${model.get("count")} frames`;
    waiting = false;
  };
  const tick = () => {
    if (!playing || waiting || model.get("count") >= model.get("limit")) return;
    waiting = true;
    model.send({ action: held.length ? keys[held[held.length - 1]] : model.get("idle") });
  };
  const press = (key) => held.includes(key) || held.push(key);
  const release = (key) => held.includes(key) && held.splice(held.indexOf(key), 1);
  const toggle = () => {
    playing = !playing;
    start.textContent = playing ? "Pause" : "Play";
    canvas.style.borderColor = playing ? "#D55E00" : "#888";
    canvas.focus();
  };

  start.addEventListener("click", toggle);
  for (const key of Object.keys(keys)) {
    const made = button(NAMES[key] ?? key);
    made.addEventListener("pointerdown", () => press(key));
    for (const event of ["pointerup", "pointerleave"]) made.addEventListener(event, () => release(key));
  }
  for (const [event, act] of [["keydown", press], ["keyup", release]])
    canvas.addEventListener(event, (pressed) => {
      if (!(pressed.key in keys)) return;
      pressed.preventDefault(); // else the page scrolls,
      pressed.stopPropagation(); // and JupyterLab selects another cell
      act(pressed.key);
    });
  canvas.addEventListener("blur", () => held.splice(0));

  bar.append(counter);
  el.append(canvas, bar);
  model.on("change:count", draw);
  draw();
  const timer = setInterval(tick, 1000 / model.get("fps"));
  return () => clearInterval(timer);
}

export default { render };

// The map of a layer: a square for each unit.

const [LEAST_SQUARE, LARGEST_SQUARE] = [20, 40]; // pixels

/** The layout of the squares. */
function mapGrid() {
  const width = element("layer-map").clientWidth;
  const units = focus.data.hidden_size;
  const columns = Math.max(1, Math.min(units, Math.floor(width / LEAST_SQUARE)));
  return { width, units, columns, size: Math.min(LARGEST_SQUARE, width / columns) };
}

function showMap() {
  const canvas = element("layer-map");
  const { width, units, columns, size } = mapGrid();
  const density = window.devicePixelRatio || 1;
  const height = Math.ceil(units / columns) * size;
  canvas.style.height = `${height}px`;
  if (canvas.width !== Math.round(width * density) || canvas.height !== Math.round(height * density)) {
    canvas.width = Math.round(width * density);
    canvas.height = Math.round(height * density);
  }
  const style = getComputedStyle(document.body);
  const colors = Object.fromEntries(
    ["--positive", "--negative", "--ink", "--track"].map((name) => [name, style.getPropertyValue(name).trim()]),
  );
  const remembered = focus.shown(position).state.layers[focus.layer - 1][focus.data.memory];
  const context = canvas.getContext("2d");
  context.setTransform(density, 0, 0, density, 0, 0);
  context.clearRect(0, 0, width, height);
  for (let number = 0; number < units; number += 1) {
    const [x, y] = [(number % columns) * size, Math.floor(number / columns) * size];
    const [name, opacity] = signedColor(activity(focus, remembered[number]));
    for (const color of [colors["--track"], `rgb(${colors[name]} / ${opacity / STRONGEST})`]) {
      context.fillStyle = color;
      context.fillRect(x + 1, y + 1, size - 2, size - 2);
    }
    if (number === focus.unit - 1) {
      context.strokeStyle = colors["--ink"];
      context.lineWidth = 2;
      context.strokeRect(x + 1, y + 1, size - 2, size - 2);
    }
  }
}

/** The unit under the mouse, from 1; undefined if there is none. */
function unitAt(event) {
  const { units, columns, size } = mapGrid();
  const column = Math.floor(event.offsetX / size);
  const found = Math.floor(event.offsetY / size) * columns + column + 1;
  return column < columns && found >= 1 && found <= units ? found : undefined;
}

element("layer-map").addEventListener("click", (event) => unitAt(event) && choose(focus.layer, unitAt(event)));
element("layer-map").addEventListener("mousemove", (event) => {
  const found = unitAt(event);
  event.target.title = found ? `unit ${focus.layer}.${found}` : "";
});
window.addEventListener("resize", showMap);
window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", showMap);

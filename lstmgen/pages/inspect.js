// What is shown, and what the reader chooses. The scripts before this one: base, inspect_values, inspect_cell.

let timer = null;
let picked = []; // the characters that are marked because attention looked at them

// The text

const characters = data.text.map((token, step) => {
  const span = document.createElement("span");
  span.textContent = data.tokens[token].shown;
  span.dataset.step = step;
  return span;
});

function paintText() {
  const name = element("color").value;
  characters.forEach((span, step) => {
    span.style.backgroundColor = css(colorOf(name, value(name, step)));
  });
  element("scale").style.background = gates.includes(name)
    ? `linear-gradient(to right, ${css(gateColor(0))}, ${css(gateColor(1))})`
    : `linear-gradient(to right, ${[-1, -0.5, 0, 0.5, 1].map((value) => css(signedColor(value))).join(", ")})`;
  element("scale-from").textContent = gates.includes(name) ? "0" : "\u22121";
  element("scale-to").textContent = name === "cell" ? "1: tanh of the cell state" : "1";
}

/** Scroll the text, not the page, so that the current character is visible. */
function keepVisible(span) {
  const text = element("text");
  const [box, own] = [text.getBoundingClientRect(), span.getBoundingClientRect()];
  if (own.top < box.top + 24 || own.bottom > box.bottom - 24) {
    text.scrollTop += own.top - box.top - box.height / 3;
  }
}

function markAttention() {
  for (const span of picked) {
    span.style.boxShadow = "";
  }
  picked = (data.attention?.[position] ?? []).map(([back, weight]) => {
    const span = characters[position - back];
    const [height, opacity] = [3 + 8 * weight, Math.min(1, 0.4 + 2 * weight)];
    span.style.boxShadow = `inset 0 -${height.toFixed(1)}px rgb(var(--picked) / ${opacity.toFixed(2)})`;
    return span;
  });
}

// The walk: one row with a bar for each line of the explanation

const rows = data.lines.map((line) => {
  const row = create("div", "row");
  const head = create("div", "");
  const shown = { numbers: create("span", "faint numbers"), value: create("span", "value") };
  const equation = create("span", "equation", `${line.letter} = ${line.equation}`);
  const named = create("div", "named");
  named.append(create("b", "", line.name), equation, shown.numbers);
  head.append(named, shown.value);
  const filled = bar(0, gates.includes(line.value) ? "bar" : "bar signed");
  row.append(head, filled, create("div", "faint", line.meaning));
  shown.value.dataset.value = line.value;
  element("rows").append(row);
  return { line, row, fill: filled.firstChild, ...shown };
});

function fillBar(fill, name, value) {
  const shown = name === "cell" ? activity(value) : value;
  const width = gates.includes(name) ? value : Math.abs(shown) / 2;
  fill.style.left = gates.includes(name) ? "0" : `${50 - (shown < 0 ? 100 * width : 0)}%`;
  fill.style.width = `${100 * width}%`;
  const color = gates.includes(name) ? "--gate" : shown < 0 ? "--negative" : "--positive";
  fill.style.background = `rgb(var(${color}))`;
}

function showWalk() {
  for (const { line, row, ...shown } of rows) {
    const now = value(line.value, position);
    row.hidden = now === undefined || (part > 0 && line.part !== parts[part - 1]);
    if (row.hidden) continue;
    shown.value.textContent = number(now);
    shown.numbers.textContent = hasGates() ? numbers(line, position) : "";
    fillBar(shown.fill, line.value, now);
  }
  element("without-gates").hidden = hasGates();
}

/** Show fractions by bars: of each a token, the fraction, and a remark. */
function showFractions(list, fractions, color) {
  list.replaceChildren(
    ...fractions.map(([name, fraction, remark]) => {
      const item = create("li", "likely");
      const filled = bar(fraction);
      filled.firstChild.style.background = `rgb(var(${color}))`;
      item.append(create("span", "token", name), filled, create("span", "number", percent(fraction)));
      item.append(create("span", "came", remark));
      return item;
    }),
  );
}

function showPredictions() {
  const next = data.text[position + 1];
  const likely = data.predictions[position];
  showFractions(
    element("predictions"),
    likely.map(([token, fraction]) => [data.tokens[token].name, fraction, token === next ? "came next" : ""]),
    "--gate",
  );
  if (data.attention) {
    const looked = data.attention[position].map(([back, weight]) => [nameAt(position - back), weight, `${back} back`]);
    showFractions(element("attention"), looked, "--picked");
  }
}

const where = () => `${data.token} ${position + 1} of ${count(time)}: ${inWords(nameAt(position))}`;

function showStatus() {
  const likely = data.predictions[position].slice(0, 3);
  const next = likely.map(([token, fraction]) => `${inWords(data.tokens[token].name)} ${percent(fraction)}`);
  element("where").textContent = `Unit ${layer}.${unit} at ${where()}`;
  element("does").textContent = sentence(position);
  element("next").textContent = `Likely next: ${next.join(", ")}.`;
}

// The map of a layer: a square for each unit

const [LEAST_SQUARE, LARGEST_SQUARE] = [20, 40]; // pixels
/** How its squares are laid out. */
function mapGrid() {
  const width = element("layer-map").clientWidth;
  const units = layers[layer - 1].lowest.length;
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
  const context = canvas.getContext("2d");
  context.setTransform(density, 0, 0, density, 0, 0);
  context.clearRect(0, 0, width, height);
  for (let number = 0; number < units; number += 1) {
    const [x, y] = [(number % columns) * size, Math.floor(number / columns) * size];
    const [name, opacity] = signedColor(activity(memory(layer, number + 1, position)));
    const edge = hasGates(number + 1) ? 1 : size / 5;
    for (const color of [colors["--track"], `rgb(${colors[name]} / ${opacity / STRONGEST})`]) {
      context.fillStyle = color;
      context.fillRect(x + edge, y + edge, size - 2 * edge, size - 2 * edge);
    }
    if (number === unit - 1) {
      context.strokeStyle = colors["--ink"];
      context.lineWidth = 2;
      context.strokeRect(x + 1, y + 1, size - 2, size - 2);
    }
  }
}

/** The unit under the mouse, from 1; undefined where there is none. */
function unitAt(event) {
  const { units, columns, size } = mapGrid();
  const column = Math.floor(event.offsetX / size);
  const found = Math.floor(event.offsetY / size) * columns + column + 1;
  return column < columns && found >= 1 && found <= units ? found : undefined;
}

// What the reader chooses

function go(step) {
  characters[position].classList.remove("now");
  position = Math.max(0, Math.min(time - 1, step));
  characters[position].classList.add("now");
  element("position").value = position;
  element("position").setAttribute("aria-valuetext", where());
  keepVisible(characters[position]);
  markAttention();
  showCell(position);
  showWalk();
  showPredictions();
  showStatus();
  showMap();
}

function choose(newLayer, newUnit) {
  layer = newLayer;
  unit = Math.max(1, Math.min(layers[layer - 1].lowest.length, Math.round(newUnit) || 1));
  element("layer").value = layer;
  element("unit").value = unit;
  const tracked = element("tracked");
  const name = `${layer}.${unit}`;
  if (tracked.value !== name) tracked.value = name; // two features may have the same unit
  if (tracked.selectedIndex < 0) tracked.value = "";
  for (const option of element("color").options) {
    option.disabled = value(option.value, 0) === undefined;
  }
  if (element("color").selectedOptions[0].disabled) element("color").value = data.memory;
  element("map-title").textContent = `Layer ${layer}: what each unit remembers after this ${data.token}`;
  const label = `Layer ${layer}: a square for each unit. Choose a unit by its number above.`;
  element("layer-map").setAttribute("aria-label", label);
  paintText();
  go(position);
}

/** Choose a unit by its name, such as 1.5. */
function chooseNamed(name) {
  choose(...name.split(".").map(Number));
}

function pause() {
  clearInterval(timer);
  timer = null;
  element("play").textContent = "\u25b6 Play";
  element("status").setAttribute("aria-live", "polite");
}

function play() {
  pause();
  if (position === time - 1) go(0);
  element("status").setAttribute("aria-live", "off"); // a screen reader could not keep up
  element("play").textContent = "\u23f8 Pause";
  timer = setInterval(() => {
    go(position + 1);
    if (position === time - 1) pause();
  }, 1000 / element("speed").value);
}

const toggle = () => (timer === null ? play() : pause());
const keys = {
  ArrowRight: () => go(position + 1),
  ArrowLeft: () => go(position - 1),
  Home: () => go(0),
  End: () => go(time - 1),
  " ": toggle,
};

function choosePart(chosen) {
  showPart(chosen);
  showWalk();
}

for (const button of element("parts").children) {
  const number = Number(button.dataset.part);
  keys[number] = () => choosePart(number);
  button.addEventListener("click", keys[number]);
}

document.addEventListener("keydown", (event) => {
  const { target, key } = event;
  const elsewhere = target !== document.body && !element("player").contains(target);
  const scrolls = target.matches(".cell") && target.scrollWidth > target.clientWidth && key.startsWith("Arrow");
  const ownKeys = scrolls || target.matches("select, input[type=number]") || (target.matches("button") && key === " ");
  if (elsewhere || ownKeys || event.ctrlKey || event.altKey || event.metaKey || !(key in keys)) return;
  event.preventDefault();
  if (key.length > 1) pause(); // an arrow
  keys[key]();
});

element("text").append(...characters);
element("text").addEventListener("click", ({ target }) => {
  if (target.dataset.step !== undefined) go(Number(target.dataset.step));
});
element("position").addEventListener("input", ({ target }) => go(Number(target.value)));
element("layer").addEventListener("change", ({ target }) => choose(Number(target.value), unit));
element("unit").addEventListener("change", ({ target }) => choose(layer, Number(target.value)));
element("color").addEventListener("change", paintText);
element("speed").addEventListener("change", () => timer !== null && play());
element("play").addEventListener("click", toggle);
element("tracked").addEventListener("change", ({ target }) => target.value && chooseNamed(target.value));
element("layer-map").addEventListener("click", (event) => unitAt(event) && choose(layer, unitAt(event)));
element("layer-map").addEventListener("mousemove", (event) => {
  const found = unitAt(event);
  event.target.title = found ? `unit ${layer}.${found}: ${number(memory(layer, found, position))}` : "";
});
for (const button of document.querySelectorAll("button[data-unit]")) {
  button.addEventListener("click", () => {
    chooseNamed(button.dataset.unit);
    element("player").scrollIntoView();
    element("text").focus({ preventScroll: true });
  });
}
window.addEventListener("resize", showMap);
window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", showMap);

for (const shown of document.querySelectorAll(".attentive")) {
  shown.hidden = data.attention === null;
}
element("speed").value = "5";
pause();
showPart(0);
choose(layer, unit);

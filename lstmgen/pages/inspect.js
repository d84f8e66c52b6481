// The controls of the page. Runs after base, engine, vocabulary, sampling, work, reading, unit, lesions, influence,
// likeness, panel, inspect_text, walk, unit_map and other_text.

const NEXT = 50; // how many characters after a lesion its cost is measured over

const readings = data.networks.map((network) => new Reading(network));
const panels = readings.map((reading, number) => new Panel(reading, element(`network-${number}`)));
let focus = readings[0]; // the network whose equations are shown, and whose unit colours the text
let timer = null; // set while the text plays
let anchor = null; // where the stretch begins that Shift and an arrow key extend

const known = () => Math.min(...readings.map((reading) => reading.known));

// Reading: the networks read in pieces, and the cursor can go as far as all of them have read

function* readAll() {
  while (known() < text.length) {
    for (const reading of readings) if (reading.known < text.length) reading.readNext(text);
    yield;
  }
}

function read() {
  let painted = known();
  paintText(painted);
  start("read", readAll(), () => {
    const fraction = known() / text.length;
    element("progress").hidden = fraction === 1;
    element("read").value = fraction;
    paintText(painted, known());
    painted = known();
    if (harm && known() > position) for (const panel of panels) panel.showLoss();
    if (fraction === 1) findAgain();
  });
}

/** Read another text; the networks keep what they have read of its beginning if it is the same. */
function setText(characters) {
  pause();
  let same = 0;
  while (same < text.length && text[same] === characters[same]) same++;
  for (const reading of readings) reading.cut(same);
  if (harm && !readings.some(({ lesion }) => lesion)) heal();
  stretch = null;
  writeText(characters);
  for (const reading of readings) if (reading.known === 0) reading.readNext(text);
  go(position);
  read();
}

// Influence and likeness depend on the current character or stretch, so each move starts them again

function findAgain() {
  for (const name of ["influence", "likeness"]) {
    tasks.delete(name);
    for (const panel of panels) panel.part(name).hidden = true;
  }
  effects = new Map();
  likenesses = new Map();
  if (mode === "influence") start("influence", findInfluence(position), showInfluence);
  if (mode === "likeness" && known() === text.length) start("likeness", findLikeness(stretchNow()), () => paintText());
}

/** The network in focus first. */
const inOrder = () => [...panels].sort((one, other) => (other.reading === focus) - (one.reading === focus));

function* findInfluence(step) {
  const neutral = neutralOf(text);
  const [first, second] = neutral.map((character) => (character === " " ? "a space" : inWords(nameOf(character))));
  element("neutral").textContent = second ? `${first} (or ${second} where it already is ${first})` : first;
  for (const panel of inOrder()) {
    effects.set(panel.reading, {});
    yield* influence(panel.reading, text, step, neutral, effects.get(panel.reading));
  }
}

function showInfluence() {
  paintText(position - FARTHEST, position + 1);
  for (const panel of panels) {
    if (effects.has(panel.reading)) panel.showInfluence(effects.get(panel.reading), position);
  }
}

function* findLikeness(chosen) {
  const layer = Number(element("alike").value) || null;
  for (const panel of inOrder()) {
    likenesses.set(panel.reading, []);
    yield* compare(directions(panel.reading, layer), chosen, likenesses.get(panel.reading));
    panel.showLikeness(likenesses.get(panel.reading), chosen);
  }
}

function setMode(chosen) {
  mode = chosen;
  for (const button of element("modes").children) button.setAttribute("aria-pressed", button.dataset.mode === mode);
  for (const box of document.querySelectorAll("[data-for]")) box.hidden = !box.dataset.for.split(" ").includes(mode);
  findAgain();
  paintText();
}

// Moving

function go(step, longer = false) {
  position = Math.max(0, Math.min(known() - 1, step));
  if (longer) stretch = [Math.min(anchor, position), Math.max(anchor, position)];
  element("position").value = position;
  element("position").setAttribute("aria-valuetext", where(position));
  keepVisible(spans[position]);
  markText();
  for (const panel of panels) panel.show(position);
  showWalk();
  showMap();
  if (mode === "influence" || mode === "likeness") findAgain();
}

/** Move, and extend the stretch. */
function extend(step) {
  anchor ??= position;
  if (mode !== "likeness") setMode("likeness");
  go(step, true);
}

function clearStretch() {
  [stretch, anchor] = [null, null];
  go(position);
}

// Choosing a network and a unit

function choose(layer, unit) {
  const { layers, hidden_size, name } = focus.data;
  focus.layer = Math.max(1, Math.min(layers, layer));
  focus.unit = Math.max(1, Math.min(hidden_size, Math.round(unit) || 1));
  element("layer").value = focus.layer;
  element("unit").value = focus.unit;
  const tracked = element("tracked");
  const chosen = `${focus.layer}.${focus.unit}`;
  if (tracked.value !== chosen) tracked.value = chosen; // two features may have the same unit
  if (tracked.selectedIndex < 0) tracked.value = "";
  element("map-title").textContent = `Layer ${focus.layer} of ${name}: what each unit remembers`;
  const label = `Layer ${focus.layer}: one square per unit. Choose a unit by its number above.`;
  element("layer-map").setAttribute("aria-label", label);
  paintText();
  go(position);
}

/** Choose a unit by its name, such as 1.5. */
const chooseNamed = (name) => choose(...name.split(".").map(Number));

function options(list, texts) {
  list.replaceChildren(...texts.map(([value, label]) => new Option(label, value)));
}

/** Put a network in focus. */
function turnTo(reading) {
  focus = reading;
  const { data: own } = focus;
  element("network").value = readings.indexOf(focus);
  for (const panel of panels) {
    panel.root.classList.toggle("focus", panel.reading === focus);
    panel.part("turn").setAttribute("aria-pressed", panel.reading === focus);
  }
  options(element("layer"), Array.from({ length: own.layers }, (_, number) => [number + 1, number + 1]));
  element("unit").max = own.hidden_size;
  options(element("tracked"), [["", "–"], ...own.tracked]);
  const memoryFirst = [...own.lines].sort((one, other) => (other.value === own.memory) - (one.value === own.memory));
  options(element("color"), memoryFirst.map(({ value, name }) => [value, name]));
  element("writer").textContent = own.name;
  announce();
  panels[readings.indexOf(focus)].part("equations").append(element("rows"));
  makeRows();
  makeParts();
  showPart(part);
  choose(focus.layer, focus.unit);
}

/** A screen reader announces only the network in focus, and nothing while the text plays, because it could not keep up. */
function announce() {
  for (const panel of panels) {
    const live = timer === null && panel.reading === focus ? "polite" : "off";
    for (const part of ["status", "harm"]) panel.part(part).setAttribute("aria-live", live);
  }
}

// Playing

function pause() {
  clearInterval(timer);
  timer = null;
  announce();
  element("play").textContent = "\u25b6 Play";
}

function play() {
  pause();
  if (position === text.length - 1) go(0);
  timer = setInterval(() => {
    go(position + 1);
    if (position === text.length - 1) pause();
  }, 1000 / element("speed").value);
  announce();
  element("play").textContent = "\u23f8 Pause";
}

const toggle = () => (timer === null ? play() : pause());

// Keys and clicks

const steps = { ArrowRight: () => position + 1, ArrowLeft: () => position - 1, Home: () => 0, End: () => text.length - 1 };
// Other keys, in the order in which the page lists them
const keys = {
  " ": toggle,
  Escape: clearStretch,
  u: () => setMode("unit"),
  s: () => setMode("surprisal"),
  i: () => setMode("influence"),
  a: () => setMode("likeness"),
  l: toggleLesion,
  n: () => turnTo(readings[(readings.indexOf(focus) + 1) % readings.length]),
  w: write,
};

document.addEventListener("keydown", (event) => {
  const { target, key } = event;
  const elsewhere = target !== document.body && !element("player").contains(target);
  const scrolls = target.matches(".cell") && target.scrollWidth > target.clientWidth && key.startsWith("Arrow");
  const types = target.matches("select, textarea, input:not(#position)") || (target.matches("button, summary") && key === " ");
  if (elsewhere || scrolls || types || event.ctrlKey || event.altKey || event.metaKey) return;
  if (key in steps) {
    pause();
    if (event.shiftKey) extend(steps[key]());
    else {
      anchor = null;
      go(steps[key]());
    }
  } else if (/^\d$/.test(key) && element("parts").children[key]) showPart(Number(key));
  else if (key in keys) keys[key]();
  else return;
  event.preventDefault();
});

element("text").addEventListener("mousedown", (event) => event.shiftKey && event.preventDefault()); // no browser selection
element("text").addEventListener("click", (event) => {
  const step = stepOf(event.target);
  const selected = getSelection();
  const ends = [selected.anchorNode, selected.focusNode].map(stepOf);
  if (event.shiftKey && step !== undefined) extend(step);
  else if (!selected.isCollapsed && !ends.includes(undefined)) {
    [anchor] = ends; // the reader dragged
    selected.removeAllRanges();
    extend(ends[1]);
  } else if (step !== undefined) {
    anchor = null;
    go(step);
  }
});
element("position").addEventListener("input", ({ target }) => go(Number(target.value)));
element("network").addEventListener("change", ({ target }) => turnTo(readings[target.value]));
element("layer").addEventListener("change", ({ target }) => choose(Number(target.value), focus.unit));
element("unit").addEventListener("change", ({ target }) => choose(focus.layer, Number(target.value)));
element("color").addEventListener("change", () => paintText());
element("alike").addEventListener("change", findAgain);
element("speed").addEventListener("change", () => timer !== null && play());
element("play").addEventListener("click", toggle);
element("harm").addEventListener("click", toggleLesion);
element("write").addEventListener("click", write);
element("read-own").addEventListener("click", readOwn);
element("read-first").addEventListener("click", () => setText([...data.text]));
element("temperature").addEventListener("input", ({ target }) => {
  element("temperature-value").textContent = Number(target.value).toFixed(2);
});
element("tracked").addEventListener("change", ({ target }) => target.value && chooseNamed(target.value));
for (const panel of panels) panel.part("turn").addEventListener("click", () => turnTo(panel.reading));
for (const button of document.querySelectorAll("button[data-unit]")) {
  button.addEventListener("click", () => {
    turnTo(readings[button.closest("[data-network]").dataset.network]);
    chooseNamed(button.dataset.unit);
    element("player").scrollIntoView();
    element("text").focus({ preventScroll: true });
  });
}

for (const name of MODES) {
  const button = create("button", "", name);
  button.type = "button";
  button.dataset.mode = name;
  button.addEventListener("click", () => setMode(name));
  element("modes").append(button);
}
const layerNumbers = Array.from({ length: Math.max(...data.networks.map(({ layers }) => layers)) }, (_, number) => number + 1);
const inLayers = layerNumbers.map((number) => [number, `layer ${number}`]);
options(element("alike"), [["", "all layers"], ...inLayers]);
options(element("lesion-at"), [["all", "all layers"], ...inLayers, ["unit", "the chosen unit"]]);
options(element("lesion"), Object.entries(LESIONS).map(([name, [label]]) => [name, label]));
element("speed").value = "5";
heal();
writeText([...data.text]);
for (const reading of readings) reading.readNext(text);
turnTo(focus);
setMode(mode);
pause();
read();

// The coloured text, and the stretch of it that the reader chose.

const MODES = ["unit", "surprisal", "influence", "likeness"];
let mode = "unit"; // what the colours mean
let text = []; // characters
let position = 0; // the character that all networks have just read
let stretch = null; // [first, last]: characters; null: only the current one
let spans = []; // one for each character
let marked = []; // the spans that attention looked at
let effects = new Map(); // what influence found, by reading and replaced step
let likenesses = new Map(); // what likeness found, by reading and last step

const nameAt = (step) => nameOf(text[step] ?? "\n"); // a line feed comes before the first line
const where = (step) => `character ${count(step + 1)} of ${count(text.length)}: ${inWords(nameAt(step))}`;
const stretchNow = () => stretch ?? [position, position];

/** Show a new text. */
function writeText(characters) {
  text = characters;
  spans = text.map((character, step) => {
    const span = create("span", "", character === "\n" ? "↵\n" : visible(character));
    span.dataset.step = step;
    return span;
  });
  element("text").replaceChildren(...spans);
  element("position").max = text.length - 1;
}

/** The colour of a character; undefined if its value is not known yet. */
function colorAt(step) {
  if (mode === "influence") {
    const found = effects.get(focus)?.[step];
    return found === undefined ? undefined : fractionColor("--hot", 1 + Math.log10(found / mostEffect()) / DECADES);
  }
  if (mode === "likeness") {
    const alike = likenesses.get(focus)?.[step];
    return alike === undefined ? undefined : signedColor(alike);
  }
  if (step >= focus.known) return undefined;
  if (mode === "surprisal") return fractionColor("--hot", (focus.shown(step).nats ?? 0) / LARGEST_SURPRISE);
  const name = element("color").value;
  return colorOf(focus, name, focus.value(name, step));
}

const [LARGEST_SURPRISE, DECADES] = [6, 4]; // nats; decades of the logarithmic scale of influence
const mostEffect = () => Math.max(1e-9, ...Object.values(effects.get(focus) ?? {}));

/** Colour the characters from `first` up to `end`; painting all of a long text is slow. */
function paintText(first = 0, end = text.length) {
  for (let step = Math.max(0, first); step < end; step++) {
    const color = colorAt(step);
    spans[step].style.backgroundColor = color ? css(color) : "";
    spans[step].classList.toggle("unread", step >= known());
  }
  const gate = mode === "unit" && isGate(element("color").value);
  const own = { surprisal: "--hot", influence: "--hot" }[mode] ?? (gate ? "--gate" : null);
  const colors = own ? [0, 0.5, 1].map((value) => fractionColor(own, value)) : [-1, -0.5, 0, 0.5, 1].map(signedColor);
  element("scale").style.background = `linear-gradient(to right, ${colors.map(css).join(", ")})`;
  const most = mostEffect();
  element("scale-from").textContent = mode === "influence" ? inNats(most / 10 ** DECADES) : own ? "0" : "\u22121";
  const cell = mode === "unit" && element("color").value === "cell";
  element("scale-to").textContent = {
    unit: cell ? "1: tanh of the cell state" : "1",
    surprisal: `${LARGEST_SURPRISE} nats or more`,
    influence: `${inNats(most)} (logarithmic)`,
    likeness: "1: the same direction",
  }[mode];
}

/** Scroll the text, not the page, so that the current character is visible. */
function keepVisible(span) {
  const shown = element("text");
  const [box, own] = [shown.getBoundingClientRect(), span.getBoundingClientRect()];
  if (own.top < box.top + 24 || own.bottom > box.bottom - 24) {
    shown.scrollTop += own.top - box.top - box.height / 3;
  }
}

function markText() {
  for (const old of document.querySelectorAll("#text .now, #text .stretch, #text .harmed")) old.classList.remove("now", "stretch", "harmed");
  spans[position].classList.add("now");
  const [first, last] = stretch ?? [0, -1];
  for (const span of spans.slice(first, last + 1)) span.classList.add("stretch");
  if (harm) spans[harm.from]?.classList.add("harmed");
  for (const span of marked) span.style.boxShadow = "";
  marked = focus
    .recalled(position)
    .filter(({ weight, step }) => weight >= 0.01 && step >= 0)
    .slice(0, 5)
    .map(({ weight, step }) => {
      const [height, opacity] = [3 + 8 * weight, Math.min(1, 0.4 + 2 * weight)];
      spans[step].style.boxShadow = `inset 0 -${height.toFixed(1)}px rgb(var(--picked) / ${opacity.toFixed(2)})`;
      return spans[step];
    });
}

/** The step of the character that a node of the text belongs to; undefined outside the text. */
function stepOf(node) {
  const step = node?.parentElement?.closest("#text [data-step]")?.dataset.step ?? node?.dataset?.step;
  return step === undefined ? undefined : Number(step);
}

// The values of the chosen unit, in words and colours; inspect.js shows them, and changes `layer`, `unit` and `position`.
// The data is described in lstmgen/inspection/page.py; names are the same there and here.

const time = data.text.length;
const layers = data.layers.map((layer) => ({ ...layer, values: bytesOf(layer.values) }));
const stored = Object.keys(data.ranges); // the gates that are stored
const activations = bytesOf(data.activations);
const rowOf = new Map(data.units.map(([layer, unit], row) => [`${layer}.${unit}`, row]));
const begins = new Set(data.begins);
const gates = data.lines.map((line) => line.value).filter((value) => !["cell", "hidden", "candidate"].includes(value));

let [layer, unit] = data.unit; // both from 1
let position = 0;

// Values

/** A byte of one of the units with all values: of a gate, or after the gates the last bits of its memory. */
const byte = (row, series, step) => activations[(row * (stored.length + 1) + series) * time + step];

/** What a unit remembers after a step: 16 bits; if only the first 8 are here, the middle of what they can mean. */
function memory(layerNumber, unitNumber, step) {
  const { lowest, highest, values } = layers[layerNumber - 1];
  const number = unitNumber - 1;
  const row = rowOf.get(`${layerNumber}.${unitNumber}`);
  const bits = 256 * values[number * time + step] + (row === undefined ? 127.5 : byte(row, stored.length, step));
  return lowest[number] + ((highest[number] - lowest[number]) * bits) / 65535;
}

/** An entry of a list of 16-bit integers in base64. */
const int16 = (base64, index) => new DataView(bytesOf(base64).buffer).getInt16(2 * index, true);

const hasGates = (unitNumber = unit) => stored.length === 0 || rowOf.has(`${layer}.${unitNumber}`);

/** A value of the chosen unit after a step, by its name; undefined if the page does not hold it. */
function value(name, step) {
  if (name === data.memory || stored.length === 0) return memory(layer, unit, step);
  if (!hasGates()) return undefined;
  if (name === "hidden") return value("output", step) * Math.tanh(memory(layer, unit, step));
  const [lowest, highest] = data.ranges[name];
  return lowest + ((highest - lowest) * byte(rowOf.get(`${layer}.${unit}`), stored.indexOf(name), step)) / 255;
}

/** What the chosen unit remembered before a step. */
const memoryBefore = (step) => (begins.has(step) ? 0 : memory(layer, unit, step - 1));

/** A value on a wire of the picture, such as "f c *": operands come before their operator. */
function computed(expression, step) {
  const stack = [];
  for (const word of expression.split(" ")) {
    if (word === "tanh") {
      stack.push(Math.tanh(stack.pop()));
    } else if ("*+-".includes(word)) {
      const [second, first] = [stack.pop(), stack.pop()];
      stack.push(word === "*" ? first * second : word === "+" ? first + second : first - second);
    } else {
      stack.push(word === "1" ? 1 : named(word, step));
    }
  }
  return stack[0];
}

/** Of the three past tokens that attention looks at most: how far back it is, and its weight; a1 is the nearest. */
function recalled(name, step) {
  const strongest = data.attention[step].slice(0, 3).sort(([back], [other]) => back - other);
  return strongest[name.slice(1) - 1] ?? [];
}

/** The value of a letter: c' is after the step, c before it. */
function named(letter, step) {
  if (/^a\d$/.test(letter)) return recalled(letter, step)[1];
  const line = data.lines.find((each) => each.letter === letter);
  if (line) return value(line.value, step);
  const after = data.lines.find((each) => each.letter === `${letter}'`);
  return begins.has(step) ? 0 : value(after.value, step - 1);
}

/** A memory between -1 and 1: tanh of a cell state. */
const activity = (remembered) => (data.memory === "cell" ? Math.tanh(remembered) : remembered);

/** The fraction of the old memory that a step keeps, and the fraction of the candidate that it writes. */
function keptAndWritten(step) {
  const kept = gates.includes("forget") ? value("forget", step) : value("update", step);
  return [kept, gates.includes("input") ? value("input", step) : 1 - kept];
}

// How values are written

function number(value) {
  const text = value.toFixed(2);
  return (text === "-0.00" ? "0.00" : text).replace("-", "\u2212");
}
const nameAt = (step) => data.tokens[data.text[step]].name;

/** The name of a token as it is read aloud. */
function inWords(name) {
  if (name === "\u2423") return "space";
  return name === "\u21b5" ? "line feed" : `\u201c${name}\u201d`;
}

/** The terms of the sum inside a gate of the chosen unit; undefined if the page does not hold them. */
function terms(gate, step) {
  const held = data.terms[`${layer}.${unit}`]?.[gate];
  return held && Object.values(held).map((term) => (typeof term === "number" ? term : int16(term, step) / 1000));
}

/** The equation of a line with the numbers of a step, for those lines whose numbers are on the data. */
function numbers(line, step) {
  if (["\u03c3", "tanh"].some((name) => line.equation.startsWith(name))) {
    const [first, ...rest] = terms(line.value, step) ?? [];
    if (first === undefined) return "";
    const added = rest.map((term) => ` ${term < 0 ? "\u2212" : "+"} ${number(Math.abs(term))}`);
    return `= ${line.equation.split("(")[0]}(${number(first)}${added.join("")})`;
  }
  if (line.value === "hidden" && gates.includes("output")) {
    return `= ${number(value("output", step))} tanh(${number(value("cell", step))})`;
  }
  const [kept, written] = keptAndWritten(step);
  const candidate = number(value("candidate", step));
  return `= ${number(kept)} · ${number(memoryBefore(step))} + ${number(written)} · ${candidate}`;
}

/** What a step did, in a sentence. */
function sentence(step) {
  const before = number(memoryBefore(step));
  const now = number(value(data.memory, step));
  if (!hasGates()) return `It remembers ${now}; before, it was ${before}.`;
  if (gates.length === 0) return `It replaces ${before} by ${now}.`;
  const [kept, written] = keptAndWritten(step);
  const candidate = number(value("candidate", step));
  const does = `It keeps ${percent(kept)} of ${before} and writes ${percent(written)} of ${candidate}`;
  const outputs = gates.includes("output") ? `; it outputs ${number(value("hidden", step))}` : "";
  return `${does}: now it remembers ${now}${outputs}.`;
}

// Colours: variables of the style sheet, so that they follow the light or dark style

const STRONGEST = 0.78; // opacity, so that text on it can be read
const signedColor = (value) => [value < 0 ? "--negative" : "--positive", Math.min(1, Math.abs(value)) * STRONGEST];
const gateColor = (value) => ["--gate", value * STRONGEST];
const css = ([name, opacity]) => `rgb(var(${name}) / ${opacity.toFixed(3)})`;

/** The colour of a value of the chosen unit. */
function colorOf(name, value) {
  return gates.includes(name) ? gateColor(value) : signedColor(name === data.memory ? activity(value) : value);
}

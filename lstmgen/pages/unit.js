// The chosen unit of a network at a step, in words, numbers and colours.

const isGate = (name) => !["cell", "hidden", "candidate"].includes(name);
const gatesOfCell = (reading) => reading.data.lines.map(({ value }) => value).filter(isGate);

/** Compute a value on a wire of the picture, such as "f c *": operators follow their operands. */
function computed(reading, expression, step) {
  const stack = [];
  for (const word of expression.split(" ")) {
    if (word === "tanh") {
      stack.push(Math.tanh(stack.pop()));
    } else if ("*+-".includes(word)) {
      const [second, first] = [stack.pop(), stack.pop()];
      stack.push(word === "*" ? first * second : word === "+" ? first + second : first - second);
    } else {
      stack.push(word === "1" ? 1 : named(reading, word, step));
    }
  }
  return stack[0];
}

/** One of the three past tokens that attention looks at most, from a1, the nearest, to a3. */
function pastToken(reading, name, step) {
  const strongest = reading.recalled(step).slice(0, 3);
  return strongest.sort((one, other) => one.back - other.back)[name.slice(1) - 1];
}

/** The value of a letter, such as c before the step and c' after it. */
function named(reading, letter, step) {
  if (/^a\d$/.test(letter)) return pastToken(reading, letter, step)?.weight;
  const line = reading.data.lines.find((each) => each.letter === letter);
  if (line) return reading.value(line.value, step);
  const { cell, hidden } = reading.shown(step).before.layers[reading.layer - 1];
  return (letter === "c" ? cell : hidden)[reading.unit - 1];
}

/** A memory between -1 and 1: tanh of a cell state. */
const activity = ({ data: { memory } }, remembered) => (memory === "cell" ? Math.tanh(remembered) : remembered);

/** The fraction of the old memory that a step keeps, and the fraction of the candidate that it writes. */
function keptAndWritten(reading, step) {
  const gates = gatesOfCell(reading);
  const kept = reading.value(gates.includes("forget") ? "forget" : "update", step);
  return [kept, gates.includes("input") ? reading.value("input", step) : 1 - kept];
}

// How values are written

function number(value) {
  const text = value.toFixed(2);
  return (text === "-0.00" ? "0.00" : text).replace("-", "\u2212");
}

function inNats(value) {
  const shown = value < 1e-4 ? value.toExponential(0).replace("-", "\u2212") : value.toFixed(value < 0.1 ? 4 : 2);
  return `${shown} nats`;
}

/** The name of a character as a screen reader should say it. */
const inWords = (name) => ({ "␣": "space", "↵": "line feed" })[name] ?? `\u201c${name}\u201d`;

/** Whether a lesion holds this value of the chosen unit. */
function isHeld({ lesion, layer, unit }, name, step) {
  if (!lesion || step < lesion.from || !(name in lesion.gates)) return false;
  return [null, layer].includes(lesion.layer) && [null, unit].includes(lesion.unit);
}

/** The equation of a line with the numbers of a step, unless a lesion holds its value. */
function numbers(reading, line, step) {
  if (isHeld(reading, line.value, step)) return "held by the lesion";
  if (line.terms) {
    const [first, ...rest] = reading.terms(line, step);
    const added = rest.map((term) => ` ${term < 0 ? "\u2212" : "+"} ${number(Math.abs(term))}`);
    return `= ${line.equation.split("(")[0]}(${number(first)}${added.join("")})`;
  }
  if (line.value === "hidden" && gatesOfCell(reading).includes("output")) {
    return `= ${number(reading.value("output", step))} tanh(${number(reading.value("cell", step))})`;
  }
  const [kept, written] = keptAndWritten(reading, step);
  const candidate = number(reading.value("candidate", step));
  return `= ${number(kept)} · ${number(reading.memoryBefore(step))} + ${number(written)} · ${candidate}`;
}

/** Say in a sentence what a step did. */
function sentence(reading, step) {
  const before = number(reading.memoryBefore(step));
  const now = number(reading.value(reading.data.memory, step));
  if (gatesOfCell(reading).length === 0) return `It replaces ${before} by ${now}.`;
  const [kept, written] = keptAndWritten(reading, step);
  const candidate = number(reading.value("candidate", step));
  const does = `It keeps ${percent(kept)} of ${before} and writes ${percent(written)} of ${candidate}`;
  const outputs = gatesOfCell(reading).includes("output") ? `; it outputs ${number(reading.value("hidden", step))}` : "";
  return `${does}: now it remembers ${now}${outputs}.`;
}

// Colours are variables of the style sheet, so that they follow the light or dark style

const STRONGEST = 0.78; // opacity, so that text on it can be read
const signedColor = (value) => [value < 0 ? "--negative" : "--positive", Math.min(1, Math.abs(value)) * STRONGEST];
const fractionColor = (name, value) => [name, Math.max(0, Math.min(1, value)) * STRONGEST];
const css = ([name, opacity]) => `rgb(var(${name}) / ${opacity.toFixed(3)})`;

/** The colour of a value of the chosen unit. */
function colorOf(reading, name, value) {
  if (isGate(name)) return fractionColor("--gate", value);
  return signedColor(name === reading.data.memory ? activity(reading, value) : value);
}

// Lesions: gates that are held at a value. Each cell has its own gates, so a lesion lists them by cell.

/** For each lesion, its name and the gates that it holds in each cell, with their values. `h`: the old output. */
const LESIONS = {
  keep: ["keep everything", { lstm: { forget: 1 }, coupled: { forget: 1 }, gru: { update: 1 }, rnn: { candidate: "h" } }],
  forget: ["forget everything", { lstm: { forget: 0 }, coupled: { forget: 0 }, gru: { update: 0 } }],
  write: ["write nothing", { lstm: { input: 0 } }],
  freeze: ["freeze", { lstm: { forget: 1, input: 0 }, coupled: { forget: 1 }, gru: { update: 1 }, rnn: { candidate: "h" } }],
  shut: ["put nothing out", { lstm: { output: 0 }, coupled: { output: 0 } }],
};
for (const [, gates] of Object.values(LESIONS)) gates.peephole = gates.lstm;

/** The gates that a lesion holds in a cell; undefined if the cell has no such gates. */
const gatesOf = (lesion, cell) => LESIONS[lesion][1][cell];

const gatesInWords = (gates) =>
  Object.entries(gates)
    .map(([gate, to]) => (to === "h" ? "h at its old value" : `the ${gate} gate at ${to}`))
    .join(" and ");

/** What the engine needs: for each layer, what happens to its gates. `layer`, `unit`: only this one, from 1; null: all. */
function heldIn(layers, gates, layer, unit) {
  const hold = (gate, values, before) => {
    if (!(gate in gates)) return values;
    const to = (u) => (gates[gate] === "h" ? before[u] : gates[gate]);
    return values.map((value, u) => (unit === null || u === unit - 1 ? to(u) : value));
  };
  return Array.from({ length: layers }, (_, number) => (layer === null || number === layer - 1 ? hold : undefined));
}

/** The mean surprisal of at most `most` characters after the first step of a lesion, with and without it. */
function lossesAfter({ lesion, steps }, most) {
  const count = Math.min(most, lesion.steps.length - 1);
  const mean = (some, first) => some.slice(first, first + count).reduce((sum, { nats }) => sum + nats, 0) / count;
  return { count, harmed: mean(lesion.steps, 1), intact: mean(steps, lesion.from + 1) };
}

// The reader's lesion

let harm = null; // { name, from, where }; null: none

function heal() {
  harm = null;
  for (const reading of readings) reading.lesion = null;
  element("harm").textContent = "Apply from here on";
  element("harm").setAttribute("aria-pressed", "false");
}

function hurt() {
  const [what, place] = [element("lesion").value, element("lesion-at").value];
  const places = { all: "in all layers", unit: "in the chosen unit" };
  harm = { name: LESIONS[what][0], from: position, where: places[place] ?? `in layer ${place}` };
  for (const reading of readings) {
    const gates = gatesOf(what, reading.data.cell);
    if (!gates) continue;
    const [layer, unit] = place === "unit" ? [reading.layer, reading.unit] : [Number(place) || null, null];
    const held = heldIn(reading.data.layers, gates, layer, unit);
    reading.lesion = { from: position, held, gates, layer, unit, words: gatesInWords(gates), steps: [] };
    reading.readNext(text); // so that the cursor can stay
  }
  element("harm").textContent = "Remove";
  element("harm").setAttribute("aria-pressed", "true");
}

function toggleLesion() {
  const healing = harm !== null;
  heal();
  if (!healing) hurt();
  paintText();
  go(position);
  read();
}

// What a prediction depends on: replace each earlier character, read the text again from there, and compare the two
// predictions.

const FARTHEST = 100; // characters back

/** The two most frequent characters of a text, apart from line feeds. A replacement is the first one that differs. */
function neutralOf(text) {
  const counts = new Map();
  for (const character of text) if (character !== "\n") counts.set(character, (counts.get(character) ?? 0) + 1);
  return [...counts.keys()].sort((one, other) => counts.get(other) - counts.get(one)).slice(0, 2);
}

/** The divergence between two predictions, KL(p || q), in nats, from their logits. */
function divergence(logits, others) {
  const p = softmax(logits);
  const [one, other] = [surprise(logits, 0) + logits[0], surprise(others, 0) + others[0]]; // the log-sum-exp of each
  return p.reduce((sum, each, id) => sum + each * (logits[id] - one - others[id] + other), 0);
}

/** Fill `effects` with how much each replacement changes the prediction after a step, by replaced step. */
function* influence(reading, text, step, neutral, effects) {
  for (let from = step; from >= 0 && step - from < FARTHEST; from--) {
    const other = neutral.find((character) => character !== text[from]);
    if (other === undefined || reading.shown(from).id === reading.data.end_token) return; // lines are independent
    let now = reading.before(from);
    for (let at = from; at <= step; at++) {
      now = reading.after(at === from ? other : text[at], now, reading.heldAt(at));
      yield;
    }
    effects[from] = divergence(reading.shown(step).logits, now.logits);
  }
}

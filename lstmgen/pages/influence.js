// What a prediction depends on: replace each earlier character, read the text again from there, and compare the two
// predictions.

const FARTHEST = 100; // characters back

/** The two most frequent characters of a text, apart from line feeds. A replacement is the first one that differs. */
function neutralOf(text) {
  const counts = new Map();
  for (const character of text) if (character !== "\n") counts.set(character, (counts.get(character) ?? 0) + 1);
  return [...counts.keys()].sort((one, other) => counts.get(other) - counts.get(one)).slice(0, 2);
}

/**
 * The divergence between two predictions, KL(p || q), in nats, from their logits. No term of the sum is below 0, so
 * that small ones are not lost among large ones: see lstmgen/inspection/influence.py.
 */
function divergence(logits, others) {
  const shift = surprisal(others, 0) + others[0] - surprisal(logits, 0) - logits[0]; // between the logs of the two sums
  return softmax(logits).reduce((sum, p, id) => {
    const ratio = others[id] - logits[id] - shift;
    return sum + p * (Math.abs(ratio) < 1e-5 ? ratio ** 2 / 2 : Math.expm1(ratio) - ratio);
  }, 0);
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

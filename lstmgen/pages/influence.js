// What a prediction depends on: each earlier character is replaced, the text from there on is read again, and the two
// predictions are compared.

const FARTHEST = 100; // characters back

/** The two characters that a text has most often, line feeds apart; one that is replaced becomes the first that differs. */
function neutralOf(text) {
  const counts = new Map();
  for (const character of text) if (character !== "\n") counts.set(character, (counts.get(character) ?? 0) + 1);
  return [...counts.keys()].sort((one, other) => counts.get(other) - counts.get(one)).slice(0, 2);
}

/**
 * The divergence of a prediction from another one, KL(p || q), in nats, from their logits. No term of the sum is below 0, so
 * that small ones are not lost among large ones: see lstmgen/inspection/influence.py.
 */
function divergence(logits, others) {
  const shift = surprise(others, 0) + others[0] - surprise(logits, 0) - logits[0]; // between the logs of the two sums
  return softmax(logits).reduce((sum, p, id) => {
    const ratio = others[id] - logits[id] - shift;
    return sum + p * (Math.abs(ratio) < 1e-5 ? ratio ** 2 / 2 : Math.expm1(ratio) - ratio);
  }, 0);
}

/** Fill `effects` with what each replacement does to the prediction after a step, by the step that is replaced. */
function* influence(reading, text, step, neutral, effects) {
  for (let from = step; from >= 0 && step - from < FARTHEST; from--) {
    const other = neutral.find((character) => character !== text[from]);
    if (other === undefined || reading.shown(from).id === reading.data.end_token) return; // a line does not see the one before
    let now = reading.before(from);
    for (let at = from; at <= step; at++) {
      now = reading.after(at === from ? other : text[at], now, reading.heldAt(at));
      yield;
    }
    effects[from] = divergence(reading.shown(step).logits, now.logits);
  }
}

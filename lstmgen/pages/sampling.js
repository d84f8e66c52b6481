// How to choose a token.

/**
 * A random number in [0, 1), the same for the same seed and position on every computer.
 *
 * There is no hidden state: multiplications and shifts (the finaliser of MurmurHash3 by Austin Appleby) mix the seed and
 * the position, 32 bits at a time. So continuing a text from its middle uses the same numbers.
 */
function uniform(seed, position) {
  const mix = (bits) => {
    bits = Math.imul(bits ^ (bits >>> 16), 0x85ebca6b);
    bits = Math.imul(bits ^ (bits >>> 13), 0xc2b2ae35);
    return (bits ^ (bits >>> 16)) >>> 0;
  };
  const start = mix(seed % 2 ** 32) ^ mix(Math.floor(seed / 2 ** 32) + 0x6a09e667);
  return mix(mix(start + 0x9e3779b9) + Math.imul(position + 1, 0x9e3779b9)) / 2 ** 32;
}

/** The ids in descending order of their numbers. */
const ranked = (numbers) => Array.from(numbers.keys()).sort((a, b) => numbers[b] - numbers[a] || a - b);

/**
 * The probabilities from which a token is drawn.
 *
 * topP keeps the smallest set of most likely tokens whose probabilities sum to at least topP, and any that tie with the
 * last of the set. It uses the model's own probabilities. The temperature divides the remaining logits; 0 keeps only the
 * most likely token. Both work as in lstmgen/generation/filters.
 */
function choices(logits, temperature, topP) {
  let kept = logits;
  if (topP < 1) {
    const probabilities = softmax(logits);
    let [sum, lowest] = [0, 0];
    for (const id of ranked(probabilities)) {
      sum += probabilities[id];
      lowest = logits[id];
      if (sum >= topP) break;
    }
    kept = logits.map((logit) => (logit >= lowest ? logit : -Infinity));
  }
  if (temperature === 0) {
    const best = kept.indexOf(Math.max(...kept));
    return kept.map((_, id) => (id === best ? 1 : 0));
  }
  return softmax(temperature === 1 ? kept : kept.map((logit) => logit / temperature));
}

/** Draw an id: the first one at which the cumulative probability exceeds the random number. */
function draw(probabilities, random) {
  let [sum, last] = [0, 0];
  for (let id = 0; id < probabilities.length; id++) {
    if (probabilities[id] > 0) {
      sum += probabilities[id];
      last = id;
      if (random < sum) return id;
    }
  }
  return last; // the total was slightly below 1
}

/** The surprisal of a token: minus the logarithm of its probability, in nats. */
function surprisal(logits, id) {
  let best = -Infinity;
  for (const logit of logits) best = Math.max(best, logit);
  let sum = 0;
  for (const logit of logits) sum += Math.exp(logit - best);
  return Math.log(sum) + best - logits[id];
}

// Find where else in the text the state is similar to the state in a stretch.

const ALIKE = 4; // how many places to name

/**
 * What a network remembers after each step, with each unit measured in standard deviations from its own mean. Each step is
 * scaled to length 1, so that the product of two steps is their cosine. `layer`: from 1; null: all.
 */
function directions(reading, layer) {
  const { memory } = reading.data;
  const own = ({ state }) => (layer === null ? state.layers : [state.layers[Math.min(layer, state.layers.length) - 1]]);
  const rows = reading.steps.map((step) => Float32Array.from(own(step).flatMap((each) => [...each[memory]])));
  for (let unit = 0; unit < rows[0].length; unit++) {
    let [sum, squares] = [0, 0];
    for (const row of rows) {
      sum += row[unit];
      squares += row[unit] ** 2;
    }
    const mean = sum / rows.length;
    const deviation = Math.sqrt(Math.max(0, squares / rows.length - mean ** 2));
    for (const row of rows) row[unit] = deviation > 1e-9 ? (row[unit] - mean) / deviation : 0;
  }
  return rows.map((row) => {
    const length = Math.sqrt(dot(row, row)) || 1;
    return row.map((each) => each / length);
  });
}

/** Fill `likeness` with the mean cosine between this stretch and each one of the same length, by its last step. */
function* compare(rows, [first, last], likeness) {
  const length = last - first + 1;
  for (let end = length - 1; end < rows.length; end++) {
    let sum = 0;
    for (let back = 0; back < length; back++) sum += dot(rows[last - back], rows[end - back]);
    likeness[end] = sum / length;
    yield;
  }
}

/** The last steps of the most similar stretches that overlap neither this stretch nor a better one. */
function mostAlike(likeness, [first, last]) {
  const found = [last];
  const ends = [...likeness.keys()].slice(last - first);
  for (const end of ends.sort((one, other) => likeness[other] - likeness[one])) {
    if (found.every((other) => Math.abs(end - other) > last - first)) found.push(end);
  }
  return found.slice(1, ALIKE + 1);
}

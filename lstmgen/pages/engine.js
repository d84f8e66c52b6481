// The network, one step at a time. It reads a token and predicts the next one.
//
//     x = E[id]                     embedding
//     y_1 = cell_1(x)               first layer
//     y_l = y_{l-1} + cell_l(y_{l-1})    every further layer adds its output to its input
//     a = attend(y_L, its past)     with attention only
//     logits = W_o a + b_o          head; a tied head uses the embedding: E (P a) + b_o
//
// Letters, names and order match lstmgen/cells and lstmgen/network. Matrices are float32, and all sums are float64. `step`
// returns a new state and never changes the old one, so the page can keep an old state and return to it.

// Numbers from text

function float32Of(base64) {
  const view = new DataView(bytesOf(base64).buffer);
  return Float32Array.from({ length: view.byteLength / 4 }, (_, i) => view.getFloat32(4 * i, true));
}

/** A float16 from its 16 bits: one for the sign, 5 for the exponent, 10 for the fraction. */
function float16(bits) {
  const [exponent, fraction] = [(bits >> 10) & 31, (bits & 1023) / 1024];
  const size = exponent === 0 ? fraction * 2 ** -14 : (1 + fraction) * 2 ** (exponent - 15);
  return bits >> 15 ? -size : size;
}

/** A matrix, { rows, columns, values }, from its rounded numbers and the scale of each row. */
function matrixOf({ shape: [rows, columns], type, values: base64, scales: scalesBase64 }) {
  const [bytes, scales] = [bytesOf(base64), float32Of(scalesBase64)];
  const values = new Float32Array(rows * columns);
  for (let row = 0, at = 0; row < rows; row++) {
    for (let column = 0; column < columns; column++, at++) {
      const number = type === "int8" ? (bytes[at] << 24) >> 24 : float16(bytes[2 * at] | (bytes[2 * at + 1] << 8));
      values[at] = number * scales[row];
    }
  }
  return { rows, columns, values };
}

const parameterOf = (stored) => (stored.shape.length === 2 ? matrixOf(stored) : Float64Array.from(float32Of(stored.values)));

// Arithmetic

const rowOf = ({ columns, values }, row) => values.subarray(row * columns, (row + 1) * columns);

/** W x + b for the rows from `first` to `last`. Four rows at a time share each number of x, which is faster. */
function product(W, x, b = null, first = 0, last = W.rows) {
  const { columns, values } = W;
  const sums = new Float64Array(last - first);
  let row = first;
  for (; row + 4 <= last; row += 4) {
    const [w0, w1, w2, w3] = [row * columns, (row + 1) * columns, (row + 2) * columns, (row + 3) * columns];
    let [s0, s1, s2, s3] = [0, 0, 0, 0];
    for (let column = 0; column < columns; column++) {
      const each = x[column];
      s0 += values[w0 + column] * each;
      s1 += values[w1 + column] * each;
      s2 += values[w2 + column] * each;
      s3 += values[w3 + column] * each;
    }
    sums[row - first] = s0;
    sums[row - first + 1] = s1;
    sums[row - first + 2] = s2;
    sums[row - first + 3] = s3;
  }
  for (; row < last; row++) sums[row - first] = dot(rowOf(W, row), x);
  return b === null ? sums : plus(sums, b);
}

/** The dot product of two vectors. */
function dot(a, b) {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += a[i] * b[i];
  return sum;
}

const plus = (a, b) => a.map((each, i) => each + b[i]);
const times = (a, b) => a.map((each, i) => each * b[i]);
const sigmoid = (x) => 1 / (1 + Math.exp(-x));
const tanh = Math.tanh;

/** The softmax of some numbers. */
function softmax(x) {
  let best = -Infinity;
  for (const each of x) best = Math.max(best, each);
  const exponentials = x.map((each) => Math.exp(each - best));
  let sum = 0;
  for (const each of exponentials) sum += each;
  return exponentials.map((each) => each / sum);
}

// Cells: each takes W x + b, the state before the step, the layer's parameters, and what a lesion does to the values of a
// gate. It returns the state after the step, and its gates by name. Each block of W, R and b has one row for each unit u, in
// the order of the gates.

/** Without a lesion, a gate keeps its values; `before` is the state that the gate acts on. */
const unharmed = (gate, values, before) => values;

const blocks = (a, size) => Array.from({ length: a.length / size }, (_, block) => a.subarray(block * size, (block + 1) * size));

/** Add a peephole, if the network has it, to the sum inside a gate. */
const seen = (sum, peephole, cell) => (peephole ? sum.map((each, u) => each + peephole[u] * cell[u]) : sum);

const cells = {
  /** h' = tanh(W x + R h + b) */
  rnn(projected, { hidden }, { weight_hh: R }, held) {
    const candidate = held("candidate", plus(projected, product(R, hidden)).map(tanh), hidden);
    return { hidden: candidate, gates: { candidate } };
  },

  /**
   * i, f = σ(W x + R h + p c + b),  g = tanh(W x + R h + b)      without peepholes, p = 0
   * c' = f c + i g
   * o = σ(W x + R h + p c' + b)
   * h' = o tanh(c')
   */
  lstm(projected, { hidden, cell }, { weight_hh: R, peephole_input, peephole_forget, peephole_output }, held) {
    const [i, f, g, o] = blocks(plus(projected, product(R, hidden)), hidden.length);
    const input = held("input", seen(i, peephole_input, cell).map(sigmoid), cell);
    const forget = held("forget", seen(f, peephole_forget, cell).map(sigmoid), cell);
    const candidate = held("candidate", g.map(tanh), cell);
    const c = cell.map((before, u) => forget[u] * before + input[u] * candidate[u]);
    const output = held("output", seen(o, peephole_output, c).map(sigmoid), cell);
    return { hidden: c.map((now, u) => output[u] * tanh(now)), cell: c, gates: { input, forget, candidate, output } };
  },

  /**
   * f, o = σ(W x + R h + b),  g = tanh(W x + R h + b)
   * c' = f c + (1 - f) g
   * h' = o tanh(c')
   */
  coupled(projected, { hidden, cell }, { weight_hh: R }, held) {
    const [f, g, o] = blocks(plus(projected, product(R, hidden)), hidden.length);
    const forget = held("forget", f.map(sigmoid), cell);
    const candidate = held("candidate", g.map(tanh), cell);
    const output = held("output", o.map(sigmoid), cell);
    const c = cell.map((before, u) => forget[u] * before + (1 - forget[u]) * candidate[u]);
    return { hidden: c.map((now, u) => output[u] * tanh(now)), cell: c, gates: { forget, candidate, output } };
  },

  /**
   * r, z = σ(W x + R h + b)
   * n = tanh(W x + b + r (R h + b_n))      the reset gate acts after the recurrent product
   * n = tanh(W x + b + R (r h))            without b_n, it acts before
   * h' = (1 - z) n + z h
   */
  gru(projected, { hidden }, { weight_hh: R, bias_candidate: b_n }, held) {
    const H = hidden.length;
    const [r, z] = blocks(plus(product(R, hidden, null, 0, 2 * H), projected), H);
    const reset = held("reset", r.map(sigmoid), hidden);
    const update = held("update", z.map(sigmoid), hidden);
    const recurrent = b_n ? times(reset, product(R, hidden, b_n, 2 * H)) : product(R, times(reset, hidden), null, 2 * H);
    const candidate = held("candidate", plus(recurrent, projected.subarray(2 * H)).map(tanh), hidden);
    const h = hidden.map((before, u) => (1 - update[u]) * candidate[u] + update[u] * before);
    return { hidden: h, gates: { reset, update, candidate } };
  },
};
cells.peephole = cells.lstm;

/**
 * Attention: a step looks back at the last N outputs y, the oldest first.
 *
 *     q = Q y                   query
 *     s_j = q · y_j / √H        score of the past output j
 *     r = Σ_j softmax(s)_j y_j  what is recalled
 *     y + C r                   output
 */
function attend(y, memory, { query: Q, combine: C }) {
  const q = product(Q, y);
  const attention = softmax(Float64Array.from(memory, (past) => dot(q, past) / Math.sqrt(q.length)));
  const recalled = new Float64Array(y.length);
  attention.forEach((weight, j) => {
    for (let u = 0; u < y.length; u++) recalled[u] += weight * memory[j][u];
  });
  return { output: plus(y, product(C, recalled)), memory: [...memory.slice(1), y], attention };
}

/** A network built from the data of the page, which lstmgen/pages/network.py describes. */
class Network {
  constructor(data) {
    this.cell = cells[data.cell];
    this.window = data.attention;
    this.parameters = new Map(Object.entries(data.weights).map(([name, stored]) => [name, parameterOf(stored)]));
    this.layers = Array.from({ length: data.layers }, (_, number) => this.below(`layers.${number}.`));
    this.attention = this.below("attention.");
    this.projected = []; // W E[id] + b of the first layer, for each id that has been read
  }

  /** The parameters whose names begin with a prefix, by the rest of the name. */
  below(prefix) {
    const named = [...this.parameters].filter(([name]) => name.startsWith(prefix));
    return Object.fromEntries(named.map(([name, parameter]) => [name.slice(prefix.length), parameter]));
  }

  /** The state before any text: zeros. */
  initialState() {
    const zeros = () => new Float64Array(this.layers[0].weight_hh.columns);
    return {
      layers: this.layers.map(() => ({ hidden: zeros(), cell: zeros() })),
      memory: Array.from({ length: this.window }, zeros),
    };
  }

  /** The embedding of a token. */
  embedding(id) {
    return rowOf(this.parameters.get("embedding"), id);
  }

  /**
   * Read one token: the logits of the next one, a number for each id, the state after the step, and the weights of
   * attention. `held` has for each layer what a lesion does to its gates.
   */
  step(id, state, held = []) {
    let output = null;
    const layers = this.layers.map((layer, number) => {
      const { weight_ih: W, bias: b } = layer;
      const projected = number ? product(W, output, b) : (this.projected[id] ??= product(W, this.embedding(id), b));
      const after = this.cell(projected, state.layers[number], layer, held[number] ?? unharmed);
      output = number ? plus(output, after.hidden) : after.hidden;
      return after;
    });
    let { memory } = state;
    let attention = null;
    if (this.window) ({ output, memory, attention } = attend(output, memory, this.attention));
    return { logits: this.head(output), state: { layers, memory }, attention };
  }

  head(output) {
    const bias = this.parameters.get("head.bias");
    const projection = this.parameters.get("head.projection");
    if (projection) return product(this.parameters.get("embedding"), product(projection, output), bias);
    return product(this.parameters.get("head.weight"), output, bias);
  }
}

// The network, one step at a time. It reads a token and predicts the next one.
//
//     x = E[id]                     embedding
//     y_1 = cell_1(x)               first layer
//     y_l = y_{l-1} + cell_l(y_{l-1})    every further layer adds its output to its input
//     a = attend(y_L, its past)     with attention only
//     logits = W_o a + b_o          head; a tied head uses the embedding: E (P a) + b_o
//
// Letters, names and order are those of lstmgen/cells and lstmgen/network. The numbers of a matrix are float32, all sums
// float64. A state is never changed: `step` returns a new one. So the page can keep an old state and return to it.

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

/** W x + b. The rows from `first` to `last` are used; four rows at a time share the reading of x. */
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
  for (; row < last; row++) {
    let sum = 0;
    for (let column = 0; column < columns; column++) sum += values[row * columns + column] * x[column];
    sums[row - first] = sum;
  }
  return b === null ? sums : plus(sums, b);
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

// Cells: each takes W x + b, the state before the step and the layer's parameters, and returns the state after the step.
// Each block of W, R and b has one row for each unit u, in the order of the gates.

const cells = {
  /** h' = tanh(W x + R h + b) */
  rnn(projected, { hidden }, { weight_hh: R }) {
    return { hidden: plus(projected, product(R, hidden)).map(tanh) };
  },

  /**
   * i, f, o = σ(W x + R h + b),  g = tanh(W x + R h + b)
   * c' = f c + i g
   * h' = o tanh(c')
   */
  lstm(projected, { hidden, cell }, { weight_hh: R }) {
    const a = plus(projected, product(R, hidden));
    const H = hidden.length;
    const c = cell.map((before, u) => sigmoid(a[H + u]) * before + sigmoid(a[u]) * tanh(a[2 * H + u]));
    return { hidden: c.map((now, u) => sigmoid(a[3 * H + u]) * tanh(now)), cell: c };
  },

  /** The LSTM, but i and f also depend on p c, and o on p_o c'. A peephole that the network does not have is 0. */
  peephole(projected, { hidden, cell }, { weight_hh: R, peephole_input, peephole_forget, peephole_output }) {
    const a = plus(projected, product(R, hidden));
    const H = hidden.length;
    const c = cell.map((before, u) => {
      const i = sigmoid(a[u] + (peephole_input ? peephole_input[u] * before : 0));
      const f = sigmoid(a[H + u] + (peephole_forget ? peephole_forget[u] * before : 0));
      return f * before + i * tanh(a[2 * H + u]);
    });
    const h = c.map((now, u) => sigmoid(a[3 * H + u] + (peephole_output ? peephole_output[u] * now : 0)) * tanh(now));
    return { hidden: h, cell: c };
  },

  /**
   * f, o = σ(W x + R h + b),  g = tanh(W x + R h + b)
   * c' = f c + (1 - f) g
   * h' = o tanh(c')
   */
  coupled(projected, { hidden, cell }, { weight_hh: R }) {
    const a = plus(projected, product(R, hidden));
    const H = hidden.length;
    const c = cell.map((before, u) => {
      const f = sigmoid(a[u]);
      return f * before + (1 - f) * tanh(a[H + u]);
    });
    return { hidden: c.map((now, u) => sigmoid(a[2 * H + u]) * tanh(now)), cell: c };
  },

  /**
   * r, z = σ(W x + R h + b)
   * n = tanh(W x + b + r (R h + b_n))      the reset gate acts after the recurrent product
   * h' = (1 - z) n + z h
   */
  gru_after(projected, { hidden }, { weight_hh: R, bias_candidate: b_n }) {
    const a = product(R, hidden);
    const H = hidden.length;
    const h = hidden.map((before, u) => {
      const r = sigmoid(projected[u] + a[u]);
      const z = sigmoid(projected[H + u] + a[H + u]);
      const n = tanh(projected[2 * H + u] + r * (a[2 * H + u] + b_n[u]));
      return (1 - z) * n + z * before;
    });
    return { hidden: h };
  },

  /**
   * r, z = σ(W x + R h + b)
   * n = tanh(W x + b + R (r h))            the reset gate acts before the recurrent product
   * h' = (1 - z) n + z h
   */
  gru_before(projected, { hidden }, { weight_hh: R }) {
    const H = hidden.length;
    const gates = plus(product(R, hidden, null, 0, 2 * H), projected).map(sigmoid);
    const [r, z] = [gates.subarray(0, H), gates.subarray(H)];
    const n = plus(product(R, times(r, hidden), null, 2 * H), projected.subarray(2 * H)).map(tanh);
    return { hidden: hidden.map((before, u) => (1 - z[u]) * n[u] + z[u] * before) };
  },
};

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
  const scores = Float64Array.from(memory, (past) => {
    let sum = 0;
    for (let u = 0; u < q.length; u++) sum += q[u] * past[u];
    return sum / Math.sqrt(q.length);
  });
  const recalled = new Float64Array(y.length);
  softmax(scores).forEach((weight, j) => {
    for (let u = 0; u < y.length; u++) recalled[u] += weight * memory[j][u];
  });
  return { output: plus(y, product(C, recalled)), memory: [...memory.slice(1), y] };
}

/** A network from the data of the page; what the data holds is described in lstmgen/pages/write.py. */
class Network {
  constructor(data) {
    this.cell = cells[data.reset ? `${data.cell}_${data.reset}` : data.cell];
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

  embedding(id) {
    const { columns, values } = this.parameters.get("embedding");
    return values.subarray(id * columns, (id + 1) * columns);
  }

  /** Read one token: the logits of the next one, a number for each id, and the state after the step. */
  step(id, state) {
    let output = null;
    const layers = this.layers.map((layer, number) => {
      const { weight_ih: W, bias: b } = layer;
      const projected = number ? product(W, output, b) : (this.projected[id] ??= product(W, this.embedding(id), b));
      const after = this.cell(projected, state.layers[number], layer);
      output = number ? plus(output, after.hidden) : after.hidden;
      return after;
    });
    let memory = state.memory;
    if (this.window) ({ output, memory } = attend(output, memory, this.attention));
    return { logits: this.head(output), state: { layers, memory } };
  }

  head(output) {
    const bias = this.parameters.get("head.bias");
    const projection = this.parameters.get("head.projection");
    if (projection) return product(this.parameters.get("embedding"), product(projection, output), bias);
    return product(this.parameters.get("head.weight"), output, bias);
  }
}

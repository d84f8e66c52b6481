// One network that reads the text character by character and keeps every step.

class Reading {
  constructor(data) {
    this.data = data; // as described in lstmgen/pages/inspect.py
    this.network = new Network(data);
    this.vocabulary = vocabularyOf(data);
    [this.layer, this.unit] = data.unit; // the unit to show; both numbers from 1
    this.initial = this.network.initialState();
    this.start = { logits: null, state: this.initial, past: -1 };
    if (data.end_token !== null) this.start = this.token(data.end_token, this.start); // which comes before the first line
    this.steps = []; // after each character that has been read
    this.owners = []; // for each token, the character it belongs to
    this.lesion = null; // { from: the first step, held: what the engine needs, steps }
  }

  /**
   * Read one token after a step. In addition to what the engine returns, a step has:
   *
   *     id, before    the token, and the state before it
   *     past          how many tokens attention can look back at: those read since the initial state
   */
  token(id, now, held) {
    const begins = id === this.data.end_token;
    const before = begins ? this.initial : now.state;
    return { id, before, past: begins ? 0 : now.past + 1, ...this.network.step(id, before, held) };
  }

  /** Read a character after a step. The step of its last token also has its surprisal in `nats`, null for the first one. */
  after(character, now, held) {
    let nats = now.logits === null ? null : 0;
    for (const id of this.vocabulary.encode(character).ids) {
      if (now.logits !== null) nats += surprisal(now.logits, id);
      now = this.token(id, now, held);
    }
    return { ...now, nats };
  }

  /** The step of a character, with the lesion if it has begun by then. */
  shown(step) {
    return this.lesion && step >= this.lesion.from ? this.lesion.steps[step - this.lesion.from] : this.steps[step];
  }

  /** The step before a character. */
  before(step) {
    return step === 0 ? this.start : this.shown(step - 1);
  }

  heldAt(step) {
    return this.lesion && step >= this.lesion.from ? this.lesion.held : undefined;
  }

  /** How many characters have been read. */
  get known() {
    return this.lesion ? this.lesion.from + this.lesion.steps.length : this.steps.length;
  }

  /** Read the next character of a text: with the lesion if that reading is behind, otherwise without it. */
  readNext(text) {
    if (this.known < this.steps.length) {
      this.lesion.steps.push(this.after(text[this.known], this.before(this.known), this.lesion.held));
      return;
    }
    const step = this.steps.length;
    this.steps.push(this.after(text[step], step ? this.steps[step - 1] : this.start));
    for (const _ of this.vocabulary.encode(text[step]).ids) this.owners.push(step);
  }

  /** Discard what was read from a step on. */
  cut(step) {
    if (this.lesion && step <= this.lesion.from) this.lesion = null;
    this.lesion?.steps.splice(step - this.lesion.from);
    this.steps.length = Math.min(step, this.steps.length);
    while (this.owners.at(-1) >= step) this.owners.pop();
  }

  /** The past tokens that attention looked at, strongest first: how far back, the weight, and the character. */
  recalled(step) {
    const { attention, past } = this.shown(step);
    if (!attention) return [];
    const token = this.owners.lastIndexOf(step);
    return Array.from({ length: Math.min(past, attention.length) }, (_, number) => number + 1)
      .map((back) => ({ back, weight: attention[attention.length - back], step: this.owners[token - back] ?? -1 }))
      .sort((one, other) => other.weight - one.weight || one.back - other.back);
  }

  /** A gate or state of the chosen unit, by name. */
  value(name, step) {
    const own = this.shown(step).state.layers[this.layer - 1];
    return (own.gates[name] ?? own[name])[this.unit - 1];
  }

  memoryBefore(step) {
    return this.shown(step).before.layers[this.layer - 1][this.data.memory][this.unit - 1];
  }

  /** The terms of the sum inside a gate of the chosen unit, in the order of the equation. */
  terms(line, step) {
    const { id, before, state } = this.shown(step);
    const [number, u] = [this.layer - 1, this.unit - 1];
    const [own, { hidden, cell }, after] = [this.network.layers[number], before.layers[number], state.layers[number]];
    const row = Object.keys(after.gates).indexOf(line.value) * hidden.length + u;
    const below = () => state.layers.slice(0, number).map((layer) => layer.hidden).reduce(plus);
    const recurrent = (h) => dot(rowOf(own.weight_hh, row), h);
    const values = {
      "W x": () => dot(rowOf(own.weight_ih, row), number ? below() : this.network.embedding(id)),
      "R h": () => recurrent(hidden),
      "R (r h)": () => recurrent(times(after.gates.reset, hidden)),
      "r (R h + b)": () => after.gates.reset[u] * (recurrent(hidden) + own.bias_candidate[u]),
      "p c": () => own[`peephole_${line.value}`][u] * cell[u],
      "p c'": () => own[`peephole_${line.value}`][u] * after.cell[u],
      b: () => own.bias[row],
    };
    return line.terms.map((term) => values[term]());
  }
}

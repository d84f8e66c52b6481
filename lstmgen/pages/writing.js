// The text that the reader and the model write together.
//
// A text is a list of pieces, one for each character. Only the surprisal of a piece ever changes:
//
//     text       what to show; `raw` is the character itself, which differs for control characters
//     ids        the tokens: one, or the bytes of the character; none for a character that the model has never seen
//     typed      whether the reader typed it; `picked`: whether the reader picked it from the alternatives
//     nats       the surprisal of its tokens; null if it has not been read yet, or is not predicted

const EVERY = 64; // pieces, after which the network's state is kept

/** The text, and the network after it. */
class Writing {
  constructor(data, network) {
    this.network = network;
    this.vocabulary = vocabularyOf(data);
    this.itemEnd = data.end_token;
    // The state after the start token, for a text that the model begins and for every line of a model of lines.
    this.begun = network.step(data.start, network.initialState());
    const nothing = { state: network.initialState(), logits: null };
    this.pieces = [];
    this.kept = [this.itemEnd === null ? nothing : this.begun]; // after 0, EVERY, 2 EVERY, ... pieces
    this.tokens = [0]; // how many tokens there are before each piece, and before the next one
    this.now = this.kept[0]; // after the pieces read so far
    this.read = 0; // how many have been read
  }

  get unread() {
    return this.pieces.length - this.read;
  }

  get text() {
    return this.pieces.map(({ text }) => text).join("");
  }

  get raw() {
    return this.pieces.map(({ raw }) => raw).join("");
  }

  /** Add a piece to the end, to be read later. */
  add(added) {
    this.tokens.push(this.tokens.at(-1) + added.ids.length);
    this.pieces.push(added);
  }

  /** Read one piece, and record its surprisal. */
  readNext() {
    const next = this.pieces[this.read];
    if (next.ids.length) [this.now, next.nats] = this.after(next, this.now);
    this.read++;
    if (this.read % EVERY === 0) this.kept[this.read / EVERY] = this.now;
  }

  /** The network after a piece, and the piece's surprisal; `before` is the network before it. */
  after({ ids, typed }, before) {
    let now = before.logits === null && !typed ? this.begun : before;
    let nats = now.logits === null && ids.length === 1 ? null : 0;
    for (const id of ids) {
      if (now.logits !== null) nats += surprisal(now.logits, id);
      now = id === this.itemEnd ? this.begun : this.network.step(id, now.state);
    }
    return [now, nats];
  }

  /** The network before a piece that has been read, or before the next one. */
  before(count) {
    if (count === this.read) return this.now;
    let at = Math.floor(count / EVERY) * EVERY;
    let now = this.kept[at / EVERY];
    for (; at < count; at++) if (this.pieces[at].ids.length) [now] = this.after(this.pieces[at], now);
    return now;
  }

  /** The logits for a piece, which give its alternatives; null if it is not predicted. */
  logits(count) {
    const { logits } = this.before(count);
    const predicted = count === this.pieces.length || !this.pieces[count].typed;
    return logits === null && predicted ? this.begun.logits : logits;
  }

  /** Keep only the first `count` pieces. */
  cut(count) {
    if (count < this.read) {
      this.now = this.before(count);
      this.read = count;
      this.kept.length = Math.floor(count / EVERY) + 1;
    }
    this.pieces.length = count;
    this.tokens.length = count + 1;
  }

  /** Replace the text after an edit by the reader, keeping unchanged pieces at both ends. */
  edit(text) {
    let [first, start] = [0, 0];
    while (first < this.pieces.length && text.startsWith(this.pieces[first].text, start)) {
      start += this.pieces[first].text.length;
      first++;
    }
    let [last, end] = [this.pieces.length, text.length];
    while (last > first && end - this.pieces[last - 1].text.length >= start && text.endsWith(this.pieces[last - 1].text, end)) {
      end -= this.pieces[last - 1].text.length;
      last--;
    }
    const tail = this.pieces.slice(last).map((old) => ({ ...old, nats: null }));
    this.cut(first);
    for (const character of text.slice(start, end)) this.add({ ...this.vocabulary.encode(character), typed: true });
    tail.forEach((old) => this.add(old));
    return first;
  }

  /** Replace all pieces, for example to restore an earlier text; returns how many at the beginning are unchanged. */
  replace(pieces) {
    let same = 0;
    while (same < this.pieces.length && this.pieces[same] === pieces[same]) same++;
    this.cut(same);
    pieces.slice(same).forEach((each) => this.add(each));
    return same;
  }

  /**
   * Write one character; a model of bytes may need several tokens for it. All pieces must have been read.
   * @param first the id of its first token, if the reader picked one
   */
  write({ temperature, topP, seed }, first = null) {
    const decoder = this.vocabulary.decoder();
    const complete = [];
    let { now } = this;
    for (let count = 0; count === 0 || decoder.pending.length; count++) {
      if (now.logits === null) now = this.begun;
      const random = uniform(seed, this.tokens.at(-1) + count);
      const id = count === 0 && first !== null ? first : draw(choices(now.logits, temperature, topP), random);
      complete.push(...decoder.feed(id));
      if (count + 1 === LONGEST_CHARACTER) complete.push(...decoder.finish());
      if (decoder.pending.length) now = this.network.step(id, now.state);
    }
    for (const each of complete) {
      this.add({ ...each, picked: first !== null });
      this.readNext();
    }
  }

  /** What the reader has typed at the beginning of the last line, without unknown characters; for a model of lines. */
  lineBeginning() {
    const line = this.pieces.slice(this.pieces.findLastIndex(({ ids }) => ids[0] === this.itemEnd) + 1);
    const written = line.findIndex(({ typed }) => !typed);
    return line.slice(0, written < 0 ? line.length : written).filter(({ ids }) => ids.length);
  }

  /** The characters that the model has never seen, each once. */
  unknown() {
    return [...new Set(this.pieces.filter(({ ids }) => ids.length === 0).map(({ raw }) => raw))];
  }
}

// The text that the reader and the model write together.
//
// A text is a list of pieces, one for each character. Only the surprise of a piece ever changes:
//
//     text       what to show; `raw` is the character itself, which differs for control characters
//     ids        the tokens: one, or the bytes of the character; none for a character that the model has never seen
//     typed      whether the reader typed it; `picked`: whether the reader picked it from the alternatives
//     nats       the surprise of its tokens; null if it has not been read yet, or is not predicted

const EVERY = 64; // pieces, after which the network's state is kept
const LONGEST_CHARACTER = 8; // bytes; if a character takes more, the model does not write UTF-8

const INVISIBLE = /[\u0080-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]/u;

/** A character in visible form: control characters become symbols, so that none can move or hide other text. */
function visible(character) {
  const code = character.codePointAt(0);
  if (character === "\n" || character === "\t") return character;
  if (code < 0x20) return String.fromCodePoint(0x2400 + code);
  if (code === 0x7f) return "\u2421";
  return INVISIBLE.test(character) ? "\ufffd" : character;
}

const piece = (raw, ids, more = {}) => ({ raw, text: visible(raw), ids, typed: false, picked: false, nats: null, ...more });

/** A vocabulary of characters: each id is one. */
class Characters {
  constructor(codePoints) {
    this.characters = codePoints.map((code) => String.fromCodePoint(code));
    this.ids = new Map([...this.characters].map((character, id) => [visible(character), id]));
    this.characters.forEach((character, id) => this.ids.set(character, id)); // these take precedence over visible forms
  }

  encode(character) {
    const id = this.ids.get(character);
    return id === undefined ? piece(character, []) : piece(this.characters[id], [id]);
  }

  decoder() {
    return { pending: [], feed: (id) => [piece(this.characters[id], [id])], finish: () => [] };
  }

  name(id) {
    return this.characters[id];
  }
}

/** The vocabulary of all bytes: a character has one to four of them, in UTF-8. */
class Bytes {
  encode(character) {
    return piece(character, [...new TextEncoder().encode(character)]);
  }

  decoder() {
    return new Utf8Decoder();
  }

  name(id) {
    return id < 128 ? String.fromCodePoint(id) : `0x${id.toString(16).toUpperCase()}`;
  }
}

/** Turns bytes that arrive one at a time into characters; bytes that are not UTF-8 become U+FFFD. */
class Utf8Decoder {
  pending = []; // the bytes of an incomplete character

  /** The pieces that this byte completes: none within a character, two after an incomplete one. */
  feed(byte) {
    const complete = this.pending.length && !continues(this.pending, byte) ? this.finish() : [];
    this.pending.push(byte);
    return this.pending.length < lengthAfter(this.pending[0]) ? complete : [...complete, ...this.finish()];
  }

  finish() {
    const bytes = this.pending;
    this.pending = [];
    return bytes.length ? [piece(new TextDecoder("utf-8", { ignoreBOM: true }).decode(Uint8Array.from(bytes)), bytes)] : [];
  }
}

/** The length in bytes of a character that begins with this byte; 0: none does. */
function lengthAfter(byte) {
  if (byte < 0x80) return 1;
  if (byte < 0xc2 || byte > 0xf4) return 0;
  return byte < 0xe0 ? 2 : byte < 0xf0 ? 3 : 4;
}

/** Whether a byte continues an incomplete character. After four of the first bytes, Unicode forbids some second ones. */
function continues([first, ...others], byte) {
  const second = { 0xe0: [0xa0, 0xbf], 0xed: [0x80, 0x9f], 0xf0: [0x90, 0xbf], 0xf4: [0x80, 0x8f] }[first];
  const [lowest, highest] = (others.length === 0 && second) || [0x80, 0xbf];
  return lowest <= byte && byte <= highest;
}

/** The text, and the network after it. */
class Writing {
  constructor(data, network) {
    this.network = network;
    this.vocabulary = data.code_points.length ? new Characters(data.code_points) : new Bytes();
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

  /** Read one piece, and record its surprise. */
  readNext() {
    const next = this.pieces[this.read];
    if (next.ids.length) [this.now, next.nats] = this.after(next, this.now);
    this.read++;
    if (this.read % EVERY === 0) this.kept[this.read / EVERY] = this.now;
  }

  /** The network after a piece, and the piece's surprise; `before` is the network before it. */
  after({ ids, typed }, before) {
    let now = before.logits === null && !typed ? this.begun : before;
    let nats = now.logits === null && ids.length === 1 ? null : 0;
    for (const id of ids) {
      if (now.logits !== null) nats += surprise(now.logits, id);
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

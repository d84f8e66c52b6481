// Characters and their ids. A character is a piece:
//
//     text       what the page shows; `raw` is the character itself, which differs for control characters
//     ids        the tokens: one, or the bytes of the character; none if the model has never seen the character
//
// writing.js adds more to it.

const LONGEST_CHARACTER = 8; // bytes; a model of bytes that needs more for one character is not writing UTF-8

const INVISIBLE = /[\u0080-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]/u;

/** A character as the page shows it: control characters become symbols, so that they cannot move or hide other text. */
function visible(character) {
  const code = character.codePointAt(0);
  if (character === "\n" || character === "\t") return character;
  if (code < 0x20) return String.fromCodePoint(0x2400 + code);
  if (code === 0x7f) return "\u2421";
  return INVISIBLE.test(character) ? "\ufffd" : character;
}

const piece = (raw, ids, more = {}) => ({ raw, text: visible(raw), ids, typed: false, picked: false, nats: null, ...more });

/** A vocabulary in which each id is a character. */
class Characters {
  constructor(codePoints) {
    this.characters = codePoints.map((code) => String.fromCodePoint(code));
    this.ids = new Map([...this.characters].map((character, id) => [visible(character), id]));
    this.characters.forEach((character, id) => this.ids.set(character, id)); // these take precedence over symbols
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
  /** As in Python, a lone surrogate represents a byte that is not UTF-8. */
  encode(character) {
    const code = character.codePointAt(0);
    const ids = 0xdc80 <= code && code <= 0xdcff ? [code - 0xdc00] : new TextEncoder().encode(character);
    return piece(character, [...ids]);
  }

  decoder() {
    return new Utf8Decoder();
  }

  name(id) {
    return id < 128 ? String.fromCodePoint(id) : `0x${id.toString(16).toUpperCase()}`;
  }
}

/** Turns bytes that come one at a time into characters; bytes that are not UTF-8 become U+FFFD. */
class Utf8Decoder {
  pending = []; // the bytes of an incomplete character

  /** The pieces that this byte completes: none in the middle of a character, two after an incomplete one. */
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

/** The length in bytes of a character that begins with this byte; 0 if none does. */
function lengthAfter(byte) {
  if (byte < 0x80) return 1;
  if (byte < 0xc2 || byte > 0xf4) return 0;
  return byte < 0xe0 ? 2 : byte < 0xf0 ? 3 : 4;
}

/** Whether a byte continues an incomplete character. After four first bytes, Unicode forbids some second bytes. */
function continues([first, ...others], byte) {
  const second = { 0xe0: [0xa0, 0xbf], 0xed: [0x80, 0x9f], 0xf0: [0x90, 0xbf], 0xf4: [0x80, 0x8f] }[first];
  const [lowest, highest] = (others.length === 0 && second) || [0x80, 0xbf];
  return lowest <= byte && byte <= highest;
}

const vocabularyOf = ({ code_points }) => (code_points.length ? new Characters(code_points) : new Bytes());

/** The visible name of a character, such as a space, or of a byte. */
function nameOf(character) {
  return { " ": "␣", "\n": "↵", "\t": "⇥" }[character] ?? (character.startsWith("0x") ? character : visible(character));
}

/** A character in a line of text, where a line feed must be visible. */
const inLine = (character) => (character === "\n" ? "↵" : visible(character));

/** The distinct characters of a text that a vocabulary does not have. */
const unknownTo = (vocabulary, text) => [...new Set(text)].filter((character) => vocabulary.encode(character).ids.length === 0);

/** Name characters in a message, at most five of them. */
function namesOf(characters) {
  const code = (character) => character.codePointAt(0).toString(16).toUpperCase().padStart(4, "0");
  const names = characters.slice(0, 5).map((character) => `\u201c${visible(character)}\u201d (U+${code(character)})`);
  return names.join(", ") + (characters.length > 5 ? ` and ${characters.length - 5} more` : "");
}

// The display, and the reader's actions. Uses base, engine, vocabulary, sampling and writing, which come before it.

const network = new Network(data);
const writing = new Writing(data, network);
const lines = data.end_token !== null;
const unit = data.code_points.length ? "character" : "byte";

const FRAME = 32; // milliseconds of computing before the text is shown again
const MAX_LENGTH = 100_000; // characters, after which the model stops writing
const SHOWN = 8; // alternatives
const MAX_BITS = 8; // the end of the surprisal scale
const REMEMBERED = 50; // earlier texts, for undo
const PAUSE = 1000; // milliseconds without typing, after which a change can be undone separately

const spans = []; // one for each piece
const earlier = []; // the pieces of earlier texts, the newest last
let painted = 0; // how many pieces have their colour
let left = 0; // how many characters, or lines, the model still has to write
let beginning = []; // the beginning of each line, for a model of lines
let chosen = null; // the piece whose alternatives are shown
let cursor = 0; // the cursor position for which it was chosen
let running = false; // whether `frame` will be called
let editing = false; // whether the last change was the reader's typing
let edited = 0; // the time of that change, in milliseconds
let written = { characters: 0, milliseconds: 0 }; // since the button was pressed

const settings = () => ({
  temperature: Number(element("temperature").value),
  topP: Number(element("top-p").value),
  seed: Math.min(Math.max(Math.floor(Number(element("seed").value)) || 0, 0), Number.MAX_SAFE_INTEGER),
});

// The text. The reader types into a transparent text area above the same text in colours.

const bits = (nats) => nats / Math.LN2;

function paint(index) {
  const { nats, ids, typed, picked } = writing.pieces[index];
  const level = nats === null ? 0 : Math.min(MAX_BITS, Math.round(bits(nats)));
  spans[index].className = `b${level}${typed || picked ? " own" : ""}${ids.length ? "" : " unknown"}`;
}

/** Show the pieces from this one on; earlier ones did not change. */
function show(first) {
  for (const span of spans.splice(first)) span.remove();
  while (shownLines.length > 1 && !shownLines.at(-1).hasChildNodes()) shownLines.pop().remove();
  painted = Math.min(painted, first);
  for (; painted < Math.min(first, writing.read); painted++) paint(painted);
  for (let index = first; index < writing.pieces.length; index++) {
    if (index > 0 && writing.pieces[index - 1].text === "\n") shownLines.push(newLine());
    const span = create("span", "", writing.pieces[index].text);
    spans.push(span);
    shownLines.at(-1).append(span);
    paint(index);
  }
  painted = writing.read;
  if (left === 0 || element("text").value === "") update();
}

/** Whether the end of the text is (nearly) in view. */
function atEnd() {
  const { scrollHeight, scrollTop, clientHeight } = element("sheet");
  return scrollHeight - scrollTop - clientHeight < 40;
}

function scrollToEnd() {
  element("sheet").scrollTop = element("sheet").scrollHeight;
}

/** A separate layout box for each line, so that a change at the end of a long text is fast to show. */
function newLine() {
  const line = create("div", "");
  element("shown").insertBefore(line, end);
  return line;
}

/** Update the text area. This waits while the model is writing, because it is slow for a long text. */
function update() {
  if (element("text").value !== writing.text) element("text").value = writing.text;
}

const end = create("div", "end", "\u200b"); // shown when the text ends with a line feed
element("shown").append(end);
const shownLines = [newLine()];

function showProblem() {
  const unknown = writing.unknown();
  element("problem").textContent = `The model has never seen ${namesOf(unknown)}, and skips such characters.`;
  element("problem").hidden = unknown.length === 0;
}

// Writing: compute for a few milliseconds, then let the browser show the text.

function frame() {
  const [start, before] = [performance.now(), spans.length];
  const follows = left > 0 && atEnd(); // the reader may have scrolled back
  const chosenSettings = settings();
  let now = start;
  while (now < start + FRAME && (writing.unread || left > 0)) {
    if (writing.unread) writing.readNext();
    else if (writing.pieces.length >= MAX_LENGTH) left = 0;
    else writeNext(chosenSettings);
    now = performance.now();
  }
  if (writing.pieces.length > before) written.milliseconds += now - start;
  show(before);
  if (follows) scrollToEnd();
  running = writing.unread > 0 || left > 0;
  if (running) requestAnimationFrame(frame);
  else finish();
}

function writeNext(chosenSettings) {
  if (lines && beginning.length && writing.pieces.at(-1)?.ids[0] === data.end_token) {
    beginning.forEach((each) => writing.add({ ...each, nats: null }));
    if (writing.unread) return;
  }
  const before = writing.pieces.length;
  writing.write(chosenSettings);
  written.characters += writing.pieces.length - before;
  if (!lines) left -= writing.pieces.length - before;
  else if (writing.pieces.at(-1).ids[0] === data.end_token) left--;
}

function run() {
  if (!running) {
    running = true;
    written = { characters: 0, milliseconds: 0 };
    requestAnimationFrame(frame);
  }
  showButton();
}

/** Let the model continue after the last piece; `first`: the id of the first token, if the reader picked one. */
function write(first = null) {
  if (element("new-seed").checked) element("seed").value = Math.floor(Math.random() * 1e6);
  beginning = lines ? writing.lineBeginning() : [];
  if (first !== null) {
    const before = writing.pieces.length;
    writing.write(settings(), first);
    show(before);
  }
  left = Number(element("length").value);
  scrollToEnd();
  choose(null);
  run();
}

function stop() {
  left = 0;
  showButton();
}

function finish() {
  update();
  showButton();
  const predicted = writing.pieces.filter(({ nats }) => nats !== null);
  const sum = predicted.reduce((total, { nats }) => total + bits(nats), 0);
  const mean = predicted.length ? `, ${(sum / predicted.length).toFixed(2)} bits each` : "";
  const speed = written.milliseconds ? (1000 * written.characters) / written.milliseconds : 0;
  const fast = written.characters >= 50 ? `; wrote ${count(Math.round(speed))} per second` : "";
  const full = writing.pieces.length >= MAX_LENGTH ? "; this is the maximum length" : "";
  element("status").textContent = writing.pieces.length ? `${count(writing.pieces.length)} characters${mean}${fast}${full}` : "";
  if (written.characters) {
    element("text").setSelectionRange(writing.text.length, writing.text.length);
    written.characters = 0;
  }
  choose(placeOfCursor());
}

function showButton() {
  element("write").textContent = left > 0 ? "Stop" : "Write";
  element("undo").disabled = earlier.length === 0;
  element("clear").disabled = element("copy").disabled = writing.pieces.length === 0;
}

// Undo

function remember() {
  editing = false;
  earlier.push([...writing.pieces]);
  if (earlier.length > REMEMBERED) earlier.shift();
}

function replace(pieces) {
  stop();
  editing = false;
  show(writing.replace(pieces));
  showProblem();
  run();
}

// Alternatives

const likelihood = (probability) => (probability < 0.0005 ? "<0.1%" : percent(probability, 1));

/** The piece after the cursor. */
function placeOfCursor() {
  const cursor = element("text").selectionStart;
  for (let [index, at] = [0, 0]; index < writing.pieces.length; index++) {
    at += writing.pieces[index].text.length;
    if (at > cursor) return index;
  }
  return writing.pieces.length;
}

/** The clicked piece; the cursor may be before or after it. */
function placeOfClick(event) {
  const place = placeOfCursor();
  const hit = (index) => {
    const boxes = [...(spans[index]?.getClientRects() ?? [])];
    return boxes.some(({ left: from, right, top, bottom }) => {
      return from <= event.clientX && event.clientX <= right && top <= event.clientY && event.clientY <= bottom;
    });
  };
  return hit(place - 1) && !hit(place) ? place - 1 : place;
}

/** Show the alternatives of a piece, or of none (null). */
function choose(index) {
  cursor = element("text").selectionStart;
  spans[chosen]?.classList.remove("chosen");
  chosen = index === null || index > writing.read ? null : index;
  spans[chosen]?.classList.add("chosen");
  const logits = chosen === null ? null : writing.logits(chosen);
  const piece = chosen === null ? undefined : writing.pieces[chosen];
  const list = element("alternatives");
  element("place").textContent = piece ? `Instead of \u201c${nameOfPiece(piece)}\u201d` : "What comes next";
  element("came").textContent = placeText(piece, logits);
  list.replaceChildren();
  if (logits === null) return;
  const probabilities = softmax(logits);
  const order = ranked(probabilities);
  const came = piece?.ids.length ? order.indexOf(piece.ids[0]) : -1;
  const ranks = [...order.keys()].slice(0, SHOWN);
  if (came >= SHOWN) ranks.push(came);
  for (const rank of ranks) list.append(alternative(order[rank], rank, probabilities, rank === came));
}

function nameOfPiece({ text, ids }) {
  return ids.length === 1 ? nameOf(writing.vocabulary.name(ids[0])) : text;
}

function placeText(piece, logits) {
  if (left > 0) return "The model is writing.";
  if (chosen === null) return "";
  if (piece && !piece.ids.length) return "The model has never seen this character.";
  if (logits === null) return "The model does not predict the first character.";
  if (!piece) return "The model expects:";
  return `${bits(piece.nats).toFixed(1)} bits of surprisal. The model expected:`;
}

function alternative(id, rank, probabilities, came) {
  const probability = probabilities[id];
  const button = create("button", came ? "came" : "");
  button.type = "button";
  button.dataset.id = id;
  button.title = came ? "already in the text; pick it to rewrite what follows" : "pick it, and continue from there";
  button.append(
    create("span", "key", rank < SHOWN ? rank + 1 : ""),
    create("span", "token", nameOf(writing.vocabulary.name(id))),
    bar(probability),
    create("span", "number", likelihood(probability)),
  );
  button.addEventListener("click", () => pick(id));
  const item = create("li", "");
  item.append(button);
  return item;
}

/** Replace the chosen piece with a token, and continue from there. */
function pick(id) {
  if (chosen === null || running) return;
  const place = chosen;
  remember();
  writing.cut(place);
  show(place);
  write(id);
}

// The reader's actions
element("text").addEventListener("beforeinput", () => {
  if (left === 0) return;
  stop(); // typing while the model writes continues at the end
  update();
});
element("text").addEventListener("input", () => {
  const now = performance.now();
  if (!editing || now - edited > PAUSE) remember();
  [editing, edited] = [true, now];
  stop();
  show(writing.edit(element("text").value));
  showProblem();
  run();
});
element("text").addEventListener("click", (event) => {
  if (!running) choose(placeOfClick(event));
});
document.addEventListener("selectionchange", () => {
  const moved = element("text").selectionStart !== cursor; // a click has already chosen, more precisely
  if (moved && document.activeElement === element("text") && !running) choose(placeOfCursor());
});

function toggle() {
  if (left > 0) return stop();
  remember();
  write();
}

function undo() {
  if (earlier.length) replace(earlier.pop());
}

async function copy() {
  const text = element("text");
  try {
    await navigator.clipboard.writeText(writing.raw);
  } catch {
    text.select(); // some browsers deny the clipboard to pages from disk
    document.execCommand("copy");
  }
  element("status").textContent = "copied";
}

element("write").addEventListener("click", toggle);
element("undo").addEventListener("click", undo);
element("copy").addEventListener("click", copy);
element("clear").addEventListener("click", () => {
  remember();
  replace([]);
  element("text").focus();
});
document.addEventListener("keydown", (event) => {
  const command = event.ctrlKey || event.metaKey;
  const number = /^Digit([1-8])$/.exec(event.code)?.[1];
  if (event.key === "Escape" && left > 0) stop();
  else if (event.key === "Enter" && command) toggle();
  else if (event.key === "z" && command && !event.shiftKey && event.target === element("text")) undo();
  else if (number && event.altKey && !command) {
    element("alternatives").children[number - 1]?.firstChild.click();
    element("text").focus();
  } else return;
  event.preventDefault();
});

// Settings

function showSettings() {
  const { temperature, topP } = settings();
  element("temperature-value").textContent = temperature === 0 ? "0: always the likeliest" : temperature.toFixed(2);
  element("top-p-value").textContent = topP === 1 ? "1: all" : topP.toFixed(2);
}
element("temperature").addEventListener("input", showSettings);
element("top-p").addEventListener("input", showSettings);
element("seed").addEventListener("input", () => {
  element("new-seed").checked = false;
});
element("colored").addEventListener("change", (event) => {
  element("shown").classList.toggle("plain", !event.target.checked);
});

const lengths = lines ? { 1: "1 line", 10: "10 lines", 100: "100 lines" } : { 200: "200", 500: "500", 2000: "2,000" };
for (const [value, name] of Object.entries({ ...lengths, Infinity: "until stopped" })) {
  const shown = lines || value === "Infinity" ? name : `${name} characters`;
  element("length").append(new Option(shown, value, false, name === "500" || name === "10 lines"));
}
for (let level = 0; level <= MAX_BITS; level++) {
  element("legend").append(create("span", `b${level}`, level === MAX_BITS ? `${level}+` : level));
}
for (const named of document.querySelectorAll(".unit")) named.textContent = unit;
element("name").textContent = [...data.name].map(visible).join("");
element("about").textContent = data.about;
showSettings();
showButton();
choose(0);

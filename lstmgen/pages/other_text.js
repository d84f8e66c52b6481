// Another text, typed by the reader or written by a network.

const LONGEST = Math.max(4000, [...data.text].length); // characters

/** Whether a network may write each token: only characters that all networks know, or any byte if all of them read bytes. */
function allowed(reading) {
  const names = Array.from(reading.steps[0].logits, (_, id) => reading.vocabulary.name(id));
  if (readings.every(({ data: own }) => own.code_points.length === 0)) return names.map(() => true);
  return names.map((name) => [...name].length === 1 && readings.every(({ vocabulary }) => !unknownTo(vocabulary, name).length));
}

/** Let the network in focus, with its lesion if it has one, write from the current character on. */
function* writeOn(written, most) {
  const [temperature, seed] = [Number(element("temperature").value), Math.max(0, Math.floor(element("seed").value)) || 0];
  const [writer, may, decoder] = [focus, allowed(focus), focus.vocabulary.decoder()];
  let now = writer.shown(position);
  for (let number = 0; written.length < most && number < LONGEST_CHARACTER * most; number++) {
    const logits = now.logits.map((logit, id) => (may[id] ? logit : -Infinity));
    const id = draw(choices(logits, temperature, 1), uniform(seed, position + number));
    written.push(...decoder.feed(id).map(({ raw }) => raw));
    now = writer.token(id, now, writer.heldAt(position));
    yield;
  }
}

function write() {
  const [written, before] = [[], text.slice(0, position + 1)];
  const most = Math.max(0, Math.min(Number(element("length").value), LONGEST - before.length));
  start("write", writeOn(written, most), () => {
    element("wrote").textContent = `${focus.data.name} has written ${written.length} of ${most} characters`;
    if (tasks.has("write")) return;
    element("wrote").textContent = "";
    setText([...before, ...written]);
  });
}

function readOwn() {
  const characters = [...element("own").value].slice(0, LONGEST);
  const problems = readings
    .map((reading) => [reading.data.name, unknownTo(reading.vocabulary, characters)])
    .filter(([, unknown]) => unknown.length)
    .map(([name, unknown]) => `${name} has never seen ${namesOf(unknown)}.`);
  if (characters.length === 0) problems.push("Type a text first.");
  element("problem").textContent = problems.join(" ");
  element("problem").hidden = problems.length === 0;
  if (problems.length) return;
  position = 0;
  setText(characters);
}

// The panel of one network at a step: the picture of its cell with numbers, its predictions, influence and likeness.

class Panel {
  constructor(reading, root) {
    this.reading = reading;
    this.root = root;
    this.wires = [...root.querySelectorAll(".wire[data-value]")];
    this.written = [...root.querySelectorAll(".live")];
    this.parts = [...new Set(reading.data.lines.map((line) => line.part))];
    for (const part of root.querySelectorAll(".attentive")) part.hidden = reading.network.window === 0;
  }

  part(name) {
    return this.root.querySelector(`.${name}`);
  }

  show(step) {
    this.showStatus(step);
    this.showCell(step);
    this.showPredictions(step);
    this.showLoss();
  }

  showStatus(step) {
    const { layer, unit } = this.reading;
    this.part("where").textContent = `Unit ${layer}.${unit} at ${where(step)}`;
    this.part("does").textContent = sentence(this.reading, step);
  }

  /** Show the values of a step: the larger a value, the thicker its wire. */
  showCell(step) {
    for (const wire of this.wires) {
      const now = computed(this.reading, wire.dataset.value, step);
      const known = Number.isFinite(now);
      const own = ["gated", "recalled"].find((kind) => wire.classList.contains(kind));
      const color = { gated: "--gate", recalled: "--picked" }[own] ?? (now < 0 ? "--negative" : "--positive");
      wire.style.setProperty("--wire", known ? `rgb(var(${color}))` : "");
      const most = wire.classList.contains("peephole") ? 2 : 5; // pixels
      wire.querySelector(".line").style.strokeWidth = known ? 1.25 + most * Math.tanh(Math.abs(now)) : "";
    }
    for (const text of this.written) {
      const now = computed(this.reading, text.dataset.value, step);
      text.textContent = Number.isFinite(now) ? number(now) : "";
    }
    for (const text of this.root.querySelectorAll(".back")) {
      const past = pastToken(this.reading, [...text.classList].at(-1), step);
      text.textContent = past ? `${nameAt(past.step)}, ${past.back} back` : "";
    }
  }

  /** Show a step up to one of its parts, from 1; 0: all of it. */
  showPart(chosen) {
    const part = Math.min(chosen, this.parts.length);
    for (const drawn of this.root.querySelectorAll(".diagram [data-part]")) {
      drawn.classList.toggle("later", part > 0 && drawn.dataset.part > part);
      drawn.classList.toggle("earlier", drawn.dataset.part < part);
    }
    const first = this.root.querySelector(`.diagram .gate[data-part="${part}"], .diagram [data-part="${part}"]`);
    const frame = this.part("cell"); // on a phone the frame is narrower than the picture
    const [box, own] = [frame.getBoundingClientRect(), first?.getBoundingClientRect()];
    frame.scrollLeft = own ? frame.scrollLeft + own.left - box.left - box.width / 3 : 0;
  }

  showPredictions(step) {
    const { reading } = this;
    const probabilities = softmax(reading.shown(step).logits);
    const intact = reading.heldAt(step) && softmax(reading.steps[step].logits);
    const [came] = step + 1 < text.length ? reading.vocabulary.encode(text[step + 1]).ids : [];
    const remark = (id) =>
      [id === came ? "came next" : "", intact ? `intact ${percent(intact[id])}` : ""].filter(Boolean).join(", ");
    this.likely = ranked(probabilities).slice(0, 5);
    const named = this.likely.map((id) => [nameOf(reading.vocabulary.name(id)), probabilities[id], remark(id)]);
    showFractions(this.part("predictions"), named, "--gate");
    const next = named.slice(0, 3).map(([name, fraction]) => `${inWords(name)} ${percent(fraction)}`);
    this.part("next").textContent = `Likely next: ${next.join(", ")}.`;
    const looked = reading.recalled(step).filter(({ weight }) => weight >= 0.01).slice(0, 5);
    const backs = looked.map((past) => [nameAt(past.step), past.weight, `${past.back} back`]);
    showFractions(this.part("attention"), backs, "--picked");
  }

  /** What the lesion costs. */
  showLoss() {
    const { reading } = this;
    const box = this.part("harm");
    box.hidden = !harm;
    if (!harm) return;
    if (!reading.lesion) {
      const none = `The lesion \u201c${harm.name}\u201d does nothing to this cell, which has no such gate.`;
      if (box.textContent !== none) box.textContent = none;
      return;
    }
    const { count: characters, harmed, intact } = lossesAfter(reading, NEXT);
    const cost = harmed - intact;
    const loss =
      characters < 1
        ? "There are no characters left to predict."
        : `The next ${characters} characters cost ${harmed.toFixed(2)} nats each, ${intact.toFixed(2)} without the lesion ` +
          `(${cost < 0 ? "\u2212" : "+"}${Math.abs(cost).toFixed(2)}).`;
    const title = `Lesion: ${reading.lesion.words}, ${harm.where}, from ${where(harm.from)}. `;
    if (box.textContent !== title + loss) box.replaceChildren(create("b", "", title), loss); // every change is read aloud
  }

  /** The characters on which the prediction depends most. */
  showInfluence(effects, step) {
    const found = Object.keys(effects).map(Number).sort((one, other) => effects[other] - effects[one]).slice(0, 5);
    this.part("influence").hidden = false;
    const most = Math.max(...found.map((at) => effects[at]), 1e-9);
    const list = this.part("influence").querySelector("ul");
    showFractions(list, found.map((at) => [nameAt(at), effects[at] / most, `${step - at} back`]), "--picked");
    found.forEach((at, number) => {
      list.children[number].querySelector(".number").textContent = inNats(effects[at]);
    });
  }

  /** Show buttons that go to the places where the state is similar. */
  showLikeness(likeness, [first, last]) {
    this.part("likeness").hidden = false;
    const items = mostAlike(likeness, [first, last]).map((end) => {
      const from = end - (last - first);
      const button = create("button", "token");
      button.type = "button";
      const shown = (start, stop) => text.slice(Math.max(0, start), stop).map(inLine).join("");
      button.append(shown(from - 15, from), create("mark", "", shown(from, end + 1)), shown(end + 1, end + 11));
      button.title = `character ${count(end + 1)}`;
      button.addEventListener("click", () => go(end));
      const item = create("li", "likely");
      item.append(create("span", "number", likeness[end].toFixed(2)), button);
      return item;
    });
    this.part("likeness").querySelector("ul").replaceChildren(...items);
  }
}

/** Show fractions as bars, each with a name, the fraction, and a remark. */
function showFractions(list, fractions, color) {
  list.replaceChildren(
    ...fractions.map(([name, fraction, remark]) => {
      const item = create("li", "likely");
      const filled = bar(fraction);
      filled.firstChild.style.background = `rgb(var(${color}))`;
      item.append(create("span", "token", name), filled, create("span", "number", percent(fraction)));
      item.append(create("span", "came", remark));
      return item;
    }),
  );
}

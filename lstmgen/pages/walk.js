// The walk: a row with a bar for each equation of the network in focus, and buttons for the parts of the step.

let rows = [];
let part = 0; // the part of the step to show, from 1; 0: all

function makeRows() {
  rows = focus.data.lines.map((line) => {
    const row = create("div", "row");
    const head = create("div", "");
    const shown = { numbers: create("span", "faint numbers"), value: create("span", "value") };
    const equation = create("span", "equation", `${line.letter} = ${line.equation}`);
    const named = create("div", "named");
    named.append(create("b", "", line.name), equation, shown.numbers);
    head.append(named, shown.value);
    const filled = bar(0, isGate(line.value) ? "bar" : "bar signed");
    row.append(head, filled, create("div", "faint", line.meaning));
    shown.value.dataset.value = line.value;
    return { line, row, fill: filled.firstChild, ...shown };
  });
  element("rows").replaceChildren(...rows.map(({ row }) => row));
}

function fillBar(fill, name, value) {
  const shown = name === "cell" ? Math.tanh(value) : value;
  const width = isGate(name) ? value : Math.abs(shown) / 2;
  fill.style.left = isGate(name) ? "0" : `${50 - (shown < 0 ? 100 * width : 0)}%`;
  fill.style.width = `${100 * width}%`;
  const color = isGate(name) ? "--gate" : shown < 0 ? "--negative" : "--positive";
  fill.style.background = `rgb(var(${color}))`;
}

function showWalk() {
  const { parts } = panels[readings.indexOf(focus)];
  for (const { line, row, ...shown } of rows) {
    const now = focus.value(line.value, position);
    row.hidden = part > 0 && line.part !== parts[Math.min(part, parts.length) - 1];
    shown.value.textContent = number(now);
    shown.numbers.textContent = numbers(focus, line, position);
    fillBar(shown.fill, line.value, now);
  }
}

/** Make a button for each part of the cell with the most parts. Their names come from the cell in focus. */
function makeParts() {
  const { parts } = panels[readings.indexOf(focus)];
  const most = Math.max(...panels.map((panel) => panel.parts.length));
  const buttons = Array.from({ length: most + 1 }, (_, number) => {
    const name = number === 0 ? "all" : [number, parts[number - 1]].join(" ").trim();
    const button = create("button", "", name);
    button.type = "button";
    button.addEventListener("click", () => showPart(number));
    return button;
  });
  element("parts").replaceChildren(...(most > 1 ? buttons : []));
}

function showPart(chosen) {
  part = chosen;
  for (const panel of panels) panel.showPart(part);
  [...element("parts").children].forEach((button, number) => button.setAttribute("aria-pressed", number === part));
  showWalk();
}

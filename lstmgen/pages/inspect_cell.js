// The picture of the cell: numbers on its wires, and the parts of a step. The script before this one: inspect_values.

const parts = [...new Set(data.lines.map((line) => line.part))];
const wires = [...document.querySelectorAll(".diagram .wire[data-value]")];
const written = [...document.querySelectorAll(".diagram .live")];
let part = 0; // the part that is shown, from 1; 0: all

/** Show the values of a step: a wire is as thick as its value is large. */
function showCell(step) {
  for (const wire of wires) {
    const now = computed(wire.dataset.value, step);
    const known = Number.isFinite(now);
    const own = ["gated", "recalled"].find((kind) => wire.classList.contains(kind));
    const color = { gated: "--gate", recalled: "--picked" }[own] ?? (now < 0 ? "--negative" : "--positive");
    wire.style.setProperty("--wire", known ? `rgb(var(${color}))` : "");
    const most = wire.classList.contains("peephole") ? 2 : 5; // pixels
    wire.querySelector(".line").style.strokeWidth = known ? 1.25 + most * Math.tanh(Math.abs(now)) : "";
  }
  for (const text of written) {
    const now = computed(text.dataset.value, step);
    text.textContent = Number.isFinite(now) ? number(now) : "";
  }
  for (const text of document.querySelectorAll(".diagram .back")) {
    const [back] = recalled([...text.classList].at(-1), step);
    text.textContent = back === undefined ? "" : `${nameAt(step - back)}, ${back} back`;
  }
}

/** Show what happens in a step up to one of its parts. */
function showPart(chosen) {
  part = chosen;
  for (const drawn of document.querySelectorAll(".diagram [data-part]")) {
    drawn.classList.toggle("later", part > 0 && drawn.dataset.part > part);
    drawn.classList.toggle("earlier", drawn.dataset.part < part);
  }
  const first = document.querySelector(`.diagram .gate[data-part="${part}"], .diagram [data-part="${part}"]`);
  const frame = document.querySelector(".cell"); // on a phone it is narrower than the picture
  const [box, own] = [frame.getBoundingClientRect(), first?.getBoundingClientRect()];
  frame.scrollLeft = own ? frame.scrollLeft + own.left - box.left - box.width / 3 : 0;
  for (const [number, button] of [...element("parts").children].entries()) {
    button.setAttribute("aria-pressed", number === part);
  }
}

if (parts.length > 1) {
  for (const [number, name] of ["all", ...parts].entries()) {
    const button = create("button", "", number ? `${number} ${name}` : name);
    button.type = "button";
    button.dataset.part = number;
    element("parts").append(button);
  }
}

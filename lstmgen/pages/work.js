// Long computations: in pieces, between which the page shows and listens.

const [PIECE, SHOWN] = [20, 100]; // milliseconds of computing at a time; between two looks at the progress
const tasks = new Map(); // by name: a generator and what shows its progress; the newest goes first
let scheduled = false;

/**
 * Start what a generator computes, which yields where it may pause. `show` is called now and then, and at the end. A task of
 * the same name is given up.
 */
function start(name, generator, show) {
  tasks.delete(name);
  tasks.set(name, { generator, show, shown: performance.now() });
  schedule();
}

function schedule() {
  if (scheduled || tasks.size === 0) return;
  scheduled = true;
  setTimeout(work);
}

function work() {
  scheduled = false;
  const [name, task] = [...tasks].at(-1) ?? [];
  if (!task) return;
  const end = performance.now() + PIECE;
  let done = false;
  while (!done && performance.now() < end) ({ done } = task.generator.next());
  if (done) tasks.delete(name);
  if (done || end > task.shown + SHOWN) {
    task.shown = end;
    task.show();
  }
  schedule();
}

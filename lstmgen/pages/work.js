// Long computations run in pieces, so that the page can show progress and react to its user in between.

const [PIECE, SHOWN] = [20, 100]; // milliseconds: of computing at a time, and between updates of the progress
const tasks = new Map(); // by name: a generator and what shows its progress; the newest runs first
let scheduled = false;

/**
 * Run a generator, which yields where it may pause. `show` is called regularly, and at the end. The new task replaces one of
 * the same name.
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

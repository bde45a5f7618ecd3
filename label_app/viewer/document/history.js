// Undo and redo without a limit: each step holds the values before and after of the places that it changed, and nothing else.

export class History {
  #done = [];
  #undone = [];
  #open = null;

  /**
   * Record a step that was done.
   * @param {string} words what it was, for the tooltip of Undo
   * @param {Map<string, {before: *, after: *}>} changes by place
   */
  record(words, changes) {
    if (!changes.size) return;
    this.#undone = [];
    if (!this.#open) {
      this.#done.push({ words, changes });
      return;
    }
    for (const [place, { before, after }] of changes) {
      const first = this.#open.changes.get(place);
      this.#open.changes.set(place, { before: first ? first.before : before, after });
    }
  }

  /** What is recorded until end() is one step: the moves of a drag. */
  begin(words) {
    this.end();
    this.#open = { words, changes: new Map() };
  }

  end() {
    if (this.#open?.changes.size) this.#done.push(this.#open);
    this.#open = null;
  }

  /** The step to take back, now counted as undone; null if there is none. */
  undo() {
    this.end();
    return move(this.#done, this.#undone);
  }

  redo() {
    this.end();
    return move(this.#undone, this.#done);
  }

  /** Words of the step that undo() would take back, or null. */
  get undoable() {
    return (this.#open?.changes.size ? this.#open : this.#done.at(-1))?.words ?? null;
  }

  get redoable() {
    return this.#undone.at(-1)?.words ?? null;
  }
}

function move(from, to) {
  const step = from.pop() ?? null;
  if (step) to.push(step);
  return step;
}

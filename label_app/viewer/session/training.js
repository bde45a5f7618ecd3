// Training on the server: started by a reviewer, watched by everybody, stopped, and what came of it.

const POLL_MS = { running: 2000, idle: 30_000 }; // somebody else may start one
const RUNNING = ['SUBMITTED', 'PENDING', 'RUNNING'];

export class Training {
  task = null; // as GET /train/ answers
  models = []; // history, newest first
  #timer = null;
  #watching = false;

  constructor(session) {
    this.session = session;
  }

  /** Begin to watch: once the server has loaded what answers. */
  start() {
    if (this.#watching) return;
    this.#watching = true;
    this.refresh();
  }

  stop() {
    this.#watching = false;
    clearTimeout(this.#timer);
  }

  get running() {
    return RUNNING.includes(this.task?.status);
  }

  /** Share of the work done, 0 to 1. */
  get share() {
    const { epoch = 0, max_epochs: epochs = 0, iteration = 0, iterations = 0 } = this.task?.progress ?? {};
    if (!epochs) return 0;
    return Math.min(1, (Math.max(epoch - 1, 0) + (iterations ? iteration / iterations : 0)) / epochs);
  }

  get mayTrain() {
    return this.session.user.roles.some(role => role === 'reviewer' || role === 'admin');
  }

  /** One line on what is going on, or what came of it. */
  get words() {
    const { task } = this;
    if (!task) return 'No training yet.';
    const { epoch, max_epochs: epochs, seconds_left: left } = task.progress ?? {};
    if (this.running) return epoch ? `Epoch ${epoch} of ${epochs}${left ? `, ${duration(left)} left` : ''}` : 'Training begins …';
    if (task.result?.published) return `New model: ${task.result.reason ?? 'published'}`;
    if (task.result) return `Old model kept: ${task.result.reason}`;
    if (task.status === 'ERROR') return `Training failed: ${task.details?.at(-1) ?? 'see the log of the server'}`;
    return task.status === 'STOPPED' ? 'Training was stopped.' : 'Training ended without a result.';
  }

  async begin() {
    await this.#do(() => this.session.server.train({}));
  }

  async end() {
    await this.#do(() => this.session.server.stopTraining());
  }

  async #do(action) {
    try {
      await action();
    } catch (error) {
      this.session.fail(error);
    }
    await this.refresh();
  }

  async refresh() {
    clearTimeout(this.#timer);
    const before = this.task;
    const was = this.running;
    try {
      this.task = await this.session.server.training();
      if (!this.running) this.models = await this.session.server.models();
    } catch {
      // told elsewhere: the server that answers nothing here answers nothing to the annotator either
    }
    if (!this.#watching) return; // stopped meanwhile
    const another = before && this.task?.id !== before.id; // begun and done between two looks
    if ((was || another) && !this.running) {
      this.session.say('done', this.words);
      this.session.model.refresh();
    }
    this.#timer = setTimeout(() => this.refresh(), this.running ? POLL_MS.running : POLL_MS.idle);
    this.session.changed();
  }
}

const duration = seconds => (seconds < 90 ? `${Math.round(seconds)} s` : `${Math.round(seconds / 60)} min`);

// The server's answers. Every failure becomes a ServerError whose message is meant for people, and says what to do.

// what is said where the server says nothing itself
const GONE = 'The server does not answer. Is it still running? Your work stays in this browser: try again when it is back.';
const LOGGED_OUT = 401;
const ADVICE = {
  [LOGGED_OUT]: 'You are logged out. Log in again, then repeat this; your work stays in this browser.',
  413: 'The request is too large for the server. Submit fewer frames, or ask the administrator.',
  502: GONE,
  504: GONE,
  507: 'The disk of the server is full. Nothing was lost: tell the administrator, and submit again when there is room.',
};

export class ServerError extends Error {
  /** @param {number} status HTTP status, 0 = no answer  @param {Object} answer what the server said, parsed */
  constructor(message, status = 0, answer = {}) {
    super(message);
    Object.assign(this, { name: 'ServerError', status, answer });
  }
}

export class Server {
  annotator = null; // sent where the server asks nobody who they are

  #headers(more = {}) {
    return this.annotator ? { 'X-Annotator': this.annotator, ...more } : more;
  }

  async #ask(path, { headers, ...options } = {}) {
    let response;
    try {
      response = await fetch(path, { ...options, headers: this.#headers(headers) });
    } catch (error) {
      if (error.name === 'AbortError') throw error;
      throw new ServerError(GONE);
    }
    const answer = await response.json().catch(() => null);
    if (response.ok && answer !== null) return answer;
    const words = typeof answer?.detail === 'string' ? answer.detail : null;
    const refused = `The server refused the request (HTTP ${response.status}).`;
    const fallback = response.ok ? 'The answer of the server cannot be read.' : refused;
    const told = response.status === LOGGED_OUT ? null : words;
    throw new ServerError(told ?? ADVICE[response.status] ?? fallback, response.status, answer ?? {});
  }

  #send(path, content, { method = 'POST', headers = {}, ...options } = {}) {
    const body = content === undefined ? undefined : JSON.stringify(content);
    return this.#ask(path, { method, body, headers: { 'Content-Type': 'application/json', ...headers }, ...options });
  }

  /** {state, problem, schema, model, uncertain_below, user, strategies, auth}. */
  status() {
    return this.#ask('/tavr/status');
  }

  /** The registered image that an instance or an id means: {id, study, series, image, remarks, frames: [{sop_instance_uid, frame}]}. */
  image(name) {
    return this.#ask(`/tavr/images/${encodeURIComponent(name)}`);
  }

  /** All registered images: [{id, frames, labelled_frames, version, patient}]. */
  images() {
    return this.#ask('/tavr/images');
  }

  /** Label JSON of the given 0-based frames, predicted by the model. */
  predict(imageId, frames, { groups = null, signal } = {}) {
    const form = new FormData();
    form.append('params', JSON.stringify({ frames, ...(groups ? { allowed_groups: groups } : {}) }));
    const query = new URLSearchParams({ image: imageId, output: 'json' });
    return this.#ask(`/infer/tavr_keypoints?${query}`, { method: 'POST', body: form, signal });
  }

  /** Label JSON of the frames strictly between two labelled ones, each {frame, points}. */
  track(imageId, from, to, { groups = null, signal } = {}) {
    const body = { from, to, ...(groups ? { allowed_groups: groups } : {}) };
    return this.#send(`/tavr/track/${encodeURIComponent(imageId)}`, body, { signal });
  }

  /** The current label: {version, label, author, time, versions}. */
  label(imageId) {
    return this.#ask(`/tavr/labels/${encodeURIComponent(imageId)}`);
  }

  /** Submit: {version}. A ServerError of status 409 if that is not the version on the server any more. */
  submit(imageId, label, { version, model = null }) {
    const headers = { 'If-Match': `"${version}"`, ...(model ? { 'X-Model': model } : {}) };
    return this.#send(`/tavr/labels/${encodeURIComponent(imageId)}`, label, { method: 'PUT', headers });
  }

  /** The frame that teaches the model most: {id, frame, reason, remaining}. */
  next(strategy, content = {}) {
    return this.#send(`/activelearning/${encodeURIComponent(strategy)}`, content);
  }

  /** The training that runs or ran last, or null before the first. */
  async training() {
    return (await this.#ask('/train/?all=true')).at(-1) ?? null;
  }

  train(content = {}) {
    return this.#send('/train/tavr_keypoints', content);
  }

  stopTraining() {
    return this.#ask('/train/', { method: 'DELETE' });
  }

  /** History of the models. */
  models() {
    return this.#ask('/tavr/models');
  }
}

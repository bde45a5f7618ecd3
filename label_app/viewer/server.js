// The server's answers. Every failure becomes an Error whose message is meant for people.

async function ask(path, options = {}) {
  let response;
  try {
    response = await fetch(path, options);
  } catch (error) {
    if (error.name === 'AbortError') throw error;
    throw new Error('The server does not answer. Is it still running?');
  }
  if (response.ok) return response.json();
  const words = await response
    .json()
    .then(answer => answer.detail)
    .catch(() => null);
  throw new Error(typeof words === 'string' ? words : `The server refused the request (HTTP ${response.status}).`);
}

/** Whether predictions can be had: {state, problem, schema, model, uncertain_below}. */
export function getStatus() {
  return ask('/tavr/status');
}

/** The registered image of a SOP instance: {id, frames: [{sop_instance_uid, frame}]}, one entry per frame. */
export function getImage(sopInstanceUid) {
  return ask(`/tavr/images/${encodeURIComponent(sopInstanceUid)}`);
}

/** Label JSON of the given 0-based frames, predicted by the model. */
export function predict(imageId, frames, { signal } = {}) {
  const form = new FormData();
  form.append('params', JSON.stringify({ frames }));
  const query = new URLSearchParams({ image: imageId, output: 'json' });
  return ask(`/infer/tavr_keypoints?${query}`, { method: 'POST', body: form, signal });
}

// What the program has to say: messages and errors in words, and the choice where somebody else changed the same frames.

import { button, element, setText } from './element.js';
import { timeOf } from '../session/work.js';

export function buildNotice(session) {
  const text = element('p', { className: 'tavr-note', role: 'status', aria: { live: 'polite' } });
  const doubt = element('p', { className: 'tavr-doubt', role: 'status', hidden: true, data: { tavr: 'unsure' } });
  const conflict = buildConflict(session);
  const node = element('div', { className: 'tavr-notice' }, doubt, text, conflict.node);
  const update = () => {
    const isUnsure = session.document?.isUnsure(session.frame) ?? false;
    const doubts = [...(session.image?.remarks ?? []), ...(isUnsure ? [UNSURE] : [])];
    doubt.hidden = !doubts.length;
    setText(doubt, doubts.join('. '));
    const [kind, words] = whatToSay(session);
    text.className = `tavr-note ${kind}`;
    text.setAttribute('role', kind === 'error' ? 'alert' : 'status');
    if (!session.message?.login) setText(text, words);
    else if (!text.querySelector('a')) text.replaceChildren(words, ' ', loginLink());
    text.hidden = !words;
    conflict.update();
  };
  return { node, update };
}

function loginLink() {
  const next = encodeURIComponent(location.pathname + location.search + location.hash);
  return element('a', { href: `/tavr/login?next=${next}`, textContent: 'Log in' });
}

const UNSURE = 'Model not sure this is a TAVR frame';
const SUGGESTIONS = 'Dashed points are suggestions: drag what is wrong, Enter accepts the rest.';

function whatToSay(session) {
  const { message, model, image, document, edit, schema } = session;
  if (message?.kind === 'error') return ['error', message.text];
  if (model.state.problem) return ['error', model.state.problem];
  if (message) return [message.kind, message.text];
  if (schema && !image) return ['hint', 'Keypoints are for X-ray angiography (XA, RF): choose such a series.'];
  if (!document) return ['hint', ''];
  if (edit.hidden) return ['hint', 'Points are hidden: H shows them.'];
  if (edit.selected && document.points(session.frame)[edit.selected]?.state === 'visible') {
    return ['hint', `${edit.selected} chosen: drag it, or arrows move it; A absent, Del deletes, Esc leaves.`];
  }
  if (edit.armed) return ['hint', `Click where ${edit.armed} is, or A if it is absent.`];
  if (document.suggestedFrames().includes(session.frame)) return ['hint', SUGGESTIONS];
  return ['hint', ''];
}

const HEADING = 'Somebody else submitted meanwhile';
const KEPT =
  'Frames on which only one of you worked are kept from both. Whatever you choose, every version stays on the server.';

function buildConflict(session) {
  const words = element('p');
  const list = element('div', { className: 'tavr-conflict-frames' });
  const chooseAll = choice => {
    const onclick = () => session.work.resolve(choice);
    return button({ className: 'tavr-small', data: { tavr: `all-${choice}` }, onclick }, CHOICES[choice]);
  };
  const aria = { label: HEADING };
  const node = element('div', { className: 'tavr-conflict', role: 'alertdialog', tabIndex: -1, hidden: true, aria });
  const all = element('div', { className: 'tavr-pair' }, chooseAll('mine'), chooseAll('theirs'));
  node.append(element('h3', { textContent: HEADING }), words, list, all);
  const update = () => {
    const { conflict } = session.work;
    const appears = node.hidden && conflict;
    node.hidden = !conflict;
    if (!conflict) return;
    if (appears) node.focus({ preventScroll: true }); // a screen reader speaks what gets the focus
    const who = conflict.author ?? 'Another annotator';
    const when = conflict.time ? ` at ${timeOf(conflict.time)}` : '';
    setText(words, `${who} changed frames that you changed too${when}. ${KEPT}`);
    if (list.dataset.frames !== String(conflict.frames)) {
      list.dataset.frames = String(conflict.frames);
      list.replaceChildren(...conflict.frames.map(frame => conflictRow(session, frame)));
    }
  };
  return { node, update };
}

const CHOICES = { mine: 'Keep all mine', theirs: 'Take all theirs' };

function conflictRow(session, frame) {
  const choose = (choice, words) =>
    button({ className: 'tavr-small', data: { tavr: choice, frame }, onclick: () => session.work.resolve(choice, frame) }, words);
  const look = { className: 'tavr-link', title: 'Show this frame', onclick: () => session.show(frame) };
  const show = button(look, `Frame ${frame + 1}`);
  return element('div', {}, show, choose('mine', 'Mine'), choose('theirs', 'Theirs'));
}

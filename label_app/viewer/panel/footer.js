// The foot of the panel: training and its scores, and who works here.

import { button, element, setText } from './element.js';
import { timeOf } from '../session/work.js';

const ROLES = ['admin', 'reviewer', 'annotator']; // each may do what the next may

export function buildFooter(session) {
  const training = buildTraining(session);
  const who = buildWho(session);
  const node = element('footer', { className: 'tavr-footer' }, training.node, who.node);
  const update = () => {
    training.update();
    who.update();
  };
  return { node, update };
}

function buildWho(session) {
  const data = { tavr: 'annotator' };
  const name = element('input', { type: 'text', maxLength: 64, spellcheck: false, autocomplete: 'off', data });
  const rename = () => {
    session.rename(name.value);
    name.value = session.annotator;
  };
  name.onchange = rename;
  name.onkeydown = event => {
    if (event.key === 'Enter' || event.key === 'Escape') name.blur();
  };
  const fixed = element('span', { className: 'tavr-user' });
  const node = element('label', { className: 'tavr-who' }, 'Annotator', name, fixed);
  const update = () => {
    name.hidden = !session.mayRename;
    fixed.hidden = session.mayRename;
    if (document.activeElement !== name) name.value = session.annotator;
    const role = ROLES.find(one => session.user.roles.includes(one));
    setText(fixed, [session.annotator, role].filter(Boolean).join(', '));
  };
  return { node, update };
}

function buildTraining(session) {
  const { training } = session;
  const summary = element('summary');
  const bar = element('div', { className: 'tavr-bar' });
  const track = element('div', { className: 'tavr-track', role: 'progressbar', aria: { label: 'Training' } }, bar);
  const words = element('p', { className: 'tavr-training-words', aria: { live: 'polite' } });
  const go = button({ data: { tavr: 'train' } });
  const models = element('table', { className: 'tavr-models' });
  const node = element('details', { className: 'tavr-training' }, summary, words, track, go, models);
  node.ontoggle = () => node.open && node.scrollIntoView({ block: 'end' });
  const update = () => {
    const { running } = training;
    setText(summary, running ? `Training ${Math.round(100 * training.share)} %` : 'Training');
    setText(words, training.words);
    track.hidden = !running;
    bar.style.width = `${100 * training.share}%`;
    track.setAttribute('aria-valuenow', Math.round(100 * training.share));
    setText(go, running ? 'Stop training' : 'Train on the submitted labels');
    go.onclick = () => (running ? training.end() : training.begin());
    go.disabled = !training.mayTrain;
    go.title = training.mayTrain ? '' : 'Training is for reviewers.';
    drawModels(models, training.models);
  };
  return { node, update };
}

function drawModels(table, models) {
  const wanted = JSON.stringify(models);
  if (table.dataset.models === wanted) return;
  table.dataset.models = wanted;
  table.hidden = !models.length;
  const row = (tag, cells) => element('tr', {}, ...cells.map(text => element(tag, { textContent: text })));
  const rows = models.slice(0, 5).map(model => {
    const name = `${model.active ? '● ' : ''}${model.version ?? model.id}`;
    const cells = row('td', [name, scoreOf(model), model.published === false ? 'not used' : '']);
    const about = [model.active && 'Active', model.created && timeOf(model.created), model.author, model.reason];
    cells.title = about.filter(Boolean).join('\n');
    return cells;
  });
  table.replaceChildren(row('th', ['Model', 'Score', '']), ...rows);
}

const scoreOf = ({ scores }) => scores?.validation?.score?.toFixed(3) ?? '–';

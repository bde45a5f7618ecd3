// The loop of the panel: next sample, predict, submit; the stage of the procedure and the strategy that chooses.

import { choice, commandButton, element, setText } from './element.js';

/** Names of strategies for people; others go by their own name. */
const STRATEGIES = {
  hybrid: 'Next: hybrid',
  uncertainty: 'Next: most uncertain',
  disagreement: 'Next: most disagreement',
  diversity: 'Next: most different',
  sequential: 'Next: in order',
  random: 'Next: at random',
};

export function buildLoop(session) {
  const next = commandButton(session, 'next', { label: 'Next sample', symbol: 'next', className: 'tavr-main' });
  const submit = commandButton(session, 'submit', { label: 'Submit', symbol: 'submit', className: 'tavr-main tavr-submit' });
  const frame = commandButton(session, 'predict-frame', { label: 'Predict frame', symbol: 'predict' });
  const series = commandButton(session, 'predict', { label: 'Predict series', symbol: 'series' });
  const stop = commandButton(session, 'stop', { label: 'Stop', symbol: 'stop' });
  const stage = choice({
    label: 'Stage of the procedure: the groups that can be there',
    onChoose: id => session.model.setStage(id),
    data: { tavr: 'stage' },
  });
  const strategy = choice({
    label: 'How the next sample is chosen',
    onChoose: id => session.work.setStrategy(id),
    data: { tavr: 'strategy' },
  });
  const asking = element('div', { className: 'tavr-pair' }, frame.node, series.node);
  const { node: running, update: updateProgress } = progress(stop.node);
  const node = element(
    'div',
    { className: 'tavr-loop' },
    element('div', { className: 'tavr-pair' }, next.node, submit.node),
    asking,
    running,
    element('div', { className: 'tavr-pair' }, stage.node, strategy.node)
  );
  const update = () => {
    const { model, work, document, strategies } = session;
    const changed = document?.changedFrames().length ?? 0;
    next.update(work.busy === 'next' ? 'Asking …' : 'Next sample');
    const what = changed ? `Submit (${changed})` : 'Submit'; // frames
    submit.update(work.busy === 'submit' ? 'Sending …' : what);
    for (const one of [frame, series, stop]) one.update();
    asking.hidden = Boolean(model.jobHere);
    updateProgress(model.jobHere);
    stage.update(session.image ? model.stages.map(({ id, title }) => [id, title]) : [], model.stage);
    strategy.update(strategies.map(name => [name, STRATEGIES[name] ?? `Next: ${name}`]), work.strategy);
  };
  return { node, update };
}

function progress(stop) {
  const bar = element('div', { className: 'tavr-bar' });
  const words = element('span');
  const node = element('div', { className: 'tavr-progress', role: 'progressbar', aria: { valuemin: 0 } });
  node.append(element('div', { className: 'tavr-track' }, bar), words, stop);
  const update = job => {
    node.hidden = !job;
    if (!job) return;
    bar.style.width = `${(100 * job.done) / job.total}%`;
    setText(words, `${job.done} of ${job.total} frames`);
    node.setAttribute('aria-valuemax', job.total);
    node.setAttribute('aria-valuenow', job.done);
  };
  return { node, update };
}

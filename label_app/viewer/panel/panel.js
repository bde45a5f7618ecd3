// The right-hand panel, for OHIF and the plain page: what is known of the frame on screen, and what can be done about it.

import { commandButton, element, setText } from './element.js';
import { buildFooter } from './footer.js';
import { buildHelp } from './help.js';
import { buildLoop } from './loop.js';
import { buildNotice } from './notice.js';
import { buildPoints } from './points.js';
import { buildTools } from './tools.js';
import { buildSlider } from './slider.js';
import { timeOf } from '../session/work.js';

/**
 * Build the panel in a node and keep it up to date.
 * @param {HTMLElement} root
 * @param {Session} session
 * @returns {() => void} ends that
 */
export function mountPanel(root, session) {
  const help = buildHelp(session);
  const builders = [buildHead, buildLoop, buildNotice, buildSlider, buildPoints, buildTools, buildFooter];
  const parts = builders.map(build => build(session));
  const panel = element('div', { className: 'tavr-panel', role: 'region', aria: { label: 'Keypoints' } });
  panel.append(...parts.map(part => part.node), help.node);
  root.replaceChildren(panel);
  let waiting = 0;
  const draw = () => {
    waiting = 0;
    for (const part of [...parts, help]) part.update();
  };
  draw();
  // many changes come with one frame of the screen: draw once
  const end = session.onChange(() => (waiting ||= requestAnimationFrame(draw)));
  return () => {
    cancelAnimationFrame(waiting);
    end();
  };
}

function buildHead(session) {
  const frame = element('span', { className: 'tavr-frame' });
  const chip = element('span', { className: 'tavr-chip' });
  const saved = element('span', { className: 'tavr-saved' });
  const undo = commandButton(session, 'undo', { symbol: 'undo', className: 'tavr-ghost' });
  const redo = commandButton(session, 'redo', { symbol: 'redo', className: 'tavr-ghost' });
  const hide = commandButton(session, 'hide', { symbol: 'hide', className: 'tavr-ghost' });
  const help = commandButton(session, 'help', { symbol: 'help', className: 'tavr-ghost' });
  const tools = element('span', { className: 'tavr-icons' }, ...[undo, redo, hide, help].map(one => one.node));
  const node = element('div', { className: 'tavr-head' }, element('div', {}, frame, tools), element('div', {}, saved, chip));
  const update = () => {
    const { image, model } = session;
    setText(frame, image ? `Frame ${session.frame + 1} / ${session.frameCount}` : 'No cine');
    const { state, version, problem, warning, sha256 } = model.state;
    const found = problem ? ['bad', 'No model'] : [warning ? 'wait' : 'good', `Model ${version ?? ''}`.trim()];
    const [kind, words] = state === 'loading' ? ['wait', 'Model is loading …'] : found;
    chip.className = `tavr-chip ${kind}`;
    setText(chip, words);
    chip.title = [sha256 && `Weights ${sha256.slice(0, 12)}`, warning].filter(Boolean).join('\n');
    const [short, long] = savedWords(session);
    setText(saved, short);
    saved.title = long;
    for (const one of [undo, redo, hide]) one.update();
    undo.node.title = ['Undo', session.document?.undoable, '(Ctrl Z)'].filter(Boolean).join(' ');
    redo.node.title = ['Redo', session.document?.redoable, '(Ctrl Shift Z)'].filter(Boolean).join(' ');
    hide.node.setAttribute('aria-pressed', String(session.edit.hidden));
  };
  return { node, update };
}

const ARCHIVE = {
  archived: ['in the PACS', 'The PACS has it too, as a structured report.'],
  waiting: ['going to the PACS', 'It is on its way to the PACS, as a structured report.'],
  delayed: ['waits for the PACS', 'The PACS does not answer, or refuses the report: the server tries again by itself.'],
  impossible: ['not in the PACS', 'No report can be made of it, so it stays on this server: the log of the server says why.'],
};

// what is on the server and what is not yet: in short, and in full for the tooltip
function savedWords({ document, work, archiving }) {
  if (!document) return ['', ''];
  const version = document.version ? `Label v${document.version}` : 'No label';
  const changed = document.changedFrames().length;
  const [short, long] = ARCHIVE[archiving.state] ?? [];
  const everything = ['Everything is on the server. Suggestions that nobody accepted are no label.', long];
  if (!changed) return [[version, short].filter(Boolean).join(' · '), everything.filter(Boolean).join(' ')];
  const saved = work.savedAt ? `A draft was kept in this browser at ${timeOf(work.savedAt)}.` : '';
  return [`${version} · ${changed} to submit`, `Submit sends the frames that you edited or accepted: ${changed}. ${saved}`];
}

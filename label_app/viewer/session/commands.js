// Everything that an annotator can ask for, once: keys, buttons, tooltips and the help are made from this list.

const JUMP = 10; // frames

/** Groups that have a key, 1 to 9; a schema may have more. */
export const GROUP_KEYS = 9;

/**
 * @typedef {Object} Command
 * @property {string} id
 * @property {string} title what it does, for tooltip and help
 * @property {string[]} keys as of KeyboardEvent.key, with 'Ctrl+' and 'Shift+' in front; Ctrl is Command on a Mac
 * @property {string} part heading in the help
 * @property {(session: Session) => *} run
 * @property {(session: Session) => boolean} [when] whether it can be done now; always where it is missing
 * @property {boolean} [repeats] whether holding the key repeats it
 */

function command(part, id, keys, title, run, { when = () => true, repeats = false } = {}) {
  return { part, id, keys, title, run, when, repeats };
}

const hasDocument = s => Boolean(s.document);
const idle = s => hasDocument(s) && !s.model.jobHere;
const canPredict = s => idle(s) && s.model.ready;
const selected = s => hasDocument(s) && Boolean(s.selected);
const targeted = s => hasDocument(s) && Boolean(s.edit.target);
const nudge = (dx, dy) => s => s.edit.nudge(dx, dy);

const nextFrame = (s, step, wanted) => {
  const frames = Array.from({ length: s.frameCount }, (_, i) => i).filter(wanted);
  const ahead = step > 0 ? frames.filter(f => f > s.frame) : frames.filter(f => f < s.frame).reverse();
  const found = ahead[0] ?? (step > 0 ? frames[0] : frames.at(-1));
  if (found === undefined || found === s.frame) s.say('done', 'There is no other such frame.');
  else s.show(found);
};
const uncertain = (s, step) => nextFrame(s, step, frame => s.isUncertain(frame));
const labelled = (s, step) => nextFrame(s, step, frame => s.document.isLabel(frame));

const ARROWS = [
  ['ArrowLeft', -1, 0],
  ['ArrowRight', 1, 0],
  ['ArrowUp', 0, -1],
  ['ArrowDown', 0, 1],
];

const ACCEPT_ALL = 'Accept all tracked frames, and all predicted ones that you have seen';

/** @type {Command[]} */
export const COMMANDS = [
  command('Loop', 'next', ['n'], 'Next sample: the frame that teaches the model most', s => s.work.openNext(), {
    when: s => !s.work.busy && Boolean(s.work.strategy),
  }),
  command('Loop', 'predict-frame', ['f'], 'Predict this frame', s => s.model.predictFrame(), { when: canPredict }),
  command('Loop', 'predict', ['p'], 'Predict series', s => s.model.predictSeries(), { when: canPredict }),
  command('Loop', 'stop', ['Escape'], 'Stop the prediction', s => s.model.cancel(), { when: s => Boolean(s.model.jobHere) }),
  command('Loop', 'submit', ['Ctrl+s'], 'Submit the accepted and edited frames', s => s.work.submit(), {
    when: s => s.work.canSubmit,
  }),

  ...Array.from({ length: GROUP_KEYS }, (_, i) =>
    command('Points', `group-${i + 1}`, [`${i + 1}`], 'Choose the next point of the group of that number', s => s.edit.chooseInGroup(i), {
      when: s => hasDocument(s) && i < s.schema.groups.length,
    })
  ),
  command('Points', 'next-point', [']'], 'Choose the next point', s => s.edit.chooseNext(1), { when: hasDocument }),
  command('Points', 'previous-point', ['['], 'Choose the point before', s => s.edit.chooseNext(-1), { when: hasDocument }),
  command('Points', 'place', ['v'], 'Place the chosen point without the mouse', s => s.edit.placeByKey(), { when: hasDocument }),
  ...ARROWS.map(([key, dx, dy]) =>
    command('Points', `nudge-${key}`, [key], 'Move the chosen point by 1 pixel', nudge(dx, dy), { when: selected, repeats: true })
  ),
  ...ARROWS.map(([key, dx, dy]) =>
    command('Points', `nudge-5-${key}`, [`Shift+${key}`], 'Move the chosen point by 5 pixels', nudge(5 * dx, 5 * dy), {
      when: selected,
      repeats: true,
    })
  ),
  command('Points', 'absent', ['a'], 'The chosen point is absent', s => s.edit.absent(), { when: targeted }),
  command('Points', 'group-absent', ['Shift+A'], 'Its whole group is absent', s => s.edit.groupAbsent(), { when: targeted }),
  command('Points', 'delete', ['Delete', 'Backspace'], 'Delete: unlabelled again', s => s.edit.remove(), { when: selected }),
  command('Points', 'leave', ['Escape'], 'Choose nothing', s => s.edit.leave(), { when: targeted }),
  command('Points', 'placing', ['m'], 'Arm missing points by themselves, or not', s => s.edit.togglePlacing()),
  command('Going', 'help', ['?'], 'Show these keys', s => s.toggleHelp()),
  command('Points', 'hide', ['h'], 'Hide the points, or show them', s => s.edit.toggleHidden()),

  command('Frames', 'accept', ['Enter'], 'Accept this frame', s => s.edit.acceptFrame(), {
    when: s => s.document?.suggestedFrames().includes(s.frame),
  }),
  command('Frames', 'accept-all', ['Shift+Enter'], ACCEPT_ALL, s => s.edit.acceptAll(), {
    when: s => s.acceptableFrames().length > 0,
  }),
  command('Frames', 'copy', ['d'], 'Copy the points of the labelled frame before', s => s.edit.copy(), { when: hasDocument }),
  command('Frames', 'track', ['t'], 'Track between the labelled frames', s => s.model.track(), { when: idle }),
  command('Frames', 'interpolate', ['Shift+T'], 'Interpolate between the labelled frames', s => s.edit.interpolate(), {
    when: hasDocument,
  }),
  command('Frames', 'undo', ['Ctrl+z', 'z'], 'Undo', s => s.edit.undo(), { when: s => Boolean(s.document?.undoable) }),
  command('Frames', 'redo', ['Ctrl+Shift+Z', 'Ctrl+y', 'Shift+Z'], 'Redo', s => s.edit.redo(), {
    when: s => Boolean(s.document?.redoable),
  }),

  command('Going', 'previous', [',', 'ArrowLeft'], 'Previous frame', s => s.show(s.frame - 1), {
    when: s => s.frame > 0,
    repeats: true,
  }),
  command('Going', 'following', ['.', 'ArrowRight'], 'Next frame', s => s.show(s.frame + 1), {
    when: s => s.frame + 1 < s.frameCount,
    repeats: true,
  }),
  command('Going', 'back', ['PageUp'], `${JUMP} frames back`, s => s.show(s.frame - JUMP), { when: hasDocument, repeats: true }),
  command('Going', 'on', ['PageDown'], `${JUMP} frames on`, s => s.show(s.frame + JUMP), { when: hasDocument, repeats: true }),
  command('Going', 'first', ['Home'], 'First frame', s => s.show(0), { when: hasDocument }),
  command('Going', 'last', ['End'], 'Last frame', s => s.show(s.frameCount - 1), { when: hasDocument }),
  command('Going', 'uncertain', ['u'], 'Next frame of which the model is unsure', s => uncertain(s, 1), { when: hasDocument }),
  command('Going', 'uncertain-before', ['Shift+U'], 'Such a frame before', s => uncertain(s, -1), { when: hasDocument }),
  command('Going', 'label', ['l'], 'Next labelled frame', s => labelled(s, 1), { when: hasDocument }),
  command('Going', 'label-before', ['Shift+L'], 'Labelled frame before', s => labelled(s, -1), { when: hasDocument }),
];

const BY_ID = new Map(COMMANDS.map(entry => [entry.id, entry]));

/** The command with that id. */
export function commandOf(id) {
  return BY_ID.get(id);
}

const WORDS = { ArrowLeft: '←', ArrowRight: '→', ArrowUp: '↑', ArrowDown: '↓', Delete: 'Del', Escape: 'Esc' };

/** A key for people: 'Shift+ArrowLeft' is 'Shift ←'. */
export function keyWords(key) {
  return key
    .split(/\+(?=.)/)
    .map(part => WORDS[part] ?? (part.length === 1 ? part.toUpperCase() : part))
    .join(' ');
}

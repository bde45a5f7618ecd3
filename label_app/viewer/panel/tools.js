// What is done with frames: accept, copy, track, interpolate.

import { commandButton, element } from './element.js';

export function buildTools(session) {
  const accept = commandButton(session, 'accept', { label: 'Accept frame', symbol: 'accept' });
  const all = commandButton(session, 'accept-all', { label: 'Accept all', symbol: 'accept-all' });
  const copy = commandButton(session, 'copy', { label: 'Copy', symbol: 'copy' });
  const track = commandButton(session, 'track', { label: 'Track', symbol: 'track' });
  const interpolate = commandButton(session, 'interpolate', { label: 'Interpolate', symbol: 'interpolate' });
  const node = element(
    'div',
    { className: 'tavr-tools', role: 'toolbar', aria: { label: 'Frames' } },
    element('div', { className: 'tavr-pair' }, accept.node, all.node),
    element('div', { className: 'tavr-row' }, copy.node, track.node, interpolate.node)
  );
  const update = () => {
    const count = session.acceptableFrames().length;
    all.update(count ? `Accept all (${count})` : 'Accept all');
    for (const one of [accept, copy, track, interpolate]) one.update();
  };
  return { node, update };
}

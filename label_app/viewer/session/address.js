// The page's address follows what is on screen, so that a reload comes back to it.

const LEAST_MS = 300; // browsers limit how often the address may change

/**
 * @param {function(): ?string} current address of what is on screen; null leaves it as it is
 * @returns {{follow: function(), end: function()}} `follow` after every change of the screen: the first is written at once
 */
export function addressFollower(current) {
  let written = -Infinity;
  let timer = null;
  const write = () => {
    const address = current();
    if (address === null) return;
    history.replaceState(history.state, '', address);
    written = performance.now();
  };
  const end = () => clearTimeout(timer);
  const follow = () => {
    end();
    const rest = written + LEAST_MS - performance.now();
    if (rest <= 0) write();
    else timer = setTimeout(write, rest);
  };
  return { follow, end };
}

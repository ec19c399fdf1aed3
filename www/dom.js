// Helpers for the page's elements.

export const $ = (id) => document.getElementById(id);

/** Returns a new element with these properties and children. */
export function element(tag, { className, text, ...rest } = {}, ...children) {
  const made = document.createElement(tag);
  if (className) made.className = className;
  if (text !== undefined) made.textContent = text;
  Object.assign(made, rest);
  made.append(...children);
  return made;
}

/** Returns an amount of dollars for people, to a hundredth of a cent. `round` is a function of `Math`. */
export function dollars(amount, round = Math.round) {
  const exact = Number(amount);
  if (exact > 0 && exact < 0.0001) return "less than $0.0001";
  const usd = round(exact * 1e4) / 1e4;
  if (Number.isInteger(usd)) return `$${usd}`;
  return `$${Number(usd.toFixed(2)) === usd ? usd.toFixed(2) : usd.toFixed(4)}`;
}

/** Returns a duration in seconds for people. */
export const duration = (seconds) => (seconds < 1 ? `${Math.round(seconds * 1000)} ms` : `${seconds.toFixed(1)} s`);

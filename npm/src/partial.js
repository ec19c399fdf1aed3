// JSON that has only arrived in part.

const STRING = /"(?:[^"\\]|\\.)*"/sy;
const STRING_START = /"(?:[^"\\]|\\(?:["\\/bfnrt]|u[\da-fA-F]{4}))*/y;
// A number or a literal is known once something follows it.
const WORD = /[^\s,\]}]+(?=[\s,\]}])/y;

/** Parses the start of a JSON text. What has not arrived is left out. Undefined if there is no value yet, or the text is not JSON. */
export function partialJson(text) {
  let at = 0;
  /** Whether the text ends within the value. */
  let cut = false;

  const next = () => {
    while (at < text.length && " \n\r\t".includes(text[at])) at++;
    cut ||= at === text.length;
    return text[at];
  };
  const take = (pattern) => {
    pattern.lastIndex = at;
    const [found] = pattern.exec(text) ?? [];
    if (found !== undefined) at += found.length;
    return found;
  };
  const expect = (character) => {
    if (next() !== character && !cut) throw new SyntaxError(`${character} expected`);
    at++;
  };

  function value() {
    switch (next()) {
      case undefined:
        return undefined;
      case '"':
        return string();
      case "{": {
        const object = {};
        members("}", () => {
          const name = next() === '"' ? take(STRING) : undefined;
          if (name === undefined) {
            if (!/["]|^$/.test(text[at] ?? "")) throw new SyntaxError("a name expected");
            cut = true;
            return;
          }
          expect(":");
          const member = cut ? undefined : value();
          if (member !== undefined) Object.defineProperty(object, JSON.parse(name), { value: member, enumerable: true, writable: true, configurable: true });
        });
        return object;
      }
      case "[": {
        const list = [];
        members("]", () => {
          const item = value();
          if (item !== undefined) list.push(item);
        });
        return list;
      }
      default: {
        const word = take(WORD);
        cut ||= word === undefined;
        return cut ? undefined : JSON.parse(word);
      }
    }
  }

  function string() {
    const whole = take(STRING);
    if (whole !== undefined) return JSON.parse(whole);
    cut = true;
    // Half a surrogate pair waits for the other half.
    return JSON.parse(`${take(STRING_START)}"`).replace(/[\ud800-\udbff]$/, "");
  }

  function members(end, member) {
    at++;
    if (next() === end) return at++;
    while (!cut) {
      member();
      if (cut || next() === undefined) return;
      if (text[at] === end) return at++;
      expect(",");
    }
  }

  try {
    return value();
  } catch {
    return undefined;
  }
}

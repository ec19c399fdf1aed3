// Assertions for the suites of every runtime.

export function equal(actual, expected, what) {
  if (JSON.stringify(actual) !== JSON.stringify(expected)) {
    throw new Error(`${what} is ${JSON.stringify(actual)} and not ${JSON.stringify(expected)}`);
  }
}

export function check(condition, what) {
  if (!condition) throw new Error(what);
}

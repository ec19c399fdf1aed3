// Assertions for the suites of every runtime.

export function equal(actual, expected, what) {
  if (JSON.stringify(actual) !== JSON.stringify(expected)) {
    throw new Error(`${what} is ${JSON.stringify(actual)} and not ${JSON.stringify(expected)}`);
  }
}

export function check(condition, what) {
  if (!condition) throw new Error(what);
}

/** Returns the error that a promise rejects with. */
export async function failure(promise) {
  try {
    await promise;
  } catch (error) {
    return error;
  }
  throw new Error("it did not fail");
}

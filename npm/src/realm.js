// Objects may come from another realm (a frame, a `node:vm` context, the host of an edge runtime). Each realm has its own classes, so
// `instanceof` is false for them.

/** Returns whether a value is an instance of the global class `name` of any realm. */
export function is(value, name) {
  // In some runtimes built-in classes have no tag (Workers with a compatibility date before 2024-09-26).
  const own = globalThis[name];
  return Object.prototype.toString.call(value) === `[object ${name}]` || (typeof own === "function" && value instanceof own);
}

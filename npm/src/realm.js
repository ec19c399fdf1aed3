// Objects may come from another realm (a frame, a `node:vm` context, the host of an edge runtime), whose classes are not those of
// this one: `instanceof` is false for them.

/** Returns whether a value is an instance of the global class of that name, in whichever realm it was made. */
export function is(value, name) {
  // Some runtimes give their own classes no tag (Workers with a compatibility date before 2024-09-26).
  const own = globalThis[name];
  return Object.prototype.toString.call(value) === `[object ${name}]` || (typeof own === "function" && value instanceof own);
}

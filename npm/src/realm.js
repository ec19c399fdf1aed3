// Objects may come from another realm (a frame, a `node:vm` context, the host of an edge runtime). Each realm has its own classes, so
// `instanceof` is false for them.

/** Returns whether a value is an instance of the global class `name` of any realm. */
export function is(value, name) {
  // In some runtimes built-in classes have no tag (Workers with a compatibility date before 2024-09-26).
  const own = globalThis[name];
  return Object.prototype.toString.call(value) === `[object ${name}]` || (typeof own === "function" && value instanceof own);
}

/** Returns what a caller's `fetch` gives as the core reads it. It may be the plain object of a mock, or a response with a stream of Node's. */
export async function toResponse(response) {
  if (response === null || typeof response !== "object") throw new TypeError(`fetch must return a Response, got ${response === null ? "null" : typeof response}`);
  const { status = 200, headers = {}, body } = response;
  // A status of 0 is that of a redirect, which browsers hide.
  const hasStatus = status === 0 || (Number.isInteger(status) && status >= 100 && status <= 999);
  if (!hasStatus) throw new TypeError(`fetch must return a Response, got one with the status ${String(status)}`);
  const isRead = typeof body?.getReader === "function" || (body === null && typeof headers.get === "function");
  if (isRead && typeof headers.get === "function") return response;
  const converted = { status, headers: typeof headers.get === "function" ? headers : new Headers(headers), body };
  if (isRead) return converted;
  if (typeof body?.[Symbol.asyncIterator] === "function") converted.body = fromIterator(body[Symbol.asyncIterator]());
  else if (body !== undefined && body !== null) converted.body = new Response(body).body;
  else if (typeof response.text === "function") converted.body = new Response(await response.text()).body;
  else if (typeof response.json === "function") converted.body = new Response(JSON.stringify(await response.json())).body;
  else converted.body = null;
  return converted;
}

function fromIterator(chunks) {
  const encoder = new TextEncoder();
  return new ReadableStream({
    async pull(controller) {
      const { done, value } = await chunks.next();
      if (done) controller.close();
      else controller.enqueue(typeof value === "string" ? encoder.encode(value) : value);
    },
    cancel: () => chunks.return?.(),
  });
}

import { fail } from "./errors.js";

/** Compiles a response while its bytes arrive, or after the last of them if the runtime cannot stream this response. */
export async function compile(source) {
  const response = await source;
  if (!response.ok) throw new TypeError(`cannot fetch warmline.wasm: status ${response.status} for ${response.url}`);
  try {
    return await WebAssembly.compileStreaming(response);
  } catch (error) {
    // A response with another content type, or of a class from another realm, is refused before it is read.
    if (response.bodyUsed) throw error;
    return WebAssembly.compile(await response.arrayBuffer());
  }
}

/** Throws the error of an entry that does not find the module where a bundler should have put it. */
export function notFound(error) {
  fail(
    `the WebAssembly module was not found (${error.message}): your bundler did not copy warmline.wasm; import "warmline/inline" instead of "warmline", which has the module in its code`,
    error,
  );
}

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

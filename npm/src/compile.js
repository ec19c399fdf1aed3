/** Compiles while the bytes arrive where the runtime can do that with this response, and once they are there elsewhere. */
export async function compile(source) {
  const response = await source;
  if (!response.ok) throw new TypeError(`warmline.wasm cannot be fetched: ${response.status} for ${response.url}`);
  try {
    return await WebAssembly.compileStreaming(response);
  } catch (error) {
    // A response of another content type, or of a class that is not the runtime's own, is refused before it is read.
    if (response.bodyUsed) throw error;
    return WebAssembly.compile(await response.arrayBuffer());
  }
}

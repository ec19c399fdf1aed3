/** Compiles while it arrives where the server names the type right, and once it is there elsewhere. */
export async function compile(source) {
  const response = await source;
  if (!response.ok) throw new TypeError(`warmline.wasm cannot be fetched: ${response.status} for ${response.url}`);
  const streams = response.headers.get("content-type")?.startsWith("application/wasm");
  return streams ? WebAssembly.compileStreaming(response) : WebAssembly.compile(await response.arrayBuffer());
}

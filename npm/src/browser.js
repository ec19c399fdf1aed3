// Browsers: fetches the module from the URL that the bundler assigns to it.
import { compile, notFound } from "./compile.js";
import { provide } from "./load.js";

function locate() {
  const url = new URL("./warmline.wasm", import.meta.url);
  if (url.protocol === "file:") throw new TypeError(`${url} cannot be fetched`);
  return url;
}

provide(async () => {
  let url;
  try {
    url = locate();
  } catch (error) {
    notFound(error);
  }
  return compile(await fetch(url)).catch(notFound);
});
export * from "./index.js";

// What `require("warmline")` gets, in Node and in Jest.
const { readFileSync } = require("node:fs");
const { join } = require("node:path");

if (typeof TextDecoder === "undefined" || typeof fetch === "undefined") {
  throw new Error(
    "warmline needs fetch, streams and TextDecoder, which jsdom does not give to Jest's tests: put `/** @jest-environment node */` at the top of the test file",
  );
}

const { provide } = require("./core.js");

provide(() => new WebAssembly.Module(readFileSync(join(__dirname, "../warmline.wasm"))));
module.exports = require("./index.js");

// Chromium, with a page that Vite has built: `node browser.mjs TOOLS SIM CHROMIUM`.
import { createServer } from "node:http";
import { readFileSync, writeFileSync } from "node:fs";
import { extname, join, resolve } from "node:path";
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";

const [tools, sim, executablePath] = process.argv.slice(2);
const require = createRequire(resolve(tools, "package.json"));
const { chromium } = require("playwright-core");
const { build } = await import(pathToFileURL(require.resolve("vite")).href);

writeFileSync("index.html", `<!doctype html><script type="module" src="./page.js"></script>`);
writeFileSync(
  "page.js",
  `import * as warmline from "warmline";
   import vectors from "./vectors.json";
   import { run } from "./suite.js";
   run(warmline, { sim: ${JSON.stringify(sim)}, vectors, browser: true }).then(
     (results) => { globalThis.results = results; },
     (error) => { globalThis.results = [{ name: "the page", error: String(error.stack) }]; },
   );`,
);
await build({ root: ".", logLevel: "error", build: { outDir: "page", target: "es2022" } });
const types = { ".html": "text/html", ".js": "text/javascript", ".wasm": "application/wasm" };
const server = createServer((request, response) => {
  const path = new URL(request.url, "http://localhost").pathname;
  const file = join("page", path === "/" ? "index.html" : path);
  try {
    const content = readFileSync(file);
    response.writeHead(200, { "content-type": types[extname(file)] ?? "application/octet-stream" }).end(content);
  } catch {
    response.writeHead(404).end();
  }
}).listen(0, "127.0.0.1");
await new Promise((listening) => server.once("listening", listening));
const browser = await chromium.launch({
  executablePath,
  args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"],
});
const page = await browser.newPage();
page.on("pageerror", (error) => console.error(error));
await page.goto(`http://127.0.0.1:${server.address().port}/`);
await page.waitForFunction(() => globalThis.results, undefined, { timeout: 120_000 });
console.log(JSON.stringify(await page.evaluate(() => globalThis.results)));
await browser.close();
server.close();

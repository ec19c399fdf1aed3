// Chromium, with a page that Vite has built: `node browser.mjs TOOLS SIM CHROMIUM`.
import { writeFileSync } from "node:fs";
import { resolve } from "node:path";
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";
import { visitPage } from "./chromium.mjs";

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
   const otherRealm = document.body.appendChild(document.createElement("iframe")).contentWindow;
   run(warmline, { sim: ${JSON.stringify(sim)}, vectors, browser: true, otherRealm }).then(
     (results) => { globalThis.results = results; },
     (error) => { globalThis.results = [{ name: "the page", error: String(error.stack) }]; },
   );`,
);
await build({ root: ".", logLevel: "error", build: { outDir: "page", target: "es2022" } });
const folder = "page";
await visitPage({ chromium, executablePath, folder }, async (page) => {
  await page.waitForFunction(() => globalThis.results, undefined, { timeout: 120_000 });
  console.log(JSON.stringify(await page.evaluate(() => globalThis.results)));
});

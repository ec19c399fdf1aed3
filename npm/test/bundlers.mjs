// Programs and pages as bundlers make them, each run where nothing else of the project is: `node bundlers.mjs TOOLS SIM CHROMIUM`.
import { execFile } from "node:child_process";
import { copyFileSync, cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { promisify } from "node:util";
import { launch, visitPage } from "./chromium.mjs";
import { check, results, test } from "./outcomes.mjs";

const [tools, sim, executablePath] = process.argv.slice(2);
const require = createRequire(resolve(tools, "package.json"));
const esbuild = require("esbuild");
const vite = await import(pathToFileURL(require.resolve("vite")).href);
const { chromium } = require("playwright-core");
const tool = (name) => resolve(tools, "node_modules/.bin", name);
const run = promisify(execFile);

const source = resolve("ecosystem");
const built = resolve("bundles");
mkdirSync(built, { recursive: true });
const elsewhere = mkdtempSync(join(tmpdir(), "warmline-bundles-"));
process.once("exit", () => {
  for (const folder of [built, elsewhere]) rmSync(folder, { recursive: true });
});

const DENO = [tool("deno"), "run", "--allow-net"];

/** Checks that a program, whose last argument is to be the simulator's address, shows the reply. */
async function answers([program, ...args], options) {
  const { stdout } = await run(program, [...args, sim], { timeout: 60_000, ...options });
  check(stdout === "warm connections \n", `it printed ${JSON.stringify(stdout)}`);
}

for (const [name, ...command] of [
  ["Node, import", "node", "ecosystem/app.mjs"],
  ["Node, require", "node", "ecosystem/app.cjs"],
  ["Node, require without modules", "node", "--no-experimental-require-module", "ecosystem/app.cjs"],
  ["Bun, require", tool("bun"), "ecosystem/app.cjs"],
  ["Deno, without --allow-read", ...DENO, "ecosystem/app.mjs"],
  ["Deno, require", ...DENO, "ecosystem/app.cjs"],
]) {
  await test(`${name}, without a bundler`, () => answers(command));
}

/** Bundles a program by a command that is told the output file last, and runs it from a folder that has nothing else. */
function bundled(name, bundle, file, ...runtime) {
  return test(name, async () => {
    const output = join(built, file);
    await bundle(output);
    const moved = join(elsewhere, file);
    copyFileSync(output, moved);
    rmSync(output);
    if (/js$/.test(file)) check(!readFileSync(moved, "utf8").includes(tools), "it knows where it was built");
    await answers([...runtime, moved], { cwd: elsewhere });
    rmSync(moved);
  });
}

const byEsbuild = (entry, format) => (outfile) =>
  esbuild.build({ entryPoints: [join(source, entry)], outfile, bundle: true, platform: "node", format, logLevel: "silent" });
await bundled("esbuild --platform=node --format=esm", byEsbuild("app.mjs", "esm"), "esbuild.mjs", "node");
await bundled("esbuild --platform=node --format=cjs", byEsbuild("app.mjs", "cjs"), "esbuild.cjs", "node");
await bundled("esbuild --platform=node, of require", byEsbuild("app.cjs", "cjs"), "esbuild-required.cjs", "node");

const byBun = (entry, ...options) => (outfile) => run(tool("bun"), ["build", join(source, entry), ...options, `--outfile=${outfile}`]);
await bundled("bun build --target=bun", byBun("app.mjs", "--target=bun"), "bun.js", tool("bun"));
await bundled("bun build --target=node", byBun("app.mjs", "--target=node"), "bun-node.mjs", "node");
await bundled("bun build --target=node --format=cjs", byBun("app.mjs", "--target=node", "--format=cjs"), "bun-node.cjs", "node");
await bundled("bun build --target=node, of require", byBun("app.cjs", "--target=node", "--format=cjs"), "bun-required.cjs", "node");
await bundled("bun build --compile", byBun("app.mjs", "--compile"), "bun-program");

const byDeno = (entry) => (output) => run(tool("deno"), ["bundle", "--quiet", join(source, entry), "-o", output]);
await bundled("deno bundle", byDeno("app.mjs"), "deno.mjs", ...DENO);
await bundled("deno bundle, in Node", byDeno("app.mjs"), "deno-node.mjs", "node");
await bundled("deno bundle, of require", byDeno("app.cjs"), "deno-required.mjs", ...DENO);

await bundled(
  "Vite SSR with noExternal",
  (output) =>
    vite.build({
      configFile: false,
      logLevel: "error",
      ssr: { noExternal: true },
      build: { ssr: join(source, "app.mjs"), outDir: built, emptyOutDir: false, rolldownOptions: { output: { entryFileNames: output.slice(built.length + 1) } } },
    }),
  "vite.mjs",
  "node",
);

for (const entry of ["app.mjs", "app.cjs"]) {
  const bundle = (output) =>
    new Promise((done, failed) => {
      const options = { mode: "production", target: "node", entry: join(source, entry), output: { path: built, filename: output.slice(built.length + 1) } };
      require("webpack")(options, (error, stats) => (error || stats.hasErrors() ? failed(error ?? new Error(stats.toString())) : done()));
    });
  await bundled(`webpack for Node, of ${entry}`, bundle, `webpack-${entry.slice(-3)}.cjs`, "node");
}

/** Checks what comes of a page. */
const shows = (page, expected) => async () => {
  await page.waitForFunction(() => globalThis.outcome, undefined, { timeout: 30_000 });
  const outcome = await page.evaluate(() => globalThis.outcome);
  check(outcome.includes(expected), outcome);
};
const query = `?sim=${encodeURIComponent(sim)}`;

for (const [name, format, from, expected] of [
  ["esbuild, a page that imports warmline", "esm", "warmline", 'status 404 for http://127.0.0.1:'],
  ["esbuild, a page that imports warmline", "iife", "warmline", 'import "warmline/inline"'],
  ["esbuild, a page that imports warmline/inline", "esm", "warmline/inline", "warm connections "],
]) {
  const folder = join(built, "page");
  await esbuild.build({ entryPoints: [join(source, "page.js")], outdir: folder, bundle: true, format, alias: { warmline: from }, logLevel: "silent" });
  cpSync(join(source, "index.html"), join(folder, "index.html"));
  await visitPage({ chromium, executablePath, folder, query }, (page) => test(`${name} (${format})`, shows(page, expected)));
  rmSync(folder, { recursive: true });
}

const server = await vite.createServer({ configFile: false, root: source, logLevel: "silent", cacheDir: join(built, "vite"), server: { port: 0, host: "127.0.0.1", hmr: false } });
await server.listen();
const browser = await launch(chromium, executablePath);
const page = await browser.newPage();
await page.goto(`http://127.0.0.1:${server.httpServer.address().port}/${query}`);
await test("Vite's development server, a page", shows(page, "warm connections "));
await browser.close();
await server.close();
console.log(JSON.stringify(results));
process.exit(0);

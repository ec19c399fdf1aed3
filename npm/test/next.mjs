// A Next.js app as its developers and its server run it: `node next.mjs TOOLS SIM CHROMIUM`.
import { spawn } from "node:child_process";
import { rmSync } from "node:fs";
import { createInterface } from "node:readline";
import { createRequire } from "node:module";
import { resolve } from "node:path";
import { launch } from "./chromium.mjs";
import { check, results, test } from "./outcomes.mjs";

const [tools, sim, executablePath] = process.argv.slice(2);
const require = createRequire(resolve(tools, "package.json"));
const cwd = resolve("ecosystem/next");
const env = { ...process.env, NEXT_TELEMETRY_DISABLED: "1", OPENAI_BASE_URL: `${sim}/v1` };

/** Runs `next` in a process group of its own, because it starts others. */
const next = (...args) => spawn("node", [resolve(tools, "node_modules/next/dist/bin/next"), ...args], { cwd, env, detached: true, stdio: ["ignore", "pipe", "pipe"] });

async function build(...args) {
  const builder = next("build", ...args);
  let output = "";
  for (const stream of [builder.stdout, builder.stderr]) stream.on("data", (data) => (output += data));
  const code = await new Promise((ended) => builder.once("close", ended));
  check(code === 0, output);
}

/** Starts a server on a port that the system chooses, and hands its address to `visit`. */
async function serve(args, visit) {
  const server = next(...args, "--hostname", "127.0.0.1", "--port", "0");
  const ended = new Promise((ended) => server.once("close", ended));
  try {
    server.stderr.resume();
    for await (const line of createInterface({ input: server.stdout })) {
      const url = /Local:\s+(\S+)/.exec(line)?.[1];
      if (!url) continue;
      server.stdout.resume();
      return await visit(url);
    }
    throw new Error(`next ${args.join(" ")} does not come up`);
  } finally {
    process.kill(-server.pid);
    await ended;
  }
}

const browser = await launch(require("playwright-core").chromium, executablePath);

/** The routes on both runtimes, and a client component. */
const app = (name) => async (url) => {
  for (const runtime of ["node", "edge"]) {
    await test(`${name}: a route on the ${runtime} runtime`, async () => {
      const response = await fetch(`${url}/api/${runtime}`, { method: "POST", body: "Hello" });
      const text = await response.text();
      check(response.ok && text === "warm connections ", `${response.status} ${text}`);
    });
  }
  await test(`${name}: a client component`, async () => {
    const page = await browser.newPage();
    await page.goto(`${url}/?sim=${encodeURIComponent(`${sim}/v1`)}`);
    await page.click("button");
    await page.waitForFunction(() => globalThis.outcome, undefined, { timeout: 30_000 });
    check((await page.evaluate(() => globalThis.outcome)) === "warm connections ", "the reply");
    await page.close();
  });
};

for (const bundler of ["--turbopack", "--webpack"]) {
  let isBuilt = false;
  await test(`next build ${bundler}`, async () => {
    await build(bundler);
    isBuilt = true;
  });
  if (isBuilt) await serve(["start"], app(`next start after ${bundler}`));
}
await serve(["dev"], app("next dev"));
await browser.close();
rmSync(resolve(cwd, ".next"), { recursive: true, force: true });
console.log(JSON.stringify(results));

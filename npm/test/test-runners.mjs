// The package under test runners as they come: `node test-runners.mjs TOOLS SIM`.
import { execFile } from "node:child_process";
import { resolve } from "node:path";
import { check, results, test } from "./outcomes.mjs";

const [tools, sim] = process.argv.slice(2);

/** Runs a test runner, and gives its exit code and what it wrote. */
const run = (folder, ...command) =>
  new Promise((done) => {
    const options = { cwd: `ecosystem/${folder}`, timeout: 60_000, env: { ...process.env, SIM: sim, NO_COLOR: "1" } };
    execFile("node", command, options, (error, stdout, stderr) => done({ code: error?.code ?? 0, output: stdout + stderr }));
  });
const jest = (...args) => run("jest", resolve(tools, "node_modules/jest/bin/jest.js"), ...args);
const vitest = (...args) => run("vitest", resolve(tools, "node_modules/vitest/vitest.mjs"), "run", ...args);

await test("Jest", async () => {
  const { code, output } = await jest();
  check(code === 0 && output.includes("2 passed"), output);
});
await test("Jest with jsdom says what to do", async () => {
  const { code, output } = await jest("--env=jsdom");
  check(code === 1 && output.includes("@jest-environment node"), output);
});
for (const args of [[], ["--environment=jsdom"], ["--environment=jsdom", "--pool=vmThreads"]]) {
  await test(["vitest", ...args].join(" "), async () => {
    const { code, output } = await vitest(...args);
    check(code === 0 && output.includes("1 passed"), output);
  });
}
console.log(JSON.stringify(results));

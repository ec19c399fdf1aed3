// The package's types in projects of every kind: `node types.mjs TOOLS`.
import { execFile } from "node:child_process";
import { copyFileSync, readFileSync, writeFileSync } from "node:fs";
import { resolve } from "node:path";
import { check, results, test } from "./outcomes.mjs";

const [tools] = process.argv.slice(2);
const folder = resolve("ecosystem/types");
for (const extension of ["cts", "ts"]) copyFileSync(`${folder}/use.mts`, `${folder}/use.${extension}`);
const worker = /```ts[^\n]*\n((?:(?!```)[^])*warmline\/durable-object[^]*?)```/.exec(readFileSync(resolve(tools, "../docs/deployment.md"), "utf8"));
if (!worker) throw new Error("docs/deployment.md has no Worker with a Durable Object");
writeFileSync(`${folder}/worker.ts`, worker[1]);

const DOM = { lib: ["es2023", "dom", "dom.iterable", "dom.asynciterable"], types: [] };
const NODE = { lib: ["es2023"], types: ["node"] };
const WORKERS = { lib: ["es2023"], types: ["workers-types"] };
const BUNDLER = { module: "esnext", moduleResolution: "bundler" };

for (const [name, compilerOptions, ...files] of [
  ["node16", { module: "node16", ...DOM }, "use.mts", "use.cts", "module.mts"],
  ["nodenext", { module: "nodenext", ...DOM }, "use.mts", "use.cts", "module.mts"],
  ["nodenext with Node's types and no DOM", { module: "nodenext", ...NODE }, "use.mts", "use.cts"],
  ["bundler", { ...BUNDLER, ...DOM }, "use.ts", "module.mts"],
  ["bundler with Node's types and no DOM", { module: "preserve", moduleResolution: "bundler", ...NODE }, "use.ts"],
  ["bundler with the types of Workers", { ...BUNDLER, ...WORKERS }, "use.ts", "module.mts", "worker.ts"],
]) {
  await test(`types under ${name}`, async () => {
    const config = { compilerOptions: { strict: true, exactOptionalPropertyTypes: true, verbatimModuleSyntax: !files.includes("use.cts"), skipLibCheck: false, noEmit: true, target: "es2023", ...compilerOptions }, files };
    writeFileSync(`${folder}/tsconfig.json`, JSON.stringify(config));
    const output = await new Promise((done) => execFile("node", [resolve(tools, "node_modules/typescript/bin/tsc"), "--project", folder], (error, stdout) => done(error ? stdout || String(error) : "")));
    check(output === "", output);
  });
}
console.log(JSON.stringify(results));

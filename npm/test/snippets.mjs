// Writes every JavaScript and TypeScript example of the documentation as a module, which `tsc` checks and `run-snippets.mjs` runs. The examples are
// those of the Markdown files and of the doc comments in the types.
import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";

/** Where an example runs, as the second word of its fence says. Without one it runs in Node, with what `given.ts` declares. */
export const PLACES = ["node", "program", "deno", "bun", "workerd", "browser", "types"];

/** What an example uses without importing it. */
const IMPORTS = {
  Router: "warmline",
  Warmline: "warmline",
  WarmlineError: "warmline",
  RedisLedger: "warmline/redis",
  scriptedFetch: "warmline/testing",
  init: "warmline/manual",
  z: "zod",
};

/** Returns the examples of a text, each with the line at which its code begins. */
export function examplesOf(text, file) {
  const examples = [];
  let open;
  for (const [i, line] of text.split("\n").entries()) {
    const fence = /^(\s*(?:\* )?)```(.*)$/.exec(line);
    if (open && fence?.[2].trim() === "") {
      if (open.isCode) examples.push(open);
      open = undefined;
    } else if (open) {
      // The margin is that of the fence: none, a list's, or a comment's.
      open.code += `${line.startsWith(open.margin) ? line.slice(open.margin.length) : line.replace(/^\s*\*/, "")}\n`;
    } else if (fence) {
      const [language = "", place = "node", ...rest] = fence[2].trim().split(/\s+/);
      const isCode = /^(?:ts|js|tsx|jsx|mts|mjs|cjs|typescript|javascript)$/i.test(language);
      if (isCode && language !== "ts") throw new Error(`${file}:${i + 1}: the language of an example is ts, not ${language}`);
      if (isCode && (!PLACES.includes(place) || rest.length > 0)) {
        throw new Error(`${file}:${i + 1}: an example runs in one of ${PLACES.join(", ")}, not in ${JSON.stringify([place, ...rest].join(" "))}`);
      }
      open = { file, line: i + 2, place, margin: fence[1], code: "", isCode };
    }
  }
  if (open) throw new Error(`${file}:${open.line - 1}: this fence has no end`);
  return examples;
}

/** Returns the module of an example, with its code on the lines that it has in the documentation. */
function moduleOf({ code, line }) {
  const imported = new Set([...code.matchAll(/import (?:type )?\{([^}]*)\}/g)].flatMap(([, names]) => names.split(",").map((name) => name.replace("type ", "").trim())));
  const own = (name) => imported.has(name) || new RegExp(`\\b(?:const|let|class|function) ${name}\\b`).test(code);
  const needed = Object.entries(IMPORTS).filter(([name]) => new RegExp(`\\b${name}\\b`).test(code) && !own(name));
  return `${needed.map(([name, from]) => `import { ${name} } from "${from}";`).join(" ")} export {};${"\n".repeat(line - 1)}${code}`;
}

/** Writes the examples of a project's documentation into the folder `snippets`, and a list of them. */
export function writeSnippets(root, folder) {
  const listed = ["ls-files", "--cached", "--others", "--exclude-standard", "*.md", "npm/src/*.d.ts"];
  const files = execFileSync("git", listed, { cwd: root, encoding: "utf8" }).split("\n").filter((file) => file && existsSync(join(root, file)));
  const examples = files.flatMap((file) => examplesOf(readFileSync(join(root, file), "utf8"), file));
  if (!examples.some(({ file }) => file === "npm/README.md")) throw new Error("npm/README.md has no examples");
  for (const example of examples) {
    example.module = `snippets/${example.file.replace(/\W/g, "_")}-${example.line}.ts`;
    mkdirSync(dirname(join(folder, example.module)), { recursive: true });
    writeFileSync(join(folder, example.module), moduleOf(example));
  }
  const list = examples.map(({ file, line, place, module }) => ({ name: `${file}:${line}`, place, module }));
  writeFileSync(join(folder, "snippets.json"), JSON.stringify(list));
}

// Writes each example of the README as a module, which `tsc` checks.
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";

// What the examples take as given.
const GIVEN = `
import type { Message, Warmline as Client } from "warmline";
declare global {
  const env: { ANTHROPIC_API_KEY: string; UPSTASH_REDIS_REST_URL: string; UPSTASH_REDIS_REST_TOKEN: string; BUDGETS: any };
  const ctx: { waitUntil(promise: Promise<unknown>): void };
  const process: { stdout: { write(text: string): void } };
  const apiKey: string, id: string, messages: Message[], bytesOrModuleOrResponse: Uint8Array<ArrayBuffer>;
  const llm: Client;
  function save(text: string): void;
  function show(part: unknown): void;
  function forecast(city: string): Promise<string>;
}
`;

/** Writes the examples of a README into the folder `readme`. */
export function writeExamples(readme, folder) {
  mkdirSync(folder, { recursive: true });
  writeFileSync(`${folder}/given.ts`, GIVEN);
  const examples = [...readFileSync(readme, "utf8").matchAll(/```ts\n(.*?)```/gs)];
  if (examples.length === 0) throw new Error(`${readme} has no examples`);
  for (const [i, [, code]] of examples.entries()) {
    // A type that an example names without importing it is the package's.
    const needed = ["Warmline", "WarmlineError"].filter((name) => new RegExp(`\\b${name}\\b`).test(code) && !/import \{[^}]*\bWarmline/.test(code));
    const imports = needed.length > 0 ? `import { ${needed.join(", ")} } from "warmline";\n` : "";
    writeFileSync(`${folder}/example-${i}.ts`, `${imports}${code}\nexport {};\n`);
  }
}

// Packs the package and installs it into a scratch project, as a user would: `node prepare.mjs FOLDER`.
import { execFileSync } from "node:child_process";
import { cpSync, mkdirSync, readFileSync, readdirSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { writeSnippets } from "./snippets.mjs";

const root = resolve(import.meta.dirname, "../..");
const folder = resolve(process.argv[2]);
rmSync(folder, { recursive: true, force: true });
mkdirSync(folder, { recursive: true });
const npm = (...words) => execFileSync("npm", words, { cwd: folder, encoding: "utf8", stdio: ["ignore", "pipe", "inherit"] });

const packed = JSON.parse(npm("pack", join(root, "pkg"), "--json", "--silent"))[0];
writeFileSync(join(folder, "package.json"), JSON.stringify({ private: true, type: "module" }));
renameSync(join(folder, packed.filename), join(folder, "warmline.tgz"));
// Without a lock file, of which Next.js would take the folder for the root of everything. What else the tests import is in the folder above.
npm("install", "--no-audit", "--no-fund", "--no-package-lock", "--silent", "./warmline.tgz");
cpSync(import.meta.dirname, folder, { recursive: true });
writeSnippets(root, folder);
cpSync(join(root, "npm/examples"), join(folder, "examples"), { recursive: true });
// What the examples read.
writeFileSync(join(folder, "cat.png"), Buffer.from("iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR4nGNgYGD4DwABBAEAX+XDSwAAAABJRU5ErkJggg==", "base64"));
writeFileSync(join(folder, "report.pdf"), "%PDF-1.4\n%%EOF\n");
const vectors = {};
for (const file of readdirSync(join(root, "tests/vectors"), { recursive: true }).filter((file) => file.endsWith(".json"))) {
  vectors[file] = JSON.parse(readFileSync(join(root, "tests/vectors", file), "utf8"));
}
writeFileSync(join(folder, "vectors.json"), JSON.stringify(vectors));

// Checks that editors show documentation for every public declaration and member: `node hover-docs.mjs FOLDER TOOLS`. The folder has
// the package's `.d.ts` files, the tools are the development packages.
import { readdirSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { resolve } from "node:path";

const [folder, tools] = process.argv.slice(2);
const require = createRequire(resolve(tools, "package.json"));
const { API } = require("typescript/unstable/sync");
const { SyntaxKind: Kind } = require("typescript/unstable/ast");

/** What is named in the answer of a hover, and so needs a doc comment. */
const DECLARATIONS = new Set([Kind.InterfaceDeclaration, Kind.ClassDeclaration, Kind.TypeAliasDeclaration, Kind.FunctionDeclaration, Kind.VariableStatement]);
const MEMBERS = new Set([Kind.PropertySignature, Kind.PropertyDeclaration, Kind.MethodSignature, Kind.MethodDeclaration, Kind.Constructor, Kind.CallSignature, Kind.GetAccessor]);

/** Returns what the files in a folder declare without a doc comment, as `file:line: name`. */
function undocumented(folder) {
  const files = readdirSync(folder).filter((file) => file.endsWith(".d.ts"));
  const paths = files.map((file) => resolve(folder, file));
  const config = resolve("tsconfig.hover-docs.json");
  writeFileSync(config, JSON.stringify({ compilerOptions: { noEmit: true, skipLibCheck: true }, files: paths }));
  const api = new API();
  try {
    const project = api.updateSnapshot({ openProject: config }).getProject(config);
    return files.flatMap((file, i) => inFile(project.program.getSourceFile(paths[i]), file));
  } finally {
    api.close();
  }
}

function inFile(source, file) {
  const missing = [];
  const isPrivate = (node) => node.modifiers?.some(({ kind }) => kind === Kind.PrivateKeyword || kind === Kind.ProtectedKeyword);
  const nameOf = (node) => (node.name ?? node.declarationList?.declarations[0].name)?.getText(source) ?? Kind[node.kind];
  const visit = (node, inside) => {
    // What a conditional type names is a pattern, of which no editor shows anything.
    if (isPrivate(node) || node.kind === Kind.ConditionalType) return;
    const named = DECLARATIONS.has(node.kind) || MEMBERS.has(node.kind);
    const path = named ? [...inside, nameOf(node)] : inside;
    if (named && !(node.jsDoc ?? []).some((comment) => comment.getText(source).replace(/[\s/*]/g, "") !== "")) {
      const line = source.text.slice(0, node.getStart(source)).split("\n").length;
      missing.push(`${file}:${line}: ${path.join(".")}`);
    }
    node.forEachChild((child) => visit(child, path));
  };
  source.forEachChild((statement) => visit(statement, []));
  return missing;
}

const missing = undocumented(folder);
for (const place of missing) console.error(`${place} has no doc comment`);
process.exitCode = missing.length > 0 ? 1 : 0;

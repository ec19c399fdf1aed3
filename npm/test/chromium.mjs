// A static server on loopback and a Chromium to visit it.
import { createServer } from "node:http";
import { readFileSync } from "node:fs";
import { extname, join } from "node:path";

const types = { ".html": "text/html", ".js": "text/javascript", ".css": "text/css", ".wasm": "application/wasm" };

const args = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"];

/** Starts a Chromium that sends nothing of its own and needs no sandbox of the system. */
export const launch = (chromium, executablePath) => chromium.launch({ executablePath, args });

/** Opens a page of a folder, hands it to `visit`, and closes everything. */
export async function visitPage({ chromium, executablePath, folder, query = "" }, visit) {
  const server = createServer((request, response) => {
    const path = new URL(request.url, "http://localhost").pathname;
    const file = join(folder, path === "/" ? "index.html" : path);
    try {
      const content = readFileSync(file);
      response.writeHead(200, { "content-type": types[extname(file)] ?? "application/octet-stream" }).end(content);
    } catch {
      response.writeHead(404).end();
    }
  }).listen(0, "127.0.0.1");
  await new Promise((listening) => server.once("listening", listening));
  const browser = await launch(chromium, executablePath);
  try {
    const page = await browser.newPage();
    page.on("pageerror", (error) => console.error(error));
    await page.goto(`http://127.0.0.1:${server.address().port}/${query}`);
    return await visit(page);
  } finally {
    await browser.close();
    server.close();
  }
}

// What the scripts here share that run tests of their own.
import { spawn } from "node:child_process";
import { createInterface } from "node:readline";

/** What the tests came to, which `cargo xtask test` reads as JSON from a script's last line. */
export const results = [];

export async function test(name, body) {
  try {
    await body();
    results.push({ name });
  } catch (error) {
    results.push({ name, error: String(error?.stack ?? error) });
  }
}

export function check(condition, what) {
  if (!condition) throw new Error(what);
}

/** Starts `warmline serve` on a port that the system chooses. */
export async function serve(native, args, options) {
  const gateway = spawn(native, ["serve", "--port", "0", ...args], { ...options, stdio: ["ignore", "ignore", "pipe"] });
  for await (const line of createInterface({ input: gateway.stderr })) {
    const url = /listening on (\S+),/.exec(line)?.[1];
    if (!url) continue;
    // What it goes on to say must find a reader.
    gateway.stderr.resume();
    return { gateway, url };
  }
  throw new Error("the gateway does not come up");
}

// Workers and Vercel's edge: the whole suite within one request.
import * as warmline from "warmline";
import vectors from "./vectors.json";
import { run } from "./suite.js";

export async function respond(sim) {
  return Response.json(await run(warmline, { sim, vectors }));
}

export default {
  async fetch(request) {
    return respond(new URL(request.url).searchParams.get("sim"));
  },
};

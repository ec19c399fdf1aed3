// A Worker whose requests share a client and a router, and with them the instance of the core.
import { Router, Warmline } from "warmline";

let llm;
let router;

export default {
  async fetch(request) {
    const { sim, model, text, leave, routed } = await request.json();
    const client = () => new Warmline({ provider: "openai", apiKey: "sk-secret-0001", baseUrl: `${sim}/v1`, maxRetries: 0 });
    llm ??= client();
    const targets = () => ["eu", "us"].map((name) => ({ client: client(), name, models: { m: "m", failing: name === "eu" ? "m?status=503" : "m", "m?hold": "m?hold" } }));
    router ??= new Router({ targets: targets(), cooldown: { baseMs: 20, capMs: 20 } });
    const caller = routed ? router : llm;
    const ask = { model, messages: [{ role: "user", content: text }] };
    if (!leave) return caller.stream(ask).toResponse({ format: "text" });
    // The runtime ends a request with its response, and what its call waits for never comes.
    await new Promise((sent) => caller.chat(ask, { onRequest: sent }).catch(() => {}));
    return new Response("left");
  },
};

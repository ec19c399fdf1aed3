// A Worker whose requests share a client, and with it the instance of the core.
import { Warmline } from "warmline";

let llm;

export default {
  async fetch(request) {
    const { sim, model, text, leave } = await request.json();
    llm ??= new Warmline({ provider: "openai", apiKey: "sk-secret-0001", baseUrl: `${sim}/v1`, maxRetries: 0 });
    const ask = { model, messages: [{ role: "user", content: text }] };
    if (!leave) return llm.stream(ask).toResponse({ format: "text" });
    // The runtime ends a request with its response, and what its call waits for never comes.
    await new Promise((sent) => llm.chat(ask, { onRequest: sent }).catch(() => {}));
    return new Response("left");
  },
};

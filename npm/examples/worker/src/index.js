// A chat endpoint at the edge: POST a question as text, and read the streamed answer.
import { RateLimitError, Warmline, WarmlineError } from "warmline";

export default {
  async fetch(request, env) {
    if (request.method !== "POST") return new Response("POST a question\n", { status: 405, headers: { allow: "POST" } });
    // Make the client inside the request: Workers ties I/O to the request that started it.
    const llm = new Warmline({ provider: "anthropic", apiKey: env.ANTHROPIC_API_KEY, baseUrl: env.ANTHROPIC_BASE_URL });
    const ask = { messages: [{ role: "user", content: await request.text() }], maxTokens: 1024 };
    try {
      const streams = request.headers.get("accept")?.includes("text/event-stream");
      // The response has the status of a failure before the first event.
      if (streams) return await llm.stream(ask, { signal: request.signal }).toResponse();
      const { text, usage } = await llm.chat(ask, { signal: request.signal });
      return Response.json({ text, usage });
    } catch (error) {
      if (!(error instanceof WarmlineError)) throw error;
      const headers = error instanceof RateLimitError && error.retryAfterMs ? { "retry-after": String(Math.ceil(error.retryAfterMs / 1000)) } : {};
      const status = error.kind === "config" ? 400 : error.kind === "rate_limited" ? 429 : 502;
      return Response.json({ error: { kind: error.kind, message: error.message } }, { status, headers });
    }
  },
};

import { Warmline } from "warmline";

export async function POST(request) {
  const llm = new Warmline({ provider: "openai", apiKey: "k", baseUrl: process.env.OPENAI_BASE_URL });
  const messages = [{ role: "user", content: await request.text() }];
  return llm.stream({ model: "m?tokens=2", messages }, { signal: request.signal }).toResponse({ format: "text" });
}

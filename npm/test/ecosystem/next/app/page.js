"use client";
import { Warmline } from "warmline";

async function call() {
  const baseUrl = new URLSearchParams(location.search).get("sim");
  const llm = new Warmline({ provider: "openai", apiKey: "k", baseUrl, dangerouslyAllowBrowser: true });
  globalThis.outcome = (await llm.chat({ model: "m?tokens=2", messages: [{ role: "user", content: "Hello" }] })).text;
}

export default function Page() {
  return <button onClick={call}>Call</button>;
}

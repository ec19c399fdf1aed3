// A page, whose query has the simulator's address.
import { Warmline } from "warmline";

const baseUrl = `${new URLSearchParams(location.search).get("sim")}/v1`;
const llm = new Warmline({ provider: "openai", apiKey: "k", baseUrl, dangerouslyAllowBrowser: true });
llm.chat({ model: "m?tokens=2", messages: [{ role: "user", content: "Hello" }] }).then(
  ({ text }) => (globalThis.outcome = text),
  (error) => (globalThis.outcome = `${error.name}: ${error.message}`),
);

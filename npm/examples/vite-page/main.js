// Sends the visitor's own key from the page directly to the provider.
import { CancelledError, Warmline } from "warmline";

const form = document.querySelector("form");
const output = document.querySelector("output");
const stop = document.querySelector("#stop");
// `?server=` sets the base URL of another server with the same API, such as the simulator's.
const baseUrl = new URLSearchParams(location.search).get("server") ?? undefined;

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  const { key, question } = Object.fromEntries(new FormData(form));
  const controller = new AbortController();
  stop.onclick = () => controller.abort();
  stop.disabled = false;
  output.textContent = "";
  try {
    const llm = new Warmline({ provider: "anthropic", apiKey: key, baseUrl, dangerouslyAllowBrowser: true });
    for await (const event of llm.stream(question, { signal: controller.signal })) {
      if (event.type === "text") output.textContent += event.text;
    }
  } catch (error) {
    output.textContent += error instanceof CancelledError ? " [stopped]" : `\n${error.message}`;
  }
  stop.disabled = true;
});

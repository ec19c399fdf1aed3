// The chat: through the gateway, or directly to a provider with the visitor's own key.
import { BudgetExceededError, CancelledError, ConnectError } from "./warmline/browser.js";
import { client, newAction, stream } from "./calls.js";
import { $, dollars, element } from "./dom.js";
import { refusal } from "./panels.js";

const CLOCK = {
  name: "clock",
  description: "Returns the time on the user's clock.",
  input: { type: "object", properties: { zone: { type: "string" } } },
};

let picture;
let controller;
const messages = [];

const chosen = () => client($("provider").value, $("key").value.trim());

function scrollDown() {
  $("turns").scrollTop = $("turns").scrollHeight;
}

/** Adds a paragraph to the conversation. */
function turn(kind, text) {
  $("turns").querySelector(".hint")?.remove();
  const made = element("p", { className: `turn-${kind}`, text });
  $("turns").append(made);
  scrollDown();
  return made;
}

/** Asks until the model calls no more tools. */
async function answer({ llm, model, own }) {
  const action = newAction();
  for (;;) {
    const paragraph = turn("assistant", "");
    paragraph.classList.add("awaited");
    const onEvent = (event) => {
      if (event.type !== "text") return;
      paragraph.classList.remove("awaited");
      paragraph.textContent += event.text;
      scrollDown();
    };
    const retries = turn("note", "");
    const onRetry = ({ attempt }) => {
      retries.textContent = `No answer yet. Attempt ${attempt} …`;
      scrollDown();
    };
    const tools = $("tool").checked ? [CLOCK] : undefined;
    const request = { model, messages, maxTokens: 400, tools };
    let reply;
    try {
      reply = await stream(llm, request, { action, name: own ? `chat (${own})` : "chat", own, signal: controller.signal, onEvent, onRetry });
    } finally {
      retries.remove();
      paragraph.classList.remove("awaited");
      if (!paragraph.textContent) paragraph.remove();
    }
    messages.push({ role: "assistant", content: reply.content });
    if (!reply.toolCalls.length) return turn("note", costOf(reply));
    const results = reply.toolCalls.map((call) => {
      const content = new Date().toLocaleTimeString();
      turn("tool", `${call.name}(${call.argumentsText}) → ${content}`);
      return { type: "tool_result", toolUseId: call.id, content };
    });
    messages.push({ role: "user", content: results });
  }
}

function costOf({ usage, cost }) {
  const tokens = `${usage.inputTokens} tokens in, ${usage.outputTokens} out`;
  return cost ? `${tokens} · ${dollars(cost.usd)}${cost.estimated ? " (estimated)" : ""}` : tokens;
}

/** Returns what went wrong, and what can be done about it. */
function explain(error, own) {
  if (error instanceof CancelledError) return "Stopped. The connection is free again. What the reply had cost by then is charged as an estimate.";
  if (error instanceof BudgetExceededError) {
    const next = own ? "Reload the page for a new one." : "Start a new budget under “Spend”.";
    return `${refusal(error)} ${next}`;
  }
  if (!(error instanceof ConnectError)) return error.message;
  if (!own) return `${error.message}. The gateway does not answer: is it running? Start it with “cargo xtask demo”.`;
  const host = `api.${own}.com`;
  if (!navigator.onLine) return `${host} cannot be reached, because this browser is offline. Connect to a network and send the message again, or remove the key to ask the simulated model.`;
  return (
    `${host} cannot be reached, and browsers do not tell a page why. Open https://${host} in another tab. If that fails, check your network, proxy or firewall. ` +
    "If it opens, see the browser's console (F12): a content blocker may have stopped the request, or the provider may refuse calls from web pages (CORS). " +
    "Since the message may have arrived, its cost counts as an estimate. Without a key, the simulated model answers and needs no network."
  );
}

$("ask").addEventListener("submit", async (event) => {
  event.preventDefault();
  const text = $("question").value.trim();
  if (!text || controller) return;
  const to = chosen();
  controller = new AbortController();
  $("stop").disabled = false;
  $("send").ariaDisabled = "true";
  // Screen readers read a reply when it is complete.
  $("turns").ariaBusy = "true";
  const asked = turn("user", text);
  const content = [{ type: "text", text }];
  if (picture) {
    content.unshift({ type: "image", image: picture });
    asked.prepend(element("img", { src: $("preview").src, alt: `The picture ${picture.name}`, onload: scrollDown }));
    choose(undefined);
  }
  const before = messages.length;
  messages.push({ role: "user", content });
  $("question").value = "";
  try {
    await answer(to);
  } catch (error) {
    messages.length = before;
    turn("note", explain(error, to.own)).classList.toggle("failed", !(error instanceof CancelledError));
    // The message can be sent again.
    $("question").value ||= text;
  }
  controller = undefined;
  if (document.activeElement === $("stop")) $("question").focus();
  $("stop").disabled = true;
  $("send").ariaDisabled = null;
  $("turns").ariaBusy = null;
});

$("own").addEventListener("submit", (event) => event.preventDefault());
$("stop").addEventListener("click", () => controller?.abort());
$("question").addEventListener("keydown", (event) => {
  if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
  event.preventDefault();
  $("ask").requestSubmit();
});

function showDestination() {
  const key = $("key").value.trim();
  const host = `api.${$("provider").value}.com`;
  $("goes").textContent = key ? `Goes to ${host} with your key and costs real money, at most $1.` : "Goes to the gateway, which asks the simulated model.";
}
for (const id of ["key", "provider"]) $(id).addEventListener("input", showDestination);
showDestination();

function choose(file) {
  picture = file;
  $("picture").hidden = !file;
  if (file) $("preview").src = URL.createObjectURL(file);
  else $("preview").removeAttribute("src");
  $("picture-name").textContent = file?.name ?? "";
  if (!file) $("file").value = "";
}
$("file").addEventListener("change", () => choose($("file").files[0]));
$("remove").addEventListener("click", () => {
  choose(undefined);
  $("file").focus();
});

const chat = document.querySelector(".chat");
for (const [name, dropping] of [["dragover", true], ["dragleave", false], ["drop", false]]) {
  chat.addEventListener(name, (event) => {
    event.preventDefault();
    chat.classList.toggle("dropping", dropping);
    const file = name === "drop" && [...event.dataTransfer.files].find(({ type }) => type.startsWith("image/"));
    if (file) choose(file);
  });
}

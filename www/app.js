// The demo page: it calls `warmline serve` with the npm package, and shows what both do.
import { $ } from "./dom.js";
import { budgets, page, recordSeen, renew } from "./calls.js";
import "./chat.js";
import { showAlerts, showBudgets, showPool, showRefusal } from "./panels.js";
import { showTimeline } from "./timeline.js";
import { say } from "./tries.js";

$("renew").addEventListener("click", () => {
  renew();
  showRefusal(page.refused);
  $("question").focus();
});

// One stream of statistics: browsers open six connections to a host, so a request for each update would wait behind the calls.
const live = new EventSource("/v1/llm/stats?samples=0&every=200");
let unreachable = false;
live.addEventListener("message", async ({ data }) => {
  const { providers: { anthropic }, spend, alerts } = JSON.parse(data);
  if (!anthropic) {
    live.close();
    return say("The gateway", 'It does not serve Anthropic\'s API, which this page calls. Start it with "cargo xtask demo".', true);
  }
  unreachable = false;
  recordSeen(anthropic.recent);
  showPool(anthropic.pool.now);
  showAlerts(alerts);
  showTimeline();
  const gateway = spend.budgets.map((budget) => ({ ...budget, label: "The gateway", estimated: spend.estimated }));
  showBudgets([...(await budgets()), ...gateway]);
  showRefusal(page.refused);
});
live.addEventListener("error", () => {
  if (!unreachable) say("The gateway", 'It does not answer. Start it with "cargo xtask demo".', true);
  unreachable = true;
});

// The UI message stream of the AI SDK (https://ai-sdk.dev/docs/ai-sdk-ui/stream-protocol#data-stream-protocol), which its `useChat` reads.

const FINISH = { end_turn: "stop", stop_sequence: "stop", max_tokens: "length", tool_use: "tool-calls", refusal: "content-filter" };

export function uiMessageStream(messageOf) {
  /** The block of text or reasoning that is open. */
  let open;
  let blocks = 0;
  const tools = new Map();
  const close = () => {
    const ended = open && { type: `${open.type}-end`, id: open.id };
    open = undefined;
    return ended ? [ended] : [];
  };
  const delta = (type, text) => {
    if (open?.type === type) return [{ type: `${type}-delta`, id: open.id, delta: text }];
    const before = close();
    open = { type, id: String(++blocks) };
    return [...before, { type: `${type}-start`, id: open.id }, { type: `${type}-delta`, id: open.id, delta: text }];
  };
  const chunks = {
    start: () => [{ type: "start" }, { type: "start-step" }],
    text: ({ text }) => delta("text", text),
    reasoning: ({ text }) => delta("reasoning", text),
    tool_call_start({ index, id, name }) {
      tools.set(index, id);
      return [...close(), { type: "tool-input-start", toolCallId: id, toolName: name }];
    },
    tool_call_delta: ({ index, arguments: inputTextDelta }) => [{ type: "tool-input-delta", toolCallId: tools.get(index), inputTextDelta }],
    tool_call: ({ id, name, arguments: input }) => [{ type: "tool-input-available", toolCallId: id, toolName: name, input }],
    invalid_tool_call: ({ id, name, arguments: input, error }) => [
      { type: "tool-input-error", toolCallId: id, toolName: name, input, errorText: messageOf(error) },
    ],
    done: ({ reply }) => [...close(), { type: "finish-step" }, { type: "finish", finishReason: FINISH[reply.stopReason] ?? "other" }],
  };
  const write = (list) => list.map((chunk) => `data: ${JSON.stringify(chunk)}\n\n`).join("");
  const end = () => "data: [DONE]\n\n";
  return {
    headers: { "content-type": "text/event-stream", "x-vercel-ai-ui-message-stream": "v1", "x-accel-buffering": "no" },
    event: (event) => write(Object.hasOwn(chunks, event.type) ? chunks[event.type](event) : []),
    end,
    error: (error) => write([...close(), error.kind === "cancelled" ? { type: "abort" } : { type: "error", errorText: messageOf(error) }]) + end(),
  };
}

// A span for each call, with the names of OpenTelemetry's conventions for generative AI
// (https://opentelemetry.io/docs/specs/semconv/gen-ai/gen-ai-spans/).
import { type Span, SpanKind, SpanStatusCode, type Tracer } from "@opentelemetry/api";
import type { CallInfo, Hooks } from "warmline";

/** Returns the hooks of a client: `new Warmline({ provider, apiKey, ...traced(trace.getTracer("my-app")) })`. */
export function traced(tracer: Tracer): Hooks {
  const spans = new WeakMap<CallInfo, Span>();
  const spanOf = (call: CallInfo) => {
    const known = spans.get(call);
    if (known) return known;
    const attributes = { "gen_ai.operation.name": "chat", ...(call.provider && { "gen_ai.provider.name": call.provider }), ...(call.model && { "gen_ai.request.model": call.model }) };
    const span = tracer.startSpan(`chat ${call.model ?? call.provider ?? ""}`, { kind: SpanKind.CLIENT, attributes });
    spans.set(call, span);
    return span;
  };
  return {
    onRequest: ({ call }) => spanOf(call),
    onRetry: ({ call, attempt, previous }) => spanOf(call).addEvent("retry", { attempt, "http.response.status_code": previous.status }),
    onError: ({ call, error }) => {
      const span = spanOf(call);
      span.setAttribute("error.type", error.kind);
      span.setStatus({ code: SpanStatusCode.ERROR, message: error.message });
      span.end();
    },
    onFinish: ({ call, reply }) => {
      const span = spanOf(call);
      span.setAttributes({
        "gen_ai.response.id": reply.id,
        "gen_ai.response.model": reply.model,
        "gen_ai.usage.input_tokens": reply.usage.inputTokens,
        "gen_ai.usage.output_tokens": reply.usage.outputTokens,
        ...(reply.stopReason && { "gen_ai.response.finish_reasons": [reply.stopReason] }),
      });
      span.end();
    },
  };
}

//! A tracing span for each call, with the attribute names of OpenTelemetry's semantic conventions for generative AI
//! (<https://opentelemetry.io/docs/specs/semconv/gen-ai/gen-ai-spans/>).

use tracing::Span;
use tracing::field::Empty;

use crate::provider::Endpoint;
use crate::quote::{escaped, shorten};
use crate::runtime::TRACED;
use crate::{Error, Provider, Reply, Request, StopReason};

/// Creates the span of a call.
pub(crate) fn call(
    provider: Provider,
    model: &str,
    request: &Request,
    endpoint: &Endpoint,
) -> Span {
    tracing::info_span!(
        "chat",
        otel.name = format_args!("chat {}", escaped(model)),
        otel.kind = "client",
        otel.status_code = Empty,
        gen_ai.operation.name = "chat",
        gen_ai.provider.name = provider.name(),
        gen_ai.request.model = model,
        gen_ai.request.max_tokens = request.max_tokens,
        gen_ai.request.temperature = request.temperature,
        gen_ai.request.top_p = request.top_p,
        gen_ai.response.id = Empty,
        gen_ai.response.model = Empty,
        gen_ai.response.finish_reasons = Empty,
        gen_ai.usage.input_tokens = Empty,
        gen_ai.usage.output_tokens = Empty,
        gen_ai.usage.cache_read.input_tokens = Empty,
        gen_ai.usage.cache_creation.input_tokens = Empty,
        http.request.resend_count = Empty,
        server.address = endpoint.host(),
        server.port = endpoint.port(),
        error.r#type = Empty,
    )
}

/// Records the reply of a call.
pub(crate) fn replied(span: &Span, reply: &Reply) {
    if !TRACED || span.is_disabled() {
        return;
    }
    // Shortened, because the provider chooses these texts and subscribers may store them.
    span.record("gen_ai.response.id", shorten(&reply.id));
    span.record("gen_ai.response.model", shorten(&reply.model));
    if let Some(reason) = reply.stop_reason.as_ref().map(StopReason::as_str) {
        span.record("gen_ai.response.finish_reasons", shorten(reason));
    }
    if reply.usage_reported {
        // In the conventions, input tokens include cached ones.
        span.record(
            "gen_ai.usage.input_tokens",
            reply.usage.total_input_tokens(),
        );
        span.record("gen_ai.usage.output_tokens", reply.usage.output_tokens);
        span.record(
            "gen_ai.usage.cache_read.input_tokens",
            reply.usage.cache_read_tokens,
        );
        span.record(
            "gen_ai.usage.cache_creation.input_tokens",
            reply.usage.cache_write_tokens,
        );
    }
    record_resends(span, reply.attempts().len());
}

/// Records the error of a call.
pub(crate) fn failed(span: &Span, error: &Error) {
    if !TRACED {
        return;
    }
    span.record("otel.status_code", "ERROR");
    span.record("error.type", error.kind().name());
    record_resends(span, error.attempts().len());
}

fn record_resends(span: &Span, attempts: usize) {
    if attempts > 1 {
        span.record("http.request.resend_count", attempts - 1);
    }
}

/// What the gateway answers at which path.
pub(crate) const PATHS: &str = "POST /v1/messages, /v1/messages/count_tokens, /v1/chat/completions, /v1/responses and \
    /v1/responses/input_tokens, GET /v1/models, /v1/models/ID, /v1/llm/stats, /metrics, /healthz and /readyz";

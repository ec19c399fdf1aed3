//! The dialects, and the choice between them.

use http::{HeaderMap, StatusCode};
use serde_json::Value;

use crate::answer::{Answer, Prompt};
use crate::reply::{ApiError, Piece};
use crate::scenario::Scenario;
use crate::stats::Counters;
use crate::{anthropic, openai, responses, threads};

#[derive(Clone, Copy)]
pub(crate) enum Dialect {
    Anthropic,
    OpenAi,
    Responses,
}

impl Dialect {
    pub(crate) fn of_path(path: &str) -> Self {
        match path {
            "/v1/messages" => Self::Anthropic,
            "/v1/responses" | "/responses" => Self::Responses,
            _ => Self::OpenAi,
        }
    }

    pub(crate) fn request_id_header(self) -> &'static str {
        match self {
            Self::Anthropic => "request-id",
            Self::OpenAi | Self::Responses => "x-request-id",
        }
    }

    pub(crate) fn check_key(self, headers: &HeaderMap) -> Result<(), ApiError> {
        match self {
            Self::Anthropic => anthropic::check_key(headers),
            Self::OpenAi | Self::Responses => openai::check_key(headers),
        }
    }

    /// The message about a request without a model.
    pub(crate) fn missing_model(self) -> &'static str {
        match self {
            Self::Anthropic => "model: Field required",
            Self::OpenAi | Self::Responses => "you must provide a model parameter",
        }
    }

    pub(crate) fn read(self, body: &Value, counters: &Counters) -> Result<Prompt, ApiError> {
        match self {
            Self::Anthropic => anthropic::read(body, counters),
            Self::OpenAi => openai::read(body, counters),
            Self::Responses => responses::read(body, counters),
        }
    }

    /// Remembers a reply that later requests can continue.
    pub(crate) fn remember(self, answer: &Answer, counters: &Counters) {
        match self {
            Self::Responses => responses::remember(answer, counters),
            Self::Anthropic => threads::remember(answer, counters),
            Self::OpenAi => {}
        }
    }

    /// The body of a reply that is not streamed.
    pub(crate) fn whole(self, answer: &Answer, scenario: &Scenario) -> Value {
        match self {
            Self::Anthropic => anthropic::whole(answer),
            Self::OpenAi => openai::whole(answer, scenario),
            Self::Responses => responses::whole(answer, scenario),
        }
    }

    /// The pieces of a streamed reply. `include_usage` is OpenAI's option of that name.
    pub(crate) fn pieces(
        self,
        answer: &Answer,
        scenario: &Scenario,
        include_usage: bool,
    ) -> Vec<Piece> {
        match self {
            Self::Anthropic => anthropic::pieces(answer, scenario),
            Self::OpenAi => openai::pieces(answer, scenario, include_usage),
            Self::Responses => responses::pieces(answer, scenario),
        }
    }

    pub(crate) fn ping(self) -> String {
        match self {
            Self::Anthropic => anthropic::ping(),
            Self::OpenAi => openai::ping(),
            Self::Responses => responses::ping(),
        }
    }

    pub(crate) fn error_body(self, api_error: &ApiError, request_id: &str) -> Value {
        match self {
            Self::Anthropic => anthropic::error_body(api_error, request_id),
            Self::OpenAi | Self::Responses => openai::error_body(api_error),
        }
    }

    /// An error inside of a stream.
    pub(crate) fn error_event(self, api_error: &ApiError, request_id: &str) -> String {
        match self {
            Self::Anthropic => anthropic::error_event(api_error, request_id),
            Self::OpenAi => openai::error_event(api_error),
            Self::Responses => responses::error_event(api_error),
        }
    }

    pub(crate) fn error_type(self, status: u16) -> &'static str {
        match self {
            Self::Anthropic => anthropic::error_type(status),
            Self::OpenAi | Self::Responses => openai::error_type(status),
        }
    }

    /// The error that a scenario asks for, or the usual one of its status.
    pub(crate) fn error(self, scenario: &Scenario, status: u16) -> ApiError {
        let kind = scenario
            .error_type
            .clone()
            .unwrap_or_else(|| self.error_type(status).to_owned());
        let message = scenario.message.clone().unwrap_or_else(|| {
            let reason = StatusCode::from_u16(status)
                .ok()
                .and_then(|s| s.canonical_reason())
                .unwrap_or("Overloaded");
            format!("{reason} (simulated)")
        });
        ApiError {
            status,
            kind,
            code: scenario.code.clone(),
            message,
        }
    }
}

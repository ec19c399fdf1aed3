//! The lists of models, and the counts of tokens: <https://docs.claude.com/en/api/models-list>,
//! <https://docs.claude.com/en/api/messages-count-tokens>, <https://platform.openai.com/docs/api-reference/models>.

use http::{HeaderMap, Method, Uri};
use serde_json::{Value, json};

use crate::answer::count;
use crate::dialect::Dialect;
use crate::reply::ApiError;
use crate::{anthropic, media};

/// The ID, the name and the date of each of Anthropic's simulated models.
const ANTHROPIC: [(&str, &str, &str); 3] = [
    ("claude-opus-4-5", "Claude Opus 4.5", "2025-11-24T00:00:00Z"),
    (
        "claude-haiku-4-5",
        "Claude Haiku 4.5",
        "2025-10-15T00:00:00Z",
    ),
    (
        "claude-sonnet-4-5",
        "Claude Sonnet 4.5",
        "2025-09-29T00:00:00Z",
    ),
];

/// The ID and the time of each of OpenAI's.
const OPENAI: [(&str, u64); 3] = [
    ("gpt-4.1", 1_744_316_542),
    ("gpt-4.1-mini", 1_744_318_173),
    ("text-embedding-3-small", 1_705_948_997),
];

/// What a request asks for that is no chat.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Lookup<'a> {
    Models,
    Model(&'a str),
    AnthropicCount,
    OpenAiCount,
}

impl<'a> Lookup<'a> {
    pub(crate) fn of(method: &Method, path: &'a str) -> Option<Self> {
        let path = path.strip_prefix("/v1").unwrap_or(path);
        match (method, path) {
            (&Method::GET, "/models") => Some(Self::Models),
            (&Method::GET, path) => path.strip_prefix("/models/").map(Self::Model),
            (&Method::POST, "/messages/count_tokens") => Some(Self::AnthropicCount),
            (&Method::POST, "/responses/input_tokens") => Some(Self::OpenAiCount),
            _ => None,
        }
    }

    /// The dialect of the reply: the header tells which client asks for models.
    pub(crate) fn dialect(self, headers: &HeaderMap) -> Dialect {
        match self {
            Self::AnthropicCount => Dialect::Anthropic,
            Self::OpenAiCount => Dialect::Responses,
            Self::Models | Self::Model(_) => match headers.contains_key("anthropic-version") {
                true => Dialect::Anthropic,
                false => Dialect::OpenAi,
            },
        }
    }

    pub(crate) fn answer(
        self,
        dialect: Dialect,
        uri: &Uri,
        headers: &HeaderMap,
        body: &[u8],
    ) -> Result<Value, ApiError> {
        dialect.check_key(headers)?;
        match self {
            Self::Models => match dialect {
                Dialect::Anthropic => page(uri.query().unwrap_or_default()),
                _ => Ok(json!({"object": "list", "data": OPENAI.map(openai_model)})),
            },
            Self::Model(id) => {
                let model = match dialect {
                    Dialect::Anthropic => {
                        let mut models = ANTHROPIC.into_iter();
                        models.find(|(known, ..)| *known == id).map(anthropic_model)
                    }
                    _ => {
                        let mut models = OPENAI.into_iter();
                        models.find(|(known, _)| *known == id).map(openai_model)
                    }
                };
                model.ok_or_else(|| not_found(dialect, id))
            }
            Self::AnthropicCount => count_anthropic(&parsed(body)?),
            Self::OpenAiCount => count_openai(&parsed(body)?),
        }
    }
}

fn anthropic_model((id, name, date): (&str, &str, &str)) -> Value {
    json!({"type": "model", "id": id, "display_name": name, "created_at": date})
}

fn openai_model((id, created): (&str, u64)) -> Value {
    json!({"id": id, "object": "model", "created": created, "owned_by": "system"})
}

fn not_found(dialect: Dialect, id: &str) -> ApiError {
    match dialect {
        Dialect::Anthropic => ApiError::new(404, "not_found_error", format!("model: {id}")),
        _ => ApiError {
            code: Some("model_not_found".into()),
            ..ApiError::new(
                404,
                "invalid_request_error",
                format!("The model '{id}' does not exist"),
            )
        },
    }
}

fn invalid(message: impl Into<String>) -> ApiError {
    ApiError::new(400, "invalid_request_error", message)
}

fn parsed(body: &[u8]) -> Result<Value, ApiError> {
    serde_json::from_slice(body).map_err(|e| {
        let message = format!("We could not parse the JSON body of your request. ({e})");
        invalid(message)
    })
}

/// A page of Anthropic's list.
fn page(query: &str) -> Result<Value, ApiError> {
    let fields: Vec<_> = form_urlencoded::parse(query.as_bytes()).collect();
    let field = |name: &str| {
        let mut fields = fields.iter();
        fields
            .find(|(known, _)| known == name)
            .map(|(_, value)| value)
    };
    let limit = match field("limit") {
        None => 20,
        Some(limit) => limit
            .parse()
            .ok()
            .filter(|limit| (1..=1000).contains(limit))
            .ok_or_else(|| invalid("limit: Input should be between 1 and 1000"))?,
    };
    let place = |id: &str| ANTHROPIC.iter().position(|(known, ..)| *known == id);
    let range = match (field("after_id"), field("before_id")) {
        (Some(id), _) => place(id).map_or(0, |at| at + 1)..ANTHROPIC.len(),
        (None, Some(id)) => {
            let end = place(id).unwrap_or_default();
            end.saturating_sub(limit)..end
        }
        (None, None) => 0..ANTHROPIC.len(),
    };
    let models = ANTHROPIC.get(range.clone()).unwrap_or_default();
    let has_more = match field("before_id") {
        Some(_) => range.start > 0,
        None => models.len() > limit,
    };
    let models: Vec<Value> = models
        .iter()
        .take(limit)
        .copied()
        .map(anthropic_model)
        .collect();
    let id = |model: Option<&Value>| model.map(|model| model["id"].clone());
    Ok(json!({
        "first_id": id(models.first()),
        "last_id": id(models.last()),
        "has_more": has_more,
        "data": models,
    }))
}

fn missing_model(body: &Value) -> bool {
    body["model"].as_str().unwrap_or_default().is_empty()
}

fn count_anthropic(body: &Value) -> Result<Value, ApiError> {
    if missing_model(body) {
        return Err(invalid("model: Field required"));
    }
    for name in ["max_tokens", "stream", "metadata", "temperature"] {
        if body.get(name).is_some() {
            return Err(invalid(format!("{name}: Extra inputs are not permitted")));
        }
    }
    if body["messages"].as_array().is_none_or(Vec::is_empty) {
        return Err(invalid("messages: Field required"));
    }
    Ok(json!({"input_tokens": media::count_tokens(&Value::from(anthropic::counted(body)))}))
}

fn count_openai(body: &Value) -> Result<Value, ApiError> {
    if missing_model(body) {
        return Err(invalid("you must provide a model parameter"));
    }
    for name in ["stream", "store", "include", "max_output_tokens"] {
        if body.get(name).is_some() {
            return Err(invalid(format!("Unknown parameter: '{name}'.")));
        }
    }
    let texts = json!([body["instructions"], body["input"]]);
    let tools = match &body["tools"] {
        Value::Null => 0,
        tools => count(&tools.to_string()),
    };
    let tokens = media::count_tokens(&texts) + tools;
    Ok(json!({"object": "response.input_tokens", "input_tokens": tokens}))
}

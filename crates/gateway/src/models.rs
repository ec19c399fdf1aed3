//! The models that callers can use, in the shape of either API.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use futures_util::future::join_all;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use tokio::sync::Mutex;
use warmline::{Client, DialectName, ModelInfo, Router};

use crate::api_error::{ApiError, json_response};
use crate::state::GatewayState;

/// How long a provider may take to list its models. Claude Code waits for 3 s.
const TIMEOUT: Duration = Duration::from_secs(2);
/// How long a list is used, and how long a provider that gave none is left alone.
const LIFETIME: Duration = Duration::from_secs(60);
const LIFETIME_OF_FAILURE: Duration = Duration::from_secs(10);

/// The lists of the targets, by their names. It is locked while they are asked, so that many callers ask once.
#[derive(Default)]
pub(crate) struct ModelLists {
    lists: Mutex<HashMap<String, Listed>>,
    /// How often the targets were replaced. A list of earlier ones is not used.
    generation: AtomicU64,
}

#[derive(Clone)]
struct Listed {
    at: Instant,
    generation: u64,
    /// The last list that was given, if any was.
    models: Option<Arc<Vec<ModelInfo>>>,
    failed: bool,
}

impl Listed {
    fn is_fresh(&self) -> bool {
        let lifetime = match self.failed {
            true => LIFETIME_OF_FAILURE,
            false => LIFETIME,
        };
        self.at.elapsed() < lifetime
    }
}

impl ModelLists {
    /// Forgets all lists.
    pub(crate) fn clear(&self) {
        self.generation.fetch_add(1, Relaxed);
    }

    /// Returns the models of all targets and the router's names, each once, and the targets that gave no list.
    async fn all(&self, router: &Router) -> (Vec<(DialectName, ModelInfo)>, Vec<String>) {
        let mut lists = self.lists.lock().await;
        let generation = self.generation.load(Relaxed);
        lists.retain(|_, of| of.generation == generation);
        let old = |name: &str| lists.get(name).cloned();
        let listed = join_all(router.targets().map(|(name, client)| {
            let old = old(name);
            async move { (name, client, list(name, client, generation, old).await) }
        }));
        let mut models: Vec<(DialectName, ModelInfo)> = Vec::new();
        let mut failed = Vec::new();
        for (name, client, listed) in listed.await {
            for model in listed.models.iter().flat_map(|models| models.iter()) {
                if !models.iter().any(|(_, known)| known.id == model.id) {
                    models.push((client.dialect_name(), model.clone()));
                }
            }
            if listed.models.is_none() {
                failed.push(name.to_owned());
            }
            lists.insert(name.to_owned(), listed);
        }
        for name in router.models() {
            if !models.iter().any(|(_, known)| known.id == name) {
                models.push((DialectName::OpenAiChat, ModelInfo::new(name)));
            }
        }
        (models, failed)
    }
}

async fn list(name: &str, client: &Client, generation: u64, old: Option<Listed>) -> Listed {
    if let Some(old) = old.as_ref().filter(|old| old.is_fresh()) {
        return old.clone();
    }
    let error = match tokio::time::timeout(TIMEOUT, client.models()).await {
        Ok(Ok(models)) => {
            return Listed {
                at: Instant::now(),
                generation,
                models: Some(Arc::new(models)),
                failed: false,
            };
        }
        Ok(Err(error)) => error.to_string(),
        Err(_) => format!("no list within {TIMEOUT:?}"),
    };
    tracing::warn!(target = name, error, "the models cannot be listed");
    Listed {
        at: Instant::now(),
        generation,
        models: old.and_then(|old| old.models),
        failed: true,
    }
}

/// The fields of a query that limit a list, as Anthropic's API has them.
#[derive(Deserialize)]
pub(crate) struct PageQuery {
    limit: Option<usize>,
    after_id: Option<String>,
    before_id: Option<String>,
}

/// The dialect of a caller who asks for models: only the clients of one API send this header.
fn dialect_of(headers: &HeaderMap) -> DialectName {
    match headers.contains_key("anthropic-version") {
        true => DialectName::Anthropic,
        false => DialectName::OpenAiChat,
    }
}

/// Answers with the models of all providers.
pub(crate) async fn models(
    State(state): State<Arc<GatewayState>>,
    query: Result<Query<PageQuery>, QueryRejection>,
    headers: HeaderMap,
) -> Response {
    let dialect = dialect_of(&headers);
    let listed = try_models(&state, dialect, query, &headers).await;
    listed.unwrap_or_else(|error| error.into_response(dialect))
}

async fn try_models(
    state: &GatewayState,
    dialect: DialectName,
    query: Result<Query<PageQuery>, QueryRejection>,
    headers: &HeaderMap,
) -> Result<Response, ApiError> {
    let caller = state.caller(headers)?;
    let invalid = |message: String| ApiError::new(StatusCode::BAD_REQUEST, "query", message);
    let Query(query) = query.map_err(|rejection| invalid(rejection.body_text()))?;
    if query.limit == Some(0) {
        return Err(invalid("limit is 0: it must be at least 1".to_owned()));
    }
    let (models, _) = state.model_lists.all(&caller.router).await;
    let shown = |models: &[(DialectName, ModelInfo)]| -> Vec<Value> {
        let models = models.iter();
        models
            .map(|(of, model)| show(dialect, *of, model))
            .collect()
    };
    if dialect != DialectName::Anthropic {
        let data = shown(&models);
        return Ok(json_response(
            StatusCode::OK,
            &json!({"object": "list", "data": data}),
        ));
    }
    // https://docs.claude.com/en/api/models-list: 20 by default, at most 1,000.
    let limit = query.limit.unwrap_or(20).min(1000);
    let place = |id: &String| models.iter().position(|(_, model)| model.id == *id);
    let (range, has_more) = match (&query.after_id, &query.before_id) {
        (None, Some(id)) => {
            let end = place(id).unwrap_or_default();
            let start = end.saturating_sub(limit);
            (start..end, start > 0)
        }
        (after, _) => {
            let start = match after {
                Some(id) => place(id).map_or(models.len(), |at| at + 1),
                None => 0,
            };
            let end = models.len().min(start + limit);
            (start..end, end < models.len())
        }
    };
    let data = shown(models.get(range).unwrap_or_default());
    let id = |model: Option<&Value>| model.map(|model| model["id"].clone());
    let page = json!({
        "first_id": id(data.first()),
        "last_id": id(data.last()),
        "has_more": has_more,
        "data": data,
    });
    Ok(json_response(StatusCode::OK, &page))
}

/// Answers with one model.
pub(crate) async fn model(
    State(state): State<Arc<GatewayState>>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Response {
    let dialect = dialect_of(&headers);
    let found = try_model(&state, dialect, id.trim_end_matches('/'), &headers).await;
    found.unwrap_or_else(|error| error.into_response(dialect))
}

async fn try_model(
    state: &GatewayState,
    dialect: DialectName,
    id: &str,
    headers: &HeaderMap,
) -> Result<Response, ApiError> {
    let caller = state.caller(headers)?;
    let (models, failed) = state.model_lists.all(&caller.router).await;
    if let Some((of, model)) = models.iter().find(|(_, model)| model.id == id) {
        return Ok(json_response(StatusCode::OK, &show(dialect, *of, model)));
    }
    if !failed.is_empty() {
        let failed = failed.join(", ");
        let message = format!("the models of {failed} cannot be listed at the moment");
        return Err(ApiError::new(StatusCode::BAD_GATEWAY, "models", message));
    }
    let shown: String = id.chars().take(256).collect();
    let message =
        format!("no provider of this gateway lists the model {shown:?}: see GET /v1/models");
    Err(ApiError::new(
        StatusCode::NOT_FOUND,
        "model_not_found",
        message,
    ))
}

/// Shows a model as the API of a dialect does. What its own provider says of it is kept if that has the same API.
fn show(dialect: DialectName, of: DialectName, model: &ModelInfo) -> Value {
    let is_anthropic = dialect == DialectName::Anthropic;
    let raw = match (of == DialectName::Anthropic) == is_anthropic {
        true => serde_json::from_str(model.raw.as_str()).unwrap_or_default(),
        false => Map::new(),
    };
    let mut shown = raw;
    shown.insert("id".into(), json!(model.id));
    let mut set = |name: &str, value: Value| {
        shown.entry(name).or_insert(value);
    };
    let created = model.created.unwrap_or_default();
    match is_anthropic {
        true => {
            let date = UNIX_EPOCH.checked_add(Duration::from_secs(created));
            // Later years than 9999 cannot be written.
            let date = date.filter(|date| *date < latest()).unwrap_or(UNIX_EPOCH);
            let date = humantime::format_rfc3339_seconds(date).to_string();
            let name = model.display_name.as_ref().unwrap_or(&model.id);
            set("type", json!("model"));
            set("display_name", json!(name));
            set("created_at", json!(date));
        }
        false => {
            set("object", json!("model"));
            set("created", json!(created));
            set(
                "owned_by",
                json!(model.owned_by.as_deref().unwrap_or("system")),
            );
        }
    }
    Value::Object(shown)
}

fn latest() -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(253_402_300_800)
}

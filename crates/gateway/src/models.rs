//! The models that callers can use, in the shape of either API.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use warmline::{DialectName, ModelInfo};

use crate::api_error::{ApiError, dialect_of, json_response};
use crate::state::GatewayState;

/// The fields of a query that limit a list, as Anthropic's API has them.
#[derive(Deserialize)]
pub(crate) struct PageQuery {
    limit: Option<usize>,
    after_id: Option<String>,
    before_id: Option<String>,
}

/// Answers with the models of all providers.
pub(crate) async fn models(
    State(state): State<Arc<GatewayState>>,
    query: Result<Query<PageQuery>, QueryRejection>,
    headers: HeaderMap,
) -> Response {
    let dialect = dialect_of(&headers, "/models");
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

/// What a path says of a model.
#[derive(Deserialize)]
pub(crate) struct ModelPath {
    id: String,
}

/// Answers with one model.
pub(crate) async fn model(
    State(state): State<Arc<GatewayState>>,
    path: Result<Path<ModelPath>, PathRejection>,
    headers: HeaderMap,
) -> Response {
    let dialect = dialect_of(&headers, "/models");
    let found = try_model(&state, dialect, path, &headers).await;
    found.unwrap_or_else(|error| error.into_response(dialect))
}

async fn try_model(
    state: &GatewayState,
    dialect: DialectName,
    path: Result<Path<ModelPath>, PathRejection>,
    headers: &HeaderMap,
) -> Result<Response, ApiError> {
    let caller = state.caller(headers)?;
    let Path(ModelPath { id }) = path.map_err(|rejection| {
        ApiError::new(StatusCode::BAD_REQUEST, "path", rejection.body_text())
    })?;
    let id = id.trim_end_matches('/');
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

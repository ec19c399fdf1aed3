//! Who may call, and for how much.

use std::path::Path;

use axum::http::{HeaderMap, StatusCode};
use serde::Deserialize;
use warmline::{Budget, Usd};

use super::answer::ApiError;

/// Nobody is asked who they are where there are no keys.
#[derive(Default)]
pub(super) struct ApiKeys(Option<Vec<Caller>>);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Caller {
    name: String,
    key: String,
    budget: Option<Usd>,
}

impl ApiKeys {
    pub(super) fn read(file: &Path) -> Result<Self, String> {
        let wrong = |why: String| format!("the keys in {}: {why}", file.display());
        let text = std::fs::read_to_string(file).map_err(|e| wrong(e.to_string()))?;
        // What serde says of the place could show a key.
        let callers: Vec<Caller> = serde_json::from_str(&text).map_err(|e| {
            let (line, column) = (e.line(), e.column());
            wrong(format!(
                r#"line {line}, column {column} is not as in [{{"name": "alice", "key": "…", "budget": "5"}}]"#
            ))
        })?;
        if callers.is_empty() {
            return Err(wrong("there is none, so nobody could call".to_owned()));
        }
        for (i, caller) in callers.iter().enumerate() {
            Budget::monthly(format!("key:{}", caller.name), Usd::ZERO)
                .map_err(|e| wrong(e.message().to_owned()))?;
            if caller.key.len() < 16 {
                let name = &caller.name;
                return Err(wrong(format!(
                    "that of {name} is shorter than 16 characters"
                )));
            }
            let before = &callers[..i];
            if before
                .iter()
                .any(|other| other.name == caller.name || other.key == caller.key)
            {
                return Err(wrong(format!("{} or its key is there twice", caller.name)));
            }
        }
        Ok(Self(Some(callers)))
    }

    /// The budget that a caller has besides the gateway's.
    pub(super) fn authenticate(&self, headers: &HeaderMap) -> Result<Option<Budget>, ApiError> {
        let Some(callers) = &self.0 else {
            return Ok(None);
        };
        let header = |name| headers.get(name).and_then(|value| value.to_str().ok());
        let bearer = header("authorization").and_then(|value| value.strip_prefix("Bearer "));
        let given = header("x-api-key").or(bearer).unwrap_or_default();
        let found = callers
            .iter()
            .find(|caller| constant_time_eq(&caller.key, given));
        let Some(caller) = found else {
            let message = "this gateway does not know the key: give one of its own, as x-api-key or bearer token";
            return Err(ApiError::new(
                StatusCode::UNAUTHORIZED,
                "authentication",
                message,
            ));
        };
        let Some(limit) = caller.budget else {
            return Ok(None);
        };
        Ok(Some(Budget::monthly(
            format!("key:{}", caller.name),
            limit,
        )?))
    }
}

/// In a time that does not tell how much of a key was right.
fn constant_time_eq(key: &str, given: &str) -> bool {
    let differ = key
        .bytes()
        .zip(given.bytes())
        .fold(0, |differ, (a, b)| differ | (a ^ b));
    key.len() == given.len() && differ == 0
}

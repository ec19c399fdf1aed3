//! The keys of callers, and their budgets.

use std::fmt;
use std::path::Path;

use axum::http::{HeaderMap, StatusCode};
use serde::Deserialize;
use warmline::{Budget, Usd};

use crate::api_error::ApiError;
use crate::error::ConfigError;

/// The minimum length of a key, in bytes.
const MIN_KEY_LENGTH: usize = 16;

/// The API keys that callers of a gateway may use. Each belongs to a named caller, who can have a monthly budget of its own within the
/// gateway's.
///
/// Callers send a key as `x-api-key` or as `authorization: Bearer …`. `Debug` shows the callers' names only.
///
/// ```
/// use warmline_gateway::ApiKeys;
///
/// let keys = ApiKeys::from_json(r#"[
///     {"name": "alice", "key": "alice-0123456789abcdef", "budget": "5"},
///     {"name": "bob", "key": "bob-0123456789abcdef"}
/// ]"#)?;
/// assert_eq!(format!("{keys:?}"), r#"["alice", "bob"]"#);
/// # Ok::<(), warmline_gateway::ConfigError>(())
/// ```
#[derive(Clone)]
pub struct ApiKeys(Vec<ApiKey>);

#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct ApiKey {
    name: String,
    key: String,
    budget: Option<Usd>,
}

impl fmt::Debug for ApiKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = self.0.iter().map(|key| &key.name);
        f.debug_list().entries(names).finish()
    }
}

impl ApiKeys {
    /// Reads the keys from a JSON file; see [`from_json`](Self::from_json).
    ///
    /// # Errors
    /// The file cannot be read, or its contents are invalid. The message names the file.
    ///
    /// ```no_run
    /// let keys = warmline_gateway::ApiKeys::from_file("keys.json")?;
    /// # Ok::<(), warmline_gateway::ConfigError>(())
    /// ```
    pub fn from_file(path: impl AsRef<Path>) -> Result<Self, ConfigError> {
        let path = path.as_ref();
        let read = std::fs::read_to_string(path).map_err(|e| ConfigError::new(e.to_string()));
        read.and_then(|text| Self::from_json(&text))
            .map_err(|e| ConfigError::new(format!("API keys in {}: {e}", path.display())))
    }

    /// Reads the keys from a JSON array of objects with `name`, `key` (at least 16 bytes) and, optionally, `budget`: the maximum that
    /// the caller may spend in a month, in dollars.
    ///
    /// # Errors
    /// The text is not such an array, it lists no key, a key is too short, a name cannot name a budget, or a name or key is repeated. The
    /// message never shows a key.
    ///
    /// ```
    /// use warmline_gateway::ApiKeys;
    ///
    /// let error = ApiKeys::from_json(r#"[{"name": "alice", "key": "secret"}]"#).unwrap_err();
    /// assert_eq!(error.to_string(), "the key of alice is shorter than 16 bytes");
    /// ```
    pub fn from_json(text: &str) -> Result<Self, ConfigError> {
        // serde's own message could show a key.
        let keys: Vec<ApiKey> = serde_json::from_str(text).map_err(|e| {
            let (line, column) = (e.line(), e.column());
            ConfigError::new(format!(
                r#"line {line}, column {column}: expected [{{"name": "alice", "key": "…", "budget": "5"}}]"#
            ))
        })?;
        if keys.is_empty() {
            return Err(ConfigError::new("there is no key, so nobody could call"));
        }
        for (i, ApiKey { name, key, .. }) in keys.iter().enumerate() {
            // The budget is made for each request, which must not fail there.
            Budget::monthly(budget_name(name), Usd::ZERO)
                .map_err(|e| ConfigError::new(e.message()))?;
            if key.len() < MIN_KEY_LENGTH {
                return Err(ConfigError::new(format!(
                    "the key of {name} is shorter than {MIN_KEY_LENGTH} bytes"
                )));
            }
            let repeated = |other: &ApiKey| other.name == *name || other.key == *key;
            if keys[..i].iter().any(repeated) {
                return Err(ConfigError::new(format!(
                    "the name or the key of {name} is there twice"
                )));
            }
        }
        Ok(Self(keys))
    }

    /// Finds the caller whose key a request has, and returns its own budget, if it has one.
    pub(crate) fn authenticate(&self, headers: &HeaderMap) -> Result<Option<Budget>, ApiError> {
        let header = |name| headers.get(name).and_then(|value| value.to_str().ok());
        let bearer = header("authorization").and_then(|value| value.strip_prefix("Bearer "));
        let given = header("x-api-key").or(bearer).unwrap_or_default();
        let found = self
            .0
            .iter()
            .find(|caller| constant_time_eq(&caller.key, given));
        let Some(caller) = found else {
            let message = "the API key is missing or unknown: send one of this gateway's keys as x-api-key or as a bearer token";
            return Err(ApiError::new(
                StatusCode::UNAUTHORIZED,
                "authentication",
                message,
            ));
        };
        let Some(limit) = caller.budget else {
            return Ok(None);
        };
        Ok(Some(Budget::monthly(budget_name(&caller.name), limit)?))
    }
}

fn budget_name(caller: &str) -> String {
    format!("key:{caller}")
}

/// Compares in a time that does not depend on how many bytes are equal.
fn constant_time_eq(key: &str, given: &str) -> bool {
    let differ = key
        .bytes()
        .zip(given.bytes())
        .fold(0, |differ, (a, b)| differ | (a ^ b));
    key.len() == given.len() && differ == 0
}

//! The keys of callers, as they are configured.

use std::collections::HashSet;
use std::fmt;
use std::io::Read;
use std::num::NonZeroU64;
use std::time::{Duration, SystemTime};

use serde::Deserialize;
use serde_path_to_error::{Path, Segment};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use warmline::{Budget, ByName, Usd, quote};

use crate::error::{ConfigError, shown_path};
use crate::rate_limits::RateLimits;

/// The minimum length of a key, in bytes.
const MIN_KEY_LENGTH: usize = 16;

/// The maximum size of a file of keys, in bytes.
const MAX_FILE: u64 = 16 << 20;

/// The API keys that callers of a gateway may use. Each belongs to a named caller, who can have a monthly budget of its own within the
/// gateway's.
///
/// Callers send a key as `x-api-key` or as `authorization: Bearer …`. Only the SHA-256 hashes of keys are kept, and `Debug` shows the
/// callers' names only.
///
/// ```
/// use warmline_gateway::ApiKeys;
///
/// let keys = ApiKeys::from_json(r#"[
///     {"name": "alice", "key": "alice-0123456789abcdef", "budget": "5", "expires": "2099-12-31"},
///     {"name": "ops", "sha256": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08", "operator": true}
/// ]"#)?;
/// assert_eq!(format!("{keys:?}"), r#"["alice", "ops"]"#);
/// # Ok::<(), warmline_gateway::ConfigError>(())
/// ```
#[derive(Clone)]
pub struct ApiKeys(pub(crate) Vec<ApiKey>);

#[derive(Clone)]
pub(crate) struct ApiKey {
    pub(crate) name: String,
    pub(crate) hash: KeyHash,
    pub(crate) budget: Option<Budget>,
    pub(crate) rate_limits: RateLimits,
    pub(crate) other_endpoints: bool,
    pub(crate) is_operator: bool,
    pub(crate) expires: Option<SystemTime>,
}

/// The SHA-256 hash of a key.
#[derive(Clone, Copy)]
pub(crate) struct KeyHash([u8; 32]);

impl KeyHash {
    pub(crate) fn of(key: &[u8]) -> Self {
        Self(Sha256::digest(key).into())
    }

    /// Compares in a time that does not depend on how many bytes are equal.
    pub(crate) fn is(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl ApiKey {
    pub(crate) fn is_expired(&self) -> bool {
        self.expires.is_some_and(|at| at <= SystemTime::now())
    }
}

/// An entry of the JSON form.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    name: String,
    key: Option<String>,
    sha256: Option<String>,
    budget: Option<Usd>,
    requests_per_minute: Option<NonZeroU64>,
    tokens_per_minute: Option<NonZeroU64>,
    other_endpoints: Option<bool>,
    #[serde(default)]
    operator: bool,
    expires: Option<String>,
}

impl fmt::Debug for ApiKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = self.0.iter().map(|key| &key.name);
        f.debug_list().entries(names).finish()
    }
}

impl ApiKeys {
    /// Reads the keys from a JSON file of at most 16 MiB; see [`from_json`](Self::from_json).
    ///
    /// # Errors
    /// The file cannot be read, or its contents are invalid. The message names the file.
    ///
    /// ```no_run
    /// let keys = warmline_gateway::ApiKeys::from_file("keys.json")?;
    /// # Ok::<(), warmline_gateway::ConfigError>(())
    /// ```
    pub fn from_file(path: impl AsRef<std::path::Path>) -> Result<Self, ConfigError> {
        let path = path.as_ref();
        read(path)
            .and_then(|text| Self::from_json(&text))
            .map_err(|e| ConfigError::new(format!("API keys in {}: {e}", shown_path(path))))
    }

    /// Reads the keys from a JSON array of objects with these fields:
    ///
    /// | field | meaning |
    /// | --- | --- |
    /// | `name` | the caller's name: 1 to 124 ASCII letters, digits and `-_.:@` |
    /// | `key` | the key: at least 16 visible ASCII characters |
    /// | `sha256` | instead of `key`: its SHA-256 hash, as 64 hexadecimal digits |
    /// | `budget` | optional: the maximum that the caller may spend in a month, in dollars, as a string |
    /// | `requests_per_minute` | optional: the maximum number of calls in any minute |
    /// | `tokens_per_minute` | optional: the maximum number of tokens in any minute, of input (with cached ones) and output; a call reserves its maximum, and gives the rest back when it ends |
    /// | `other_endpoints` | optional: whether the caller may use endpoints of a provider that the gateway only passes through, such as files; `true` by default. All callers share the provider's account there |
    /// | `operator` | optional: whether the key may read `/metrics` and everyone's statistics |
    /// | `expires` | optional: when the key expires, in UTC, as `2027-01-31` (at its start) or `2027-01-31T12:00:00Z` |
    ///
    /// # Errors
    /// The text is not such an array, a key can never match, a name cannot name a budget, or a name
    /// or key is repeated. The message begins with the place, such as `[0].key`, and never shows a key.
    ///
    /// ```
    /// use warmline_gateway::ApiKeys;
    ///
    /// let error = ApiKeys::from_json(r#"[{"name": "alice", "key": "secret"}]"#).unwrap_err();
    /// assert_eq!(error.to_string(), "[0].key: the key of alice is shorter than 16 bytes");
    /// ```
    pub fn from_json(text: &str) -> Result<Self, ConfigError> {
        let mut json = serde_json::Deserializer::from_str(text);
        let entries: Vec<ByName<Entry>> = serde_path_to_error::deserialize(&mut json)
            .map_err(|error| misread(Some(error.path()), error.inner()))?;
        json.end().map_err(|error| misread(None, &error))?;
        let mut keys: Vec<ApiKey> = Vec::with_capacity(entries.len());
        let (mut names, mut hashes) = (HashSet::new(), HashSet::new());
        for (index, ByName(entry)) in entries.into_iter().enumerate() {
            let key = entry.check();
            let key = key.map_err(|why| ConfigError::new(format!("[{index}]{why}")))?;
            if !names.insert(key.name.clone()) || !hashes.insert(key.hash.0) {
                let name = &key.name;
                return Err(ConfigError::new(format!(
                    "[{index}]: the name or the key of {name} is there twice"
                )));
            }
            keys.push(key);
        }
        Ok(Self(keys))
    }

    /// Returns the names of the callers whose keys have expired.
    ///
    /// ```
    /// use warmline_gateway::ApiKeys;
    ///
    /// let keys = ApiKeys::from_json(r#"[
    ///     {"name": "alice", "key": "alice-0123456789abcdef", "expires": "2020-01-01"},
    ///     {"name": "bob", "key": "bob-0123456789abcdef"}
    /// ]"#)?;
    /// assert_eq!(keys.expired().collect::<Vec<_>>(), ["alice"]);
    /// # Ok::<(), warmline_gateway::ConfigError>(())
    /// ```
    pub fn expired(&self) -> impl Iterator<Item = &str> {
        let expired = self.0.iter().filter(|key| key.is_expired());
        expired.map(|key| &*key.name)
    }

    /// Checks that somebody can call.
    ///
    /// # Errors
    /// There is no key, or all have expired.
    pub(crate) fn check_usable(&self) -> Result<(), ConfigError> {
        if self.0.is_empty() {
            return Err(ConfigError::new(
                "there is no API key, so nobody could call",
            ));
        }
        if self.0.iter().all(ApiKey::is_expired) {
            return Err(ConfigError::new(
                "every API key has expired, so nobody could call",
            ));
        }
        Ok(())
    }

    /// Returns whether one of the keys is an operator's.
    ///
    /// ```
    /// use warmline_gateway::ApiKeys;
    ///
    /// let keys = ApiKeys::from_json(r#"[{"name": "ops", "key": "ops-0123456789abcdef", "operator": true}]"#)?;
    /// assert!(keys.has_operator());
    /// # Ok::<(), warmline_gateway::ConfigError>(())
    /// ```
    pub fn has_operator(&self) -> bool {
        self.0.iter().any(|key| key.is_operator)
    }
}

fn read(path: &std::path::Path) -> Result<String, ConfigError> {
    let failed = |e: std::io::Error| ConfigError::new(e.to_string());
    let mut text = String::new();
    let file = std::fs::File::open(path).map_err(failed)?;
    let read = file.take(MAX_FILE + 1).read_to_string(&mut text);
    read.map_err(failed)?;
    match text.len() as u64 > MAX_FILE {
        true => Err(ConfigError::new(format!(
            "the file is larger than {MAX_FILE} bytes"
        ))),
        false => Ok(text),
    }
}

impl Entry {
    /// # Errors
    /// What is wrong, after its place in the entry.
    fn check(self) -> Result<ApiKey, String> {
        let Self {
            name,
            key,
            sha256,
            budget,
            requests_per_minute,
            tokens_per_minute,
            other_endpoints,
            operator,
            expires,
        } = self;
        // A name that cannot name a budget is refused even if it has none yet.
        let budget_of = |limit| Budget::monthly(format!("key:{name}"), limit);
        budget_of(Usd::ZERO).map_err(|e| format!(".name: {}", e.message()))?;
        let budget = budget.map(budget_of).transpose();
        let budget = budget.map_err(|e| format!(".budget: {}", e.message()))?;
        let limits =
            [requests_per_minute, tokens_per_minute].map(|limit| limit.map(NonZeroU64::get));
        let rate_limits = RateLimits::new(&name, limits[0], limits[1])
            .map_err(|e| format!(": the rate limits of {name}: {}", e.message()))?;
        let hash = match (key, sha256) {
            (Some(key), None) => {
                hash_of_key(&key).map_err(|why| format!(".key: the key of {name} {why}"))?
            }
            (None, Some(hash)) => hash_of_hex(&hash).ok_or_else(|| {
                format!(
                    ".sha256: the sha256 of {name} is not a hash: expected 64 hexadecimal digits, such as `printf %s KEY | sha256sum` prints"
                )
            })?,
            (None, None) | (Some(_), Some(_)) => {
                return Err(format!(": the entry of {name} must have either key or sha256"));
            }
        };
        let expires = expires.map(|text| {
            time(&text).ok_or_else(|| {
                format!(
                    ".expires: the expires of {name} is {}: expected a time in UTC such as 2027-01-31 or 2027-01-31T12:00:00Z",
                    quote(&text)
                )
            })
        });
        Ok(ApiKey {
            hash,
            budget,
            rate_limits,
            other_endpoints: other_endpoints.unwrap_or(true),
            is_operator: operator,
            expires: expires.transpose()?,
            name,
        })
    }
}

/// Hashes a key, or says why no request can have it.
fn hash_of_key(key: &str) -> Result<KeyHash, String> {
    if key.len() < MIN_KEY_LENGTH {
        return Err(format!("is shorter than {MIN_KEY_LENGTH} bytes"));
    }
    match key.chars().position(|c| !c.is_ascii_graphic()) {
        // In a header, it would end there or be refused.
        Some(at) => Err(format!(
            "has a space, a control character or one that is not ASCII at position {}, so no header can have it",
            at + 1
        )),
        None => Ok(KeyHash::of(key.as_bytes())),
    }
}

fn hash_of_hex(digits: &str) -> Option<KeyHash> {
    let mut hash = [0; 32];
    hex::decode_to_slice(digits, &mut hash).ok()?;
    Some(KeyHash(hash))
}

fn time(text: &str) -> Option<SystemTime> {
    let whole = match text.len() {
        10 => format!("{text}T00:00:00Z"),
        _ => text.to_owned(),
    };
    let time = humantime::parse_rfc3339(&whole).ok()?;
    // Before 1970 or after a million years, it is a mistake.
    time.duration_since(SystemTime::UNIX_EPOCH)
        .is_ok_and(|since| since < Duration::from_secs(1 << 45))
        .then_some(time)
}

/// Says where JSON is wrong, and what is expected there. serde's own message could show a key.
fn misread(path: Option<&Path>, error: &serde_json::Error) -> ConfigError {
    let mut segments = path.into_iter().flatten();
    let entry = segments.find_map(|segment| match segment {
        Segment::Seq { index } => Some(format!("[{index}]")),
        _ => None,
    });
    let mut field = segments.find_map(|segment| match segment {
        Segment::Map { key } => Some(key.as_str()),
        _ => None,
    });
    let expected = match field {
        Some("name") => "a string",
        Some("key") => "a string of at least 16 characters",
        Some("sha256") => "a string of 64 hexadecimal digits",
        Some("budget") => "dollars a month as a string, such as \"5\" or \"0.50\"",
        Some("requests_per_minute" | "tokens_per_minute") => "a whole number, at least 1",
        Some("other_endpoints" | "operator") => "true or false",
        Some("expires") => "a string such as \"2027-01-31\"",
        // The name of an unknown field can be a key.
        _ => {
            field = None;
            r#"[{"name": "alice", "key": "…", "budget": "5"}], with sha256 in place of key, and requests_per_minute, tokens_per_minute, other_endpoints, operator and expires if needed"#
        }
    };
    let place = match (entry, field) {
        (Some(entry), Some(field)) => format!("{entry}.{field}: "),
        (Some(entry), None) => format!("{entry}: "),
        (None, _) => String::new(),
    };
    let (line, column) = (error.line(), error.column());
    ConfigError::new(format!(
        "{place}expected {expected}, at line {line} column {column}"
    ))
}

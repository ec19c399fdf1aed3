//! The file of `--config`: its form, and what is wrong with one.

use std::collections::BTreeMap;
use std::fmt;
use std::io::Read;
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;
use serde::de::{self, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::Number;
use serde_json::value::RawValue;
use serde_path_to_error::Segment;
use warmline::{
    Balancing, ByName, Cooldown, Hedging, Provider, RoutingRules, may_be_secret, quote,
};
use warmline_gateway::{ApiKeys, shown_path};

/// The maximum size of the file, in bytes.
const MAX_FILE: u64 = 16 << 20;

/// The maximum size of a file with a credential, in bytes.
const MAX_SECRET: u64 = 64 << 10;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    #[serde(deserialize_with = "objects")]
    pub(crate) targets: Vec<TargetConfig>,
    #[serde(default, deserialize_with = "object")]
    pub(crate) routing: Routing,
    /// The JSON of the keys of callers, or of the path of a file with them. Blanks before it stand for the rest of the file, so that errors
    /// have the right line and column.
    #[serde(default, deserialize_with = "read_later")]
    keys: Option<String>,
    /// The budget of all calls, as for `--budget`.
    pub(crate) budget: Option<String>,
    #[serde(default, deserialize_with = "object")]
    pub(crate) listen: Listen,
}

#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub(crate) struct TargetConfig {
    pub(crate) name: Option<String>,
    pub(crate) provider: Provider,
    pub(crate) base_url: Option<String>,
    pub(crate) api_key: Option<Secret>,
    pub(crate) bearer_token: Option<Secret>,
    pub(crate) resource: Option<String>,
    pub(crate) region: Option<String>,
    pub(crate) project: Option<String>,
    pub(crate) deployment: Option<String>,
    pub(crate) api_version: Option<String>,
    /// The model of requests that name none.
    pub(crate) model: Option<String>,
    #[serde(default)]
    pub(crate) models: BTreeMap<String, String>,
    pub(crate) weight: Option<NonZeroU32>,
    pub(crate) priority: Option<u32>,
    pub(crate) max_connections: Option<u16>,
    pub(crate) max_keepalive_connections: Option<u16>,
    pub(crate) keepalive_expiry: Option<Seconds>,
    pub(crate) timeout: Option<Seconds>,
    pub(crate) reply_timeout: Option<Seconds>,
    pub(crate) pool_timeout: Option<Seconds>,
    pub(crate) deadline: Option<Seconds>,
}

#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Routing {
    pub(crate) balancing: Balancing,
    pub(crate) max_retries: Option<u32>,
    #[serde(deserialize_with = "object")]
    pub(crate) cooldown: Cooldown,
    #[serde(deserialize_with = "some")]
    pub(crate) pacing: Option<bool>,
    #[serde(deserialize_with = "object_or_none")]
    pub(crate) hedging: Option<Hedging>,
    #[serde(deserialize_with = "object")]
    pub(crate) rules: RoutingRules,
}

/// Where the gateway listens, and its limits. The names are those of the options.
#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Listen {
    pub(crate) host: Option<IpAddr>,
    pub(crate) port: Option<u16>,
    pub(crate) allow_origin: Vec<String>,
    pub(crate) allow_host: Vec<String>,
    max_body: Option<Number>,
    max_body_total: Option<Number>,
    max_reply: Option<Number>,
    body_timeout: Option<Number>,
    header_timeout: Option<Number>,
    write_timeout: Option<Number>,
    max_caller_connections: Option<Number>,
    shutdown_timeout: Option<Number>,
}

impl Listen {
    /// Returns the limit of an option's name.
    pub(crate) fn limit(&self, option: &str) -> Option<String> {
        let limit = match option {
            "max-body" => &self.max_body,
            "max-body-total" => &self.max_body_total,
            "max-reply" => &self.max_reply,
            "body-timeout" => &self.body_timeout,
            "header-timeout" => &self.header_timeout,
            "write-timeout" => &self.write_timeout,
            "max-caller-connections" => &self.max_caller_connections,
            "shutdown-timeout" => &self.shutdown_timeout,
            _ => &None,
        };
        limit.as_ref().map(Number::to_string)
    }
}

/// Where a credential is: `{"env": "NAME"}` or `{"file": "PATH"}`.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Secret {
    Env(String),
    File(PathBuf),
}

impl Secret {
    /// Reads the credential. Paths are relative to `folder`.
    ///
    /// # Errors
    /// It cannot be read. The message names the field. It shows no name or path that may be the credential itself.
    pub(crate) fn read(
        &self,
        folder: &Path,
        variable: impl Fn(&str) -> Option<String>,
    ) -> Result<String, String> {
        match self {
            Self::Env(name) => variable(name).ok_or_else(|| match is_variable_name(name) {
                true => format!("env: the variable {name} is not set"),
                false => "env: no variable of this name is set. The name is not shown, because it may be a credential: expected the name of a \
                          variable that contains it, such as OPENAI_API_KEY"
                    .to_owned(),
            }),
            Self::File(path) => {
                let shown = match path.to_str().is_some_and(may_be_secret) {
                    true => "file".to_owned(),
                    false => format!("file: {}", shown_path(&folder.join(path))),
                };
                let text = read(&folder.join(path), MAX_SECRET);
                let text = text.map_err(|why| format!("{shown}: {why}"))?;
                match text.trim() {
                    "" => Err(format!("{shown}: the file is empty")),
                    secret => Ok(secret.to_owned()),
                }
            }
        }
    }
}

/// Whether a text has the form of the variables that contain credentials: words in capital letters, with underscores.
fn is_variable_name(name: &str) -> bool {
    let fits = |c: u8| c.is_ascii_uppercase() || c.is_ascii_digit() || c == b'_';
    name.len() <= 64
        && !may_be_secret(name)
        && name.bytes().all(fits)
        && name.split('_').all(|word| word.len() <= 16)
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Form;

        const EXPECTED: &str = r#"{"env": "NAME"} or {"file": "PATH"}: a credential itself is not written into this file"#;

        impl<'de> Visitor<'de> for Form {
            type Value = Secret;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(EXPECTED)
            }

            // The message must not show the credential.
            fn visit_str<E: de::Error>(self, _: &str) -> Result<Secret, E> {
                Err(E::custom(format_args!("expected {EXPECTED}")))
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Secret, A::Error> {
                let wrong = || de::Error::custom(format_args!("expected {EXPECTED}"));
                let key: String = map.next_key()?.ok_or_else(wrong)?;
                let secret = match key.as_str() {
                    "env" => Secret::Env(map.next_value()?),
                    "file" => Secret::File(map.next_value()?),
                    _ => return Err(wrong()),
                };
                match map.next_key::<String>()? {
                    None => Ok(secret),
                    Some(_) => Err(wrong()),
                }
            }
        }

        deserializer.deserialize_any(Form)
    }
}

/// A time in seconds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Seconds(pub(crate) Duration);

impl<'de> Deserialize<'de> for Seconds {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let seconds = f64::deserialize(deserializer)?;
        match (0.001..=86_400.0).contains(&seconds) {
            true => Ok(Self(Duration::from_secs_f64(seconds))),
            false => Err(de::Error::custom(format!(
                "invalid value: {seconds}, expected a number of seconds from 0.001 to 86400"
            ))),
        }
    }
}

/// Refuses null, which could be meant as "off".
fn some<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<bool>, D::Error> {
    bool::deserialize(deserializer).map(Some)
}

/// Reads a struct from an object only. Derived code accepts a list of the fields, too.
fn object<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<T, D::Error> {
    ByName::deserialize(deserializer).map(|ByName(object)| object)
}

fn object_or_none<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    deserializer: D,
) -> Result<Option<T>, D::Error> {
    let object: Option<ByName<T>> = Option::deserialize(deserializer)?;
    Ok(object.map(|ByName(object)| object))
}

fn objects<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    deserializer: D,
) -> Result<Vec<T>, D::Error> {
    let objects: Vec<ByName<T>> = Vec::deserialize(deserializer)?;
    Ok(objects.into_iter().map(|ByName(object)| object).collect())
}

/// Accepts any value.
fn read_later<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    IgnoredAny::deserialize(deserializer).map(|_| None)
}

/// The keys of callers in the file of `--config`.
pub(crate) enum Keys {
    None,
    /// In the file itself.
    Inline(ApiKeys),
    /// In another file.
    File(PathBuf),
}

impl Config {
    /// Reads the file.
    ///
    /// # Errors
    /// It cannot be read, or is invalid. The message names the file, the place, and what is accepted there.
    pub(crate) fn read(file: &Path) -> Result<Self, String> {
        let text = read(file, MAX_FILE).map_err(|why| format!("{}: {why}", shown_path(file)))?;
        Self::parse(&text).map_err(|why| format!("{}: {why}", file.display()))
    }

    fn parse(text: &str) -> Result<Self, String> {
        let mut json = serde_json::Deserializer::from_str(text);
        let read: Result<ByName<Self>, _> = serde_path_to_error::deserialize(&mut json);
        let ByName(mut config) = read.map_err(|error| {
            let why = explained(&error.inner().to_string());
            match shown_place(error.path()) {
                place if place.is_empty() => why,
                place => format!("{place}: {why}"),
            }
        })?;
        json.end().map_err(|error| error.to_string())?;
        if config.targets.is_empty() {
            return Err("targets: there is none: add at least one".to_owned());
        }
        config.keys = keys_of(text);
        Ok(config)
    }

    /// Returns the keys of callers. Paths are relative to the folder of the file.
    pub(crate) fn keys(&self, file: &Path) -> Result<Keys, String> {
        let Some(keys) = &self.keys else {
            return Ok(Keys::None);
        };
        if let Ok(path) = serde_json::from_str::<PathBuf>(keys) {
            return Ok(Keys::File(folder(file).join(path)));
        }
        let keys = ApiKeys::from_json(keys).map_err(|error| {
            let error = error.to_string();
            // It begins with the place, such as `[0].key`, if it is about one of the keys.
            let separator = if error.starts_with('[') { "" } else { ": " };
            format!("{}: keys{separator}{error}", file.display())
        })?;
        Ok(Keys::Inline(keys))
    }
}

/// The folder of a file.
pub(crate) fn folder(file: &Path) -> &Path {
    file.parent().unwrap_or(Path::new(""))
}

fn read(path: &Path, max: u64) -> Result<String, String> {
    // Opening a pipe waits until somebody writes to it.
    let metadata = std::fs::metadata(path).map_err(|error| error.to_string())?;
    if !metadata.is_file() {
        return Err("it is not a regular file".to_owned());
    }
    let mut text = String::new();
    let file = std::fs::File::open(path).map_err(|error| error.to_string())?;
    let read = file.take(max + 1).read_to_string(&mut text);
    read.map_err(|error| error.to_string())?;
    match text.len() as u64 > max {
        true => Err(format!("it is larger than {max} bytes")),
        false => Ok(text),
    }
}

/// Returns the JSON of `keys` in a configuration, after blanks in place of what is before it.
fn keys_of(text: &str) -> Option<String> {
    #[derive(Deserialize)]
    struct KeysOf<'a> {
        #[serde(borrow)]
        keys: Option<&'a RawValue>,
    }
    let ByName(KeysOf { keys }) = serde_json::from_str(text).ok()?;
    let keys = keys?.get();
    let start = keys.as_ptr() as usize - text.as_ptr() as usize;
    let before = text.as_bytes().get(..start)?;
    let mut placed: String = before
        .iter()
        .map(|byte| if *byte == b'\n' { '\n' } else { ' ' })
        .collect();
    placed.push_str(keys);
    Some(placed)
}

/// Shows a place, such as `targets[0].weight`, without fields that may be keys.
fn shown_place(path: &serde_path_to_error::Path) -> String {
    let mut place = String::new();
    for segment in path {
        match segment {
            Segment::Seq { index } => place += &format!("[{index}]"),
            Segment::Map { key } | Segment::Enum { variant: key } => {
                if !place.is_empty() {
                    place.push('.');
                }
                place += match may_be_secret(key) || key.len() > 64 {
                    true => "…",
                    false => key,
                };
            }
            // The end of a text that is cut.
            Segment::Unknown => {}
        }
    }
    place
}

/// Shows an error of serde's without values that may be secret, and with the name that an unknown field or value was probably meant to be.
fn explained(message: &str) -> String {
    for unknown in ["unknown field", "unknown variant"] {
        let rest = message.strip_prefix(unknown);
        // The unknown name can have backquotes, too.
        let named = rest
            .and_then(|rest| rest.strip_prefix(" `"))
            .and_then(|rest| rest.rsplit_once("`, expected "));
        let Some((name, expected)) = named else {
            continue;
        };
        let known = expected.split('`').skip(1).step_by(2);
        let nearest = known
            .map(|known| (strsim::jaro_winkler(name, known), known))
            .filter(|(similarity, _)| *similarity > 0.75)
            .max_by(|(a, _), (b, _)| a.total_cmp(b));
        let plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        let name = match !may_be_secret(name) && name.len() <= 64 && name.chars().all(plain) {
            true => format!("`{name}`"),
            false => quote(name),
        };
        return match nearest {
            Some((_, nearest)) => {
                format!("{unknown} {name}: did you mean `{nearest}`? (expected {expected})")
            }
            None => format!("{unknown} {name}, expected {expected}"),
        };
    }
    for wrong in ["invalid type: string", "invalid value: string"] {
        let value = message.strip_prefix(wrong);
        if let Some((_, expected)) = value.and_then(|value| value.rsplit_once("\", expected ")) {
            return format!("{wrong}, expected {expected}");
        }
    }
    message.to_owned()
}

#[cfg(test)]
mod tests;

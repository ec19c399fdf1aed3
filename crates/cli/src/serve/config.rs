//! The file of `--config`: its form, and what is wrong with one.

use std::collections::BTreeMap;
use std::fmt;
use std::io::Read;
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;
use serde::de::{self, Deserializer, MapAccess, Visitor};
use serde_json::Number;
use serde_json::value::RawValue;
use warmline::{Balancing, Cooldown, Hedging, Provider, RoutingRules};
use warmline_gateway::ApiKeys;

/// The maximum size of the file, in bytes.
const MAX_FILE: u64 = 16 << 20;

/// The maximum size of a file with a credential, in bytes.
const MAX_SECRET: u64 = 64 << 10;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    pub(crate) targets: Vec<TargetConfig>,
    #[serde(default)]
    pub(crate) routing: Routing,
    /// The keys of callers, or the path of a file with them.
    keys: Option<Box<RawValue>>,
    /// The budget of all calls, as for `--budget`.
    pub(crate) budget: Option<String>,
    #[serde(default)]
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
    pub(crate) cooldown: Cooldown,
    #[serde(deserialize_with = "some")]
    pub(crate) pacing: Option<bool>,
    pub(crate) hedging: Option<Hedging>,
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
    pub(crate) fn read(
        &self,
        folder: &Path,
        variable: impl Fn(&str) -> Option<String>,
    ) -> Result<String, String> {
        match self {
            Self::Env(name) => {
                variable(name).ok_or_else(|| format!("the variable {name} is not set"))
            }
            Self::File(path) => {
                let path = folder.join(path);
                let text = read(&path, MAX_SECRET)
                    .map_err(|why| format!("the file {}: {why}", path.display()))?;
                match text.trim() {
                    "" => Err(format!("the file {} is empty", path.display())),
                    secret => Ok(secret.to_owned()),
                }
            }
        }
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Form;

        const EXPECTED: &str = r#"expected {"env": "NAME"} or {"file": "PATH"}: a credential itself is not written into this file"#;

        impl<'de> Visitor<'de> for Form {
            type Value = Secret;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(EXPECTED)
            }

            // The message must not show the credential.
            fn visit_str<E: de::Error>(self, _: &str) -> Result<Secret, E> {
                Err(E::custom(EXPECTED))
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Secret, A::Error> {
                let wrong = || de::Error::custom(EXPECTED);
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
        let text = read(file, MAX_FILE).map_err(|why| format!("{}: {why}", file.display()))?;
        Self::parse(&text).map_err(|why| format!("{}: {why}", file.display()))
    }

    fn parse(text: &str) -> Result<Self, String> {
        let mut json = serde_json::Deserializer::from_str(text);
        let config: Self = serde_path_to_error::deserialize(&mut json).map_err(|error| {
            let place = error.path().to_string();
            // The end of a path that is not known, as in a text that is cut.
            let place = place.trim_end_matches(['?', '.']);
            let why = explained(&error.inner().to_string());
            match place {
                "" => why,
                place => format!("{place}: {why}"),
            }
        })?;
        json.end().map_err(|error| error.to_string())?;
        if config.targets.is_empty() {
            return Err("targets: there is none: add at least one".to_owned());
        }
        Ok(config)
    }

    /// Returns the keys of callers. Paths are relative to the folder of the file.
    pub(crate) fn keys(&self, file: &Path) -> Result<Keys, String> {
        let Some(keys) = &self.keys else {
            return Ok(Keys::None);
        };
        if let Ok(path) = serde_json::from_str::<PathBuf>(keys.get()) {
            return Ok(Keys::File(folder(file).join(path)));
        }
        let keys = ApiKeys::from_json(keys.get());
        let keys = keys.map_err(|error| format!("{}: keys: {error}", file.display()))?;
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

/// Adds the name that an unknown field or value was probably meant to be.
fn explained(message: &str) -> String {
    let mut quoted = message.split('`').skip(1).step_by(2);
    let is_unknown = ["unknown field", "unknown variant"]
        .iter()
        .any(|start| message.starts_with(start));
    let Some(unknown) = quoted.next().filter(|_| is_unknown) else {
        return message.to_owned();
    };
    let nearest = quoted
        .map(|known| (strsim::jaro_winkler(unknown, known), known))
        .filter(|(similarity, _)| *similarity > 0.75)
        .max_by(|(a, _), (b, _)| a.total_cmp(b));
    match (nearest, message.split_once(", ")) {
        (Some((_, nearest)), Some((what, rest))) => {
            format!("{what}: did you mean `{nearest}`? ({rest})")
        }
        _ => message.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_is_named_with_its_place_and_what_is_accepted() {
        for (text, says) in [
            ("{", "EOF while parsing an object at line 1 column 1"),
            ("{}", "missing field `targets` at line 1 column 2"),
            (
                r#"{"targets": []}"#,
                "targets: there is none: add at least one",
            ),
            (
                r#"{"targets": [{"provider": "openai", "wieght": 2}]}"#,
                "targets[0].wieght: unknown field `wieght`: did you mean `weight`? (expected one of `name`, `provider`",
            ),
            (
                r#"{"targets": [{"provider": "opnai"}]}"#,
                "targets[0].provider: unknown variant `opnai`: did you mean `openai`? (expected one of `anthropic`, ",
            ),
            (
                r#"{"targets": [{"provider": "openai"}, {"provider": "groq", "weight": 0}]}"#,
                "targets[1].weight: invalid value: integer `0`, expected a nonzero u32 at line 1 column 69",
            ),
            (
                r#"{"targets": [{"provider": "openai", "timeout": 0}]}"#,
                "targets[0].timeout: invalid value: 0, expected a number of seconds from 0.001 to 86400",
            ),
            (
                r#"{"targets": [{"provider": "openai", "api_key": {"evn": "KEY"}}]}"#,
                r#"targets[0].api_key: expected {"env": "NAME"} or {"file": "PATH"}"#,
            ),
            (
                r#"{"targets": [{"provider": "openai", "models": {"fast": 1}}]}"#,
                "targets[0].models.fast: invalid type: integer `1`, expected a string",
            ),
            (
                r#"{"targets": [{"provider": "openai"}], "routing": {"balancing": "random"}}"#,
                "routing.balancing: unknown variant `random`, expected one of `sticky`, `least_busy`, `weighted`",
            ),
            (
                r#"{"targets": [{"provider": "openai"}], "listen": {"max_bdy": 5}}"#,
                "listen.max_bdy: unknown field `max_bdy`: did you mean `max_body`?",
            ),
            (
                r#"{"targets": [{"provider": "openai"}]} x"#,
                "trailing characters at line 1 column 39",
            ),
        ] {
            let error = Config::parse(text).err().unwrap();
            assert!(error.starts_with(says), "{text}\n{error}");
        }
        let inline = r#"{"targets": [{"provider": "openai", "api_key": "sk-secret-42"}]}"#;
        let error = Config::parse(inline).err().unwrap();
        assert!(
            error.starts_with("targets[0].api_key: expected ") && !error.contains("sk-secret"),
            "{error}"
        );
    }

    #[test]
    fn the_documented_file_is_valid() {
        let docs = include_str!("../../../../docs/gateway.md");
        let (_, rest) = docs.split_once("```json\n").unwrap();
        let (example, _) = rest.split_once("```").unwrap();
        let config = Config::parse(example).unwrap();
        assert!(matches!(
            config.keys(Path::new("gateway.json")),
            Ok(Keys::Inline(_))
        ));
        let fields = [
            "provider",
            "name",
            "weight",
            "pool_timeout",
            "balancing",
            "hedging",
            "max_body",
            "allow_host",
        ];
        for field in fields {
            assert!(docs.contains(&format!("`{field}`")), "{field}");
        }
    }
}

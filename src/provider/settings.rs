//! The settings that a provider's address depends on, checked so that none leads to another host.

use crate::quote::quote;
use crate::url::{split_port, split_scheme};
use crate::{Error, Provider, Result};

/// A setting that an address can depend on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Setting {
    Resource,
    Region,
    Project,
    Deployment,
    ApiVersion,
}

impl Setting {
    const ALL: [Self; 5] = [
        Self::Resource,
        Self::Region,
        Self::Project,
        Self::Deployment,
        Self::ApiVersion,
    ];

    pub(crate) fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|setting| setting.name() == name)
    }

    fn name(self) -> &'static str {
        match self {
            Self::Resource => "resource",
            Self::Region => "region",
            Self::Project => "project",
            Self::Deployment => "deployment",
            Self::ApiVersion => "api_version",
        }
    }
}

/// The settings of a client that its address depends on.
#[derive(Clone, Debug, Default)]
pub(crate) struct Settings([Option<String>; Setting::ALL.len()]);

impl Settings {
    pub(crate) fn set(&mut self, setting: Setting, value: impl Into<String>) {
        self.0[setting as usize] = Some(value.into().trim().to_owned());
    }

    pub(super) fn get(&self, setting: Setting) -> Option<&str> {
        self.0[setting as usize].as_deref()
    }

    /// # Errors
    /// `Config` for a setting that the provider does not have, or whose value could lead elsewhere.
    pub(super) fn check(&self, provider: Provider) -> Result<()> {
        let known = provider.row().setting_variables;
        for setting in Setting::ALL {
            let Some(value) = self.get(setting) else {
                continue;
            };
            let name = setting.name();
            if !known.iter().any(|(known, _)| *known == setting) {
                let message = ["the provider ", provider.name(), " has no ", name];
                return Err(Error::config(message.concat()));
            }
            let (is_good, accepted) = match setting {
                // These become part of a host, which a dot, a slash or an "@" would change.
                Setting::Resource | Setting::Region => (
                    is_label(value),
                    "up to 63 letters, digits and hyphens, with no hyphen at either end",
                ),
                // Of Google's older projects some have a domain: `example.com:project`.
                Setting::Project => (
                    is_segment(value, b"-.:"),
                    "letters, digits, hyphens, dots and colons",
                ),
                Setting::Deployment => (
                    is_segment(value, b"-._"),
                    "letters, digits, hyphens, dots and underscores",
                ),
                Setting::ApiVersion => (
                    is_segment(value, b"-"),
                    "a date such as 2024-10-21, or preview",
                ),
            };
            if !is_good {
                let message = ["the ", name, " ", &quote(value), " must be ", accepted];
                return Err(Error::config(message.concat()));
            }
        }
        Ok(())
    }
}

/// Whether it is one label of a host name (RFC 1123, section 2.1).
fn is_label(text: &str) -> bool {
    is_segment(text, b"-") && !text.starts_with('-') && !text.ends_with('-')
}

/// Whether it is a short text of letters, digits and a few signs, which is more than dots.
pub(super) fn is_segment(text: &str, signs: &[u8]) -> bool {
    let fits = |b: u8| b.is_ascii_alphanumeric() || signs.contains(&b);
    (1..=63).contains(&text.len())
        && text.bytes().all(fits)
        && text.bytes().any(|b| b.is_ascii_alphanumeric())
}

/// Fills the settings into a base URL.
pub(super) fn fill(provider: Provider, template: &str, settings: &Settings) -> Result<String> {
    let mut url = String::new();
    let mut rest = template;
    while let Some((before, after)) = rest.split_once('{') {
        let (name, after) = after.split_once('}').unwrap_or_default();
        url.push_str(before);
        let value = |setting| {
            settings
                .get(setting)
                .ok_or_else(|| needed(provider, setting))
        };
        match name {
            "aws" => url.push_str(match value(Setting::Region)? {
                region if region.starts_with("cn-") => "amazonaws.com.cn",
                region if region.starts_with("eusc-") => "amazonaws.eu",
                _ => "amazonaws.com",
            }),
            "google" => match value(Setting::Region)? {
                "global" => url.push_str("aiplatform.googleapis.com"),
                multi @ ("us" | "eu") => {
                    url.push_str(&["aiplatform.", multi, ".rep.googleapis.com"].concat());
                }
                region => url.push_str(&[region, "-aiplatform.googleapis.com"].concat()),
            },
            _ => match Setting::named(name) {
                Some(setting) => url.push_str(value(setting)?),
                // Refused as a placeholder that is not filled in.
                None => url.push('{'),
            },
        }
        rest = after;
    }
    url.push_str(rest);
    Ok(url)
}

fn needed(provider: Provider, setting: Setting) -> Error {
    let row = provider.row();
    let mut message = ["the provider ", row.id, " needs a ", setting.name()].concat();
    let mut before = " (";
    for (of, variable) in row.setting_variables {
        if *of == setting {
            message.push_str(before);
            message.push_str(variable);
            before = " or ";
        }
    }
    message.push_str(&[") or a base URL (", row.base_url_variable, ")"].concat());
    Error::config(message)
}

/// The base URL of an Ollama server from `OLLAMA_HOST`: a host, with a scheme and a port or without
/// (<https://github.com/ollama/ollama/blob/main/docs/faq.mdx>). A server that listens on every address is asked on this machine.
pub(crate) fn ollama_url(host: &str) -> String {
    let host = host.trim().trim_end_matches('/');
    if host.is_empty() || host.contains(['?', '#', '@']) {
        return host.to_owned();
    }
    let (scheme, rest) = split_scheme(host).unwrap_or(("http", host));
    let slash = rest.find('/').unwrap_or(rest.len());
    let (authority, path) = rest.split_at_checked(slash).unwrap_or((rest, ""));
    let (name, port) = split_port(authority);
    let name = match name {
        "0.0.0.0" | "" => "127.0.0.1",
        "[::]" => "[::1]",
        name => name,
    };
    // With a scheme, the port is that of the scheme.
    let port = port.or(split_scheme(host).is_none().then_some("11434"));
    let (colon, port) = port.map_or(("", ""), |port| (":", port));
    let path = if path.is_empty() { "/v1" } else { path };
    [scheme, "://", name, colon, port, path].concat()
}

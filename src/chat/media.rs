use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize};

use super::form::{self, missing, take, unknown};

/// The lifetime of a cached prompt prefix, which is the `ttl` of Anthropic's `cache_control`
/// (<https://docs.claude.com/en/docs/build-with-claude/prompt-caching>).
///
/// ```
/// use std::time::Duration;
/// assert_eq!(warmline::CacheTtl::FiveMinutes.duration(), Duration::from_secs(300));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum CacheTtl {
    /// Five minutes, the provider's default.
    #[serde(rename = "5m")]
    FiveMinutes,
    /// One hour. Cache writes cost more than for five minutes.
    #[serde(rename = "1h")]
    OneHour,
}

impl CacheTtl {
    /// Returns the lifetime as Anthropic names it, `5m` or `1h`.
    ///
    /// ```
    /// assert_eq!(warmline::CacheTtl::OneHour.name(), "1h");
    /// ```
    pub fn name(self) -> &'static str {
        match self {
            Self::FiveMinutes => "5m",
            Self::OneHour => "1h",
        }
    }

    /// Returns the lifetime as a duration.
    ///
    /// ```
    /// assert_eq!(warmline::CacheTtl::OneHour.duration().as_secs(), 3600);
    /// ```
    pub fn duration(self) -> Duration {
        match self {
            Self::FiveMinutes => Duration::from_secs(300),
            Self::OneHour => Duration::from_secs(3600),
        }
    }
}

/// The source of an image or a document.
///
/// ```
/// use warmline::MediaSource;
///
/// let png = MediaSource::base64("image/png", "iVBORw0KGgo=");
/// assert!(matches!(png, MediaSource::Base64 { .. }));
/// ```
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
#[non_exhaustive]
pub enum MediaSource {
    /// Base64-encoded bytes (RFC 4648, section 4, with padding).
    Base64 {
        /// The media type, such as `image/png` or `application/pdf`.
        media_type: String,
        /// The encoded bytes.
        data: String,
    },
    /// A URL that the provider fetches.
    Url {
        /// The URL.
        url: String,
    },
    /// Plain text, for documents.
    Text {
        /// The text.
        text: String,
    },
}

impl MediaSource {
    /// Creates a source from base64-encoded bytes.
    ///
    /// ```
    /// let png = warmline::MediaSource::base64("image/png", "iVBORw0KGgo=");
    /// ```
    pub fn base64(media_type: impl Into<String>, data: impl Into<String>) -> Self {
        Self::Base64 {
            media_type: media_type.into(),
            data: data.into(),
        }
    }

    /// Creates a source from a URL that the provider fetches.
    ///
    /// ```
    /// let cat = warmline::MediaSource::url("https://example.com/cat.png");
    /// ```
    pub fn url(url: impl Into<String>) -> Self {
        Self::Url { url: url.into() }
    }
}

/// A source of any type.
#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct AnySource {
    r#type: Option<String>,
    media_type: Option<String>,
    data: Option<String>,
    url: Option<String>,
    text: Option<String>,
}

impl<'de> Deserialize<'de> for MediaSource {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        form::converted::<AnySource, _, _>(deserializer)
    }
}

impl TryFrom<AnySource> for MediaSource {
    type Error = String;

    fn try_from(any: AnySource) -> Result<Self, String> {
        let kind = any.r#type.as_deref().ok_or_else(|| missing("type"))?;
        let known: &[&str] = match kind {
            "base64" => &["media_type", "data"],
            "url" => &["url"],
            "text" => &["text"],
            other => return Err(unknown(other, "base64, url, text")),
        };
        take!(any, kind, [media_type data url text], "source")(known)?;
        let need = |name: &str, value: Option<String>| value.ok_or_else(|| missing(name));
        Ok(match kind {
            "base64" => Self::Base64 {
                media_type: need("media_type", any.media_type)?,
                data: need("data", any.data)?,
            },
            "url" => Self::Url {
                url: need("url", any.url)?,
            },
            _ => Self::Text {
                text: need("text", any.text)?,
            },
        })
    }
}

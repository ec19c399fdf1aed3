use bytes::Bytes;
use http::{HeaderMap, Method};

/// Options for [`Dialect::encode`](super::Dialect::encode).
///
/// ```
/// let options = warmline::dialect::EncodeOptions::new("gpt-4.1").stream(true);
/// assert!(options.stream);
/// ```
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct EncodeOptions<'a> {
    /// The model.
    pub model: &'a str,
    /// Whether to stream the reply.
    pub stream: bool,
    /// Whether to request the usage of a stream, for dialects that report it only on request. The default is true. Some servers
    /// reject the field.
    pub stream_usage: bool,
    /// Whether to request encrypted reasoning (`include`), for dialects that return it only on request. The default is true. Some
    /// servers and some models reject the field.
    pub encrypted_reasoning: bool,
}

impl<'a> EncodeOptions<'a> {
    /// Creates options for a unary reply of `model`.
    ///
    /// ```
    /// assert!(!warmline::dialect::EncodeOptions::new("gpt-4.1").stream);
    /// ```
    pub fn new(model: &'a str) -> Self {
        Self {
            model,
            stream: false,
            stream_usage: true,
            encrypted_reasoning: true,
        }
    }

    /// Sets [`EncodeOptions::stream`].
    ///
    /// ```
    /// let options = warmline::dialect::EncodeOptions::new("gpt-4.1").stream(true);
    /// ```
    #[must_use]
    pub fn stream(mut self, stream: bool) -> Self {
        self.stream = stream;
        self
    }

    /// Sets [`EncodeOptions::stream_usage`].
    ///
    /// ```
    /// let options = warmline::dialect::EncodeOptions::new("m").stream(true).stream_usage(false);
    /// ```
    #[must_use]
    pub fn stream_usage(mut self, asked: bool) -> Self {
        self.stream_usage = asked;
        self
    }

    /// Sets [`EncodeOptions::encrypted_reasoning`].
    ///
    /// ```
    /// let options = warmline::dialect::EncodeOptions::new("gpt-4.1").encrypted_reasoning(false);
    /// ```
    #[must_use]
    pub fn encrypted_reasoning(mut self, asked: bool) -> Self {
        self.encrypted_reasoning = asked;
        self
    }
}

/// An HTTP request without its server and credentials; see [`Dialect::encode`](super::Dialect::encode).
///
/// ```
/// # use warmline::Request;
/// # use warmline::dialect::{Dialect, EncodeOptions, OpenAiChat};
/// let encoded = OpenAiChat::default().encode(&Request::new().user("Hi"), &EncodeOptions::new("gpt-4.1"))?;
/// assert_eq!(encoded.method, http::Method::POST);
/// # Ok::<(), warmline::Error>(())
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Encoded {
    /// The method.
    pub method: Method,
    /// The path below the base URL.
    pub path: &'static str,
    /// The headers that the dialect requires, except credentials.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
}

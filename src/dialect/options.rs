use bytes::Bytes;
use http::{HeaderMap, Method};

/// What an encoder has to know besides the request.
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
    /// Whether the reply is to be streamed.
    pub stream: bool,
    /// Whether a stream is asked to tell its usage, where it does so only then. The default is true; some servers refuse to be
    /// asked.
    pub stream_usage: bool,
}

impl<'a> EncodeOptions<'a> {
    /// Asks a model for a whole reply.
    ///
    /// ```
    /// assert!(!warmline::dialect::EncodeOptions::new("gpt-4.1").stream);
    /// ```
    pub fn new(model: &'a str) -> Self {
        Self {
            model,
            stream: false,
            stream_usage: true,
        }
    }

    /// Sets whether the reply is to be streamed.
    ///
    /// ```
    /// let options = warmline::dialect::EncodeOptions::new("gpt-4.1").stream(true);
    /// ```
    #[must_use]
    pub fn stream(mut self, stream: bool) -> Self {
        self.stream = stream;
        self
    }

    /// Sets whether a stream is asked to tell its usage.
    ///
    /// ```
    /// let options = warmline::dialect::EncodeOptions::new("m").stream(true).stream_usage(false);
    /// ```
    #[must_use]
    pub fn stream_usage(mut self, asked: bool) -> Self {
        self.stream_usage = asked;
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
    /// The headers that the dialect asks for, credentials excepted.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
}

use std::time::Duration;

use super::request::Request;
use crate::credentials::Credentials;
use crate::retry::RetryPolicy;

impl Request {
    /// Sets a header of this request. It replaces the client's or the credentials' header of the same name.
    ///
    /// ```
    /// # use warmline::Request;
    /// let request = Request::new().user("Hi").header("anthropic-beta", "context-1m-2025-08-07");
    /// assert_eq!(request.options.headers.len(), 1);
    /// ```
    #[must_use]
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.options.set_header(name.into(), value.into());
        self
    }

    /// Sets the base URL of this request: another path or query on the client's server.
    ///
    /// A URL on another server is an error, because the client's key is not meant for it and the pool's connections do not lead
    /// to it.
    ///
    /// ```
    /// # use warmline::Request;
    /// let request = Request::new().user("Hi").base_url("https://gateway.example/team-a/v1?region=eu");
    /// ```
    #[must_use]
    pub fn base_url(mut self, url: impl Into<String>) -> Self {
        self.options.base_url = Some(url.into());
        self
    }

    /// Sets a query to add to the URL of this request. A field that the base URL's query has as well is left out.
    ///
    /// ```
    /// # use warmline::Request;
    /// let request = Request::new().user("Hi").query("beta=true");
    /// ```
    #[must_use]
    pub fn query(mut self, query: impl Into<String>) -> Self {
        self.options.query = Some(query.into());
        self
    }

    /// Sets the key or token of this request, such as that of one of many tenants who share the client's connections. The default
    /// is the client's.
    ///
    /// ```
    /// # use warmline::{Credentials, Request};
    /// let request = Request::new().user("Hi").credentials(Credentials::api_key("sk-of-a-tenant"));
    /// ```
    #[must_use]
    pub fn credentials(mut self, credentials: Credentials) -> Self {
        self.options.credentials = Some(credentials);
        self
    }

    /// Sets the timeout of connecting, and of a silence while text is being written. It is then the default of the other two, as in
    /// [`ClientBuilder::timeout`](crate::ClientBuilder::timeout).
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use warmline::Request;
    /// let request = Request::new().user("Hi").timeout(Duration::from_secs(5));
    /// ```
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.options.timeout = Some(timeout);
        self
    }

    /// Sets the timeout of every other silence of the model; see
    /// [`ClientBuilder::reply_timeout`](crate::ClientBuilder::reply_timeout).
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use warmline::Request;
    /// let request = Request::new().user("Prove it.").reply_timeout(Duration::from_secs(3600));
    /// ```
    #[must_use]
    pub fn reply_timeout(mut self, timeout: Duration) -> Self {
        self.options.reply_timeout = Some(timeout);
        self
    }

    /// Sets the timeout for acquiring a connection from the pool.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use warmline::Request;
    /// let request = Request::new().user("Hi").pool_timeout(Duration::from_secs(1));
    /// ```
    #[must_use]
    pub fn pool_timeout(mut self, timeout: Duration) -> Self {
        self.options.pool_timeout = Some(timeout);
        self
    }

    /// Sets the maximum duration of the whole call, including its retries.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use warmline::Request;
    /// let request = Request::new().user("Hi").deadline(Duration::from_secs(20));
    /// ```
    #[must_use]
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.options.deadline = Some(deadline);
        self
    }

    /// Sets the retry policy of this request.
    ///
    /// ```
    /// # use warmline::{Request, RetryPolicy};
    /// let request = Request::new().user("Hi").retry(RetryPolicy::never());
    /// ```
    #[must_use]
    pub fn retry(mut self, policy: RetryPolicy) -> Self {
        self.options.retry = Some(policy);
        self
    }

    /// Sets the key of the conversation that this request continues, such as the id of a session. A [`Router`](crate::Router) keeps a
    /// conversation on one target, whose prompt cache has it. Without a key it takes `prompt_cache_key` or `metadata.user_id` of
    /// [`extra_body`](Self::extra_body), or else the system prompt and the first message.
    ///
    /// ```
    /// # use warmline::Request;
    /// let request = Request::new().user("Hi").conversation("session-17");
    /// ```
    #[must_use]
    pub fn conversation(mut self, key: impl Into<String>) -> Self {
        self.options.conversation = Some(key.into());
        self
    }
}

use std::time::Duration;

use super::builder::ClientBuilder;

/// Limits of calls in time and size.
impl ClientBuilder {
    /// Sets the timeout of connecting, and of a silence while text is being written. The default is 30 s.
    ///
    /// Pings and comments are silence. A long reply that keeps arriving does not time out, and neither does a model that thinks:
    /// [`reply_timeout`](Self::reply_timeout) limits every other silence.
    ///
    /// If you set it, it is also the default of [`reply_timeout`](Self::reply_timeout) and
    /// [`pool_timeout`](Self::pool_timeout).
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use warmline::{Client, Provider};
    /// let builder = Client::builder(Provider::OpenAi).timeout(Duration::from_secs(5));
    /// ```
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeouts.timeout = Some(timeout);
        self
    }

    /// Sets the timeout of a silence while no text is being written. The default is 600 s, or
    /// [`timeout`](Self::timeout) if you set that.
    ///
    /// It applies to the time from sending the request to the first content, to each silence while the model thinks, writes the
    /// input of a tool or runs a tool of the provider's, and to the whole time of a reply that is not streamed. A dead network is
    /// noticed sooner, within about a minute, by TCP.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use warmline::{Client, Provider};
    /// let builder = Client::builder(Provider::OpenAi).reply_timeout(Duration::from_secs(3600));
    /// ```
    #[must_use]
    pub fn reply_timeout(mut self, timeout: Duration) -> Self {
        self.timeouts.reply = Some(timeout);
        self
    }

    /// Sets the timeout for acquiring a connection from the pool. The default is [`timeout`](Self::timeout) if you set that, or
    /// else that of [`reply_timeout`](Self::reply_timeout).
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use warmline::{Client, Provider};
    /// let builder = Client::builder(Provider::OpenAi).pool_timeout(Duration::from_secs(5));
    /// ```
    #[must_use]
    pub fn pool_timeout(mut self, timeout: Duration) -> Self {
        self.timeouts.pool = Some(timeout);
        self
    }

    /// Sets the maximum duration of a whole call, including its retries. There is none by default.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use warmline::{Client, Provider};
    /// let builder = Client::builder(Provider::OpenAi).deadline(Duration::from_secs(120));
    /// ```
    #[must_use]
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.timeouts.deadline = Some(deadline);
        self
    }

    /// Sets the maximum size of a reply's body in bytes, of a stream with all its comments. The default is 64 MiB. A larger one
    /// fails with an error of kind `Decode`.
    ///
    /// ```
    /// # use warmline::{Client, Provider};
    /// let builder = Client::builder(Provider::OpenAi).max_reply_bytes(1 << 20);
    /// ```
    #[must_use]
    pub fn max_reply_bytes(mut self, bytes: usize) -> Self {
        self.max_reply_bytes = bytes;
        self
    }
}

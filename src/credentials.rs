//! How requests are authorised. Credentials are applied to each attempt, so that a token that has expired meanwhile is renewed.

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use futures_util::lock::Mutex;

use crate::runtime::{BoxFuture, Instant, MaybeSend, MaybeSync};
use crate::secret::Secret;
use crate::{Error, Provider, Result, headers};

/// A token is renewed this long before it expires, or after half of its lifetime if that is shorter.
const EARLY: Duration = Duration::from_secs(5 * 60);

/// The credentials of a client: the provider's key, a bearer token, or a source of tokens that expire.
///
/// ```
/// use std::time::Duration;
/// use warmline::{AccessToken, Client, Credentials, Provider};
///
/// // Microsoft Entra ID, Google Cloud and the like give out tokens that last about an hour.
/// let credentials = Credentials::token_source(|| async {
///     Ok(AccessToken::new("eyJ…").expires_in(Duration::from_secs(3600)))
/// });
/// let builder = Client::builder(Provider::Azure).resource("my-resource").credentials(credentials);
/// assert!(!format!("{builder:?}").contains("eyJ"));
/// ```
#[derive(Clone, Default)]
pub struct Credentials(Kind);

#[derive(Clone, Default)]
enum Kind {
    #[default]
    None,
    Key(Secret),
    Bearer(Secret),
    Source(Arc<TokenCache>),
    /// The value of a header that the caller has set. It is known here only so that no error shows it.
    Own(Secret),
    PerRequest,
}

/// A token and how long it is valid.
///
/// ```
/// use warmline::AccessToken;
///
/// let token = AccessToken::new("eyJ…").expires_in(std::time::Duration::from_secs(3600));
/// assert!(!format!("{token:?}").contains("eyJ"));
/// ```
#[derive(Clone)]
pub struct AccessToken {
    token: Secret,
    expires_in: Option<Duration>,
}

/// Provides tokens, for example from an identity service. A closure that returns a future is a token source.
///
/// The client reuses a token until five minutes before it expires. It requests one token at a time, however many calls wait for it.
/// If the provider answers 401, it requests a new token once.
///
/// ```
/// use warmline::{AccessToken, BoxFuture, Result, TokenSource};
///
/// struct Static(&'static str);
///
/// impl TokenSource for Static {
///     fn token(&self) -> BoxFuture<'static, Result<AccessToken>> {
///         let token = AccessToken::new(self.0);
///         Box::pin(async { Ok(token) })
///     }
/// }
/// let credentials = warmline::Credentials::token_source(Static("eyJ…"));
/// ```
pub trait TokenSource: MaybeSend + MaybeSync {
    /// Gets a new token.
    ///
    /// # Errors
    /// Any error; the call fails with it. A kind that is retried, such as `Connect`, is retried.
    fn token(&self) -> BoxFuture<'static, Result<AccessToken>>;
}

impl<F, T> TokenSource for F
where
    F: Fn() -> T + MaybeSend + MaybeSync,
    T: Future<Output = Result<AccessToken>> + MaybeSend + 'static,
{
    fn token(&self) -> BoxFuture<'static, Result<AccessToken>> {
        Box::pin(self())
    }
}

impl AccessToken {
    /// Returns a token that is valid until the provider refuses it.
    ///
    /// ```
    /// let token = warmline::AccessToken::new("eyJ…");
    /// ```
    pub fn new(token: impl AsRef<str>) -> Self {
        Self {
            token: token.as_ref().trim().into(),
            expires_in: None,
        }
    }

    /// Sets how long it is valid from now on.
    ///
    /// ```
    /// # use std::time::Duration;
    /// let token = warmline::AccessToken::new("eyJ…").expires_in(Duration::from_secs(3599));
    /// ```
    #[must_use]
    pub fn expires_in(mut self, lifetime: Duration) -> Self {
        self.expires_in = Some(lifetime);
        self
    }
}

impl Credentials {
    /// Returns the provider's key, which is sent as the provider wants it: `x-api-key` to Anthropic, `api-key` to Azure, as a bearer token
    /// to most.
    ///
    /// ```
    /// let credentials = warmline::Credentials::api_key("sk-123");
    /// ```
    pub fn api_key(key: impl AsRef<str>) -> Self {
        Self(match key.as_ref().trim() {
            "" => Kind::None,
            key => Kind::Key(key.into()),
        })
    }

    /// Returns a token that is sent as `authorization: Bearer TOKEN`, whatever the provider's own header is.
    ///
    /// ```
    /// let credentials = warmline::Credentials::bearer_token("eyJ…");
    /// ```
    pub fn bearer_token(token: impl AsRef<str>) -> Self {
        Self(match token.as_ref().trim() {
            "" => Kind::None,
            token => Kind::Bearer(token.into()),
        })
    }

    /// Returns tokens that are asked for as they are needed, and sent as `authorization: Bearer TOKEN`.
    ///
    /// ```
    /// # use warmline::{AccessToken, Credentials};
    /// let credentials = Credentials::token_source(|| async { Ok(AccessToken::new("eyJ…")) });
    /// ```
    pub fn token_source(source: impl TokenSource + 'static) -> Self {
        Self(Kind::Source(Arc::new(TokenCache {
            source: Box::new(source),
            cached: Mutex::new(None),
        })))
    }

    /// Returns the credentials of a client that has none of its own, such as a gateway's for many tenants: each request brings
    /// [its own](crate::Request::credentials), and one without them fails before it is sent.
    ///
    /// ```
    /// use warmline::{Client, Credentials, Provider, Request};
    ///
    /// let client = Client::builder(Provider::OpenAi).credentials(Credentials::per_request()).build()?;
    /// let request = Request::new().user("Hi").credentials(Credentials::api_key("sk-of-a-tenant"));
    /// # Ok::<(), warmline::Error>(())
    /// ```
    pub fn per_request() -> Self {
        Self(Kind::PerRequest)
    }

    /// The credentials that a header of the caller's own is.
    pub(crate) fn own(value: &str) -> Self {
        Self(Kind::Own(secret_in(value).into()))
    }

    pub(crate) fn is_none(&self) -> bool {
        matches!(self.0, Kind::None)
    }

    /// Whether a new token may be accepted where one has been refused.
    pub(crate) fn can_renew(&self) -> bool {
        matches!(self.0, Kind::Source(_))
    }

    /// Whether a header of the caller's own is sent in place of these credentials.
    pub(crate) fn yield_to(&self, provider: Provider, header: &str) -> bool {
        match self.0 {
            Kind::Key(_) => header == key_header(provider),
            Kind::Bearer(_) | Kind::Source(_) => header == "authorization",
            Kind::None | Kind::Own(_) | Kind::PerRequest => {
                header == "authorization" || header == key_header(provider)
            }
        }
    }

    /// # Errors
    /// `Config` for a key or token that no header can carry.
    pub(crate) fn check(&self) -> Result<()> {
        match &self.0 {
            Kind::Key(secret) | Kind::Bearer(secret) => check(KEY, secret),
            Kind::None | Kind::Source(_) | Kind::Own(_) | Kind::PerRequest => Ok(()),
        }
    }

    /// The key or token of the next attempt; empty if there is none. One that the provider has `refused` is renewed, if it can be.
    pub(crate) async fn secret(&self, refused: Option<&str>) -> Result<Secret> {
        match &self.0 {
            Kind::None => Ok("".into()),
            Kind::Key(secret) | Kind::Bearer(secret) | Kind::Own(secret) => Ok(secret.clone()),
            Kind::Source(cache) => cache.token(refused).await,
            Kind::PerRequest => Err(Error::config(
                "this client has no credentials of its own, and the request brings none",
            )),
        }
    }

    /// The header of a request with such a secret.
    pub(crate) fn header(&self, provider: Provider, secret: &str) -> Option<(String, String)> {
        let name = match self.0 {
            Kind::None | Kind::Own(_) | Kind::PerRequest => return None,
            Kind::Key(_) => key_header(provider),
            Kind::Bearer(_) | Kind::Source(_) => "authorization",
        };
        let value = match name {
            "authorization" => ["Bearer ", secret].concat(),
            _ => secret.to_owned(),
        };
        Some((name.to_owned(), value))
    }
}

fn key_header(provider: Provider) -> &'static str {
    provider.row().key_header.unwrap_or("authorization")
}

/// What of an `authorization` or the like is secret: the part after the scheme.
pub(crate) fn secret_in(value: &str) -> &str {
    value.rsplit(' ').next().unwrap_or(value)
}

/// What errors call a key if its variable is not known.
const KEY: &str = "the API key or token";

/// # Errors
/// `Config` for what cannot be sent. The message begins with `what`.
pub(crate) fn check(what: &str, secret: &str) -> Result<()> {
    if headers::is_sendable(secret) {
        return Ok(());
    }
    Err(Error::config(
        [what, " holds characters that no HTTP header can carry"].concat(),
    ))
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            Kind::None | Kind::Own(_) => "Credentials::None",
            Kind::Key(_) => "Credentials::ApiKey(…)",
            Kind::Bearer(_) => "Credentials::BearerToken(…)",
            Kind::Source(_) => "Credentials::TokenSource(…)",
            Kind::PerRequest => "Credentials::PerRequest",
        })
    }
}

/// The same key or token, or the same source of tokens.
impl PartialEq for Credentials {
    fn eq(&self, other: &Self) -> bool {
        match (&self.0, &other.0) {
            (Kind::None, Kind::None) | (Kind::PerRequest, Kind::PerRequest) => true,
            (Kind::Key(a), Kind::Key(b))
            | (Kind::Bearer(a), Kind::Bearer(b))
            | (Kind::Own(a), Kind::Own(b)) => a == b,
            (Kind::Source(a), Kind::Source(b)) => Arc::ptr_eq(a, b),
            _ => false,
        }
    }
}

impl Eq for Credentials {}

impl fmt::Debug for AccessToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("AccessToken");
        shown.field("expires_in", &self.expires_in);
        shown.finish_non_exhaustive()
    }
}

struct TokenCache {
    source: Box<dyn TokenSource>,
    /// Locked while a token is asked for, so that only one is.
    cached: Mutex<Option<Cached>>,
}

struct Cached {
    token: Secret,
    /// When it is renewed and when it expires, if it does.
    times: Option<[Instant; 2]>,
}

impl Cached {
    fn is_past(&self, which: usize) -> bool {
        self.times
            .is_some_and(|times| times[which] <= Instant::now())
    }
}

impl TokenCache {
    async fn token(&self, refused: Option<&str>) -> Result<Secret> {
        let mut cached = self.cached.lock().await;
        let usable = cached.as_ref().filter(|c| Some(&*c.token) != refused);
        if let Some(fresh) = usable.filter(|cached| !cached.is_past(0)) {
            return Ok(fresh.token.clone());
        }
        // From before the request, since the token is older than the answer.
        let now = Instant::now();
        let got = self.source.token().await.and_then(|got| {
            if got.token.is_empty() {
                return Err(Error::config("the token source has given an empty token"));
            }
            check(KEY, &got.token).map(|()| got)
        });
        match (got, usable) {
            (Ok(AccessToken { token, expires_in }), _) => {
                let times = expires_in.map(|lifetime| {
                    let renewed = lifetime - EARLY.min(lifetime / 2);
                    [now + renewed, now + lifetime]
                });
                *cached = Some(Cached {
                    token: token.clone(),
                    times,
                });
                Ok(token)
            }
            // It was to be renewed early, so as to be valid still.
            (Err(_), Some(old)) if !old.is_past(1) => Ok(old.token.clone()),
            (Err(error), _) => Err(error),
        }
    }
}

#[cfg(all(test, not(target_family = "wasm")))]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    /// A source of the tokens 1, 2, … that last for an hour, and how many it has given.
    fn counting() -> (Credentials, Arc<AtomicUsize>) {
        let given = Arc::new(AtomicUsize::new(0));
        let count = given.clone();
        let source = move || {
            let n = count.fetch_add(1, Ordering::SeqCst) + 1;
            async move {
                tokio::task::yield_now().await;
                let token = AccessToken::new(n.to_string());
                Ok(token.expires_in(Duration::from_secs(3600)))
            }
        };
        (Credentials::token_source(source), given)
    }

    #[tokio::test(start_paused = true)]
    async fn a_token_is_kept_until_shortly_before_it_expires() {
        let (credentials, _) = counting();
        for (seconds, expected) in [(0, "1"), (3299, "1"), (1, "2"), (3299, "2"), (9999, "3")] {
            tokio::time::advance(Duration::from_secs(seconds)).await;
            assert_eq!(&*credentials.secret(None).await.unwrap(), expected);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn calls_that_wait_share_one_token() {
        let (credentials, given) = counting();
        let one = credentials.secret(None);
        let (a, b, c) = tokio::join!(one, credentials.secret(None), credentials.secret(None));
        assert_eq!([&*a.unwrap(), &*b.unwrap(), &*c.unwrap()], ["1"; 3]);
        // The same holds for those whose token was refused.
        let refused = Some("1");
        let (a, b) = tokio::join!(credentials.secret(refused), credentials.secret(refused));
        assert_eq!([&*a.unwrap(), &*b.unwrap()], ["2"; 2]);
        assert_eq!(given.load(Ordering::SeqCst), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn a_token_that_cannot_be_renewed_early_is_used_until_it_expires() {
        let fails = Arc::new(AtomicUsize::new(0));
        let fail = fails.clone();
        let credentials = Credentials::token_source(move || {
            let fails = fail.load(Ordering::SeqCst) > 0;
            async move {
                match fails {
                    true => Err(Error::config("no token")),
                    false => Ok(AccessToken::new("t").expires_in(Duration::from_secs(60))),
                }
            }
        });
        assert_eq!(&*credentials.secret(None).await.unwrap(), "t");
        fails.store(1, Ordering::SeqCst);
        tokio::time::advance(Duration::from_secs(59)).await;
        assert_eq!(&*credentials.secret(None).await.unwrap(), "t");
        assert!(credentials.secret(Some("t")).await.is_err());
        tokio::time::advance(Duration::from_secs(1)).await;
        let error = credentials.secret(None).await.unwrap_err();
        assert!(error.to_string().contains("no token"), "{error}");
    }

    #[tokio::test]
    async fn a_useless_token_is_an_error_that_does_not_show_it() {
        for (token, says) in [(" ", "an empty token"), ("hunter2\n\u{1}x", "characters")] {
            let source = move || async move { Ok(AccessToken::new(token)) };
            let error = Credentials::token_source(source).secret(None).await;
            let error = error.unwrap_err().to_string();
            assert!(
                error.contains(says) && !error.contains("hunter2"),
                "{error}"
            );
        }
    }
}

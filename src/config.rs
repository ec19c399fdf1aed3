//! Configures a [`ClientBuilder`] from environment variables.

use std::ffi::OsString;
use std::fmt::Display;
use std::str::FromStr;
use std::time::Duration;

use crate::cost::{self, redis};
use crate::provider::ollama_url;
use crate::transport::{Proxy, ProxyVariables, env_text};
use crate::url::scheme;
use crate::{
    Budget, Client, ClientBuilder, CostTracker, Error, Limits, ParseUsdError, Price, Provider,
    RestLedger, Result, RetryPolicy, Usd,
};

impl ClientBuilder {
    /// Creates a builder from environment variables.
    ///
    /// | Variable | Meaning | Default |
    /// | --- | --- | --- |
    /// | `LLM_PROVIDER` | the [`Provider`], such as `groq` | the first of [`Provider::all`] whose key or token is set, otherwise `anthropic` |
    /// | `LLM_MODEL` | [`ClientBuilder::model`] | [`Provider::default_model`] |
    /// | `LLM_TIMEOUT` | [`ClientBuilder::timeout`], in seconds | 30 |
    /// | `LLM_MAX_RETRIES` | [`RetryPolicy::max_retries`] | 3 |
    /// | `LLM_MAX_CONNECTIONS` | [`Limits::max_connections`] | 10 |
    /// | `LLM_MAX_KEEPALIVE` | [`Limits::max_keepalive_connections`] | 5, or `LLM_MAX_CONNECTIONS` if that is less |
    /// | `LLM_KEEPALIVE_EXPIRY` | [`Limits::keepalive_expiry`], in seconds | 30 |
    /// | `LLM_BUDGET_LIMIT` | the limit of a [`Budget`] named `default`, in dollars per month, or `none` | 50.0 |
    /// | `LLM_LEDGER` | the ledger of that budget, see below | the process's memory |
    /// | `LLM_LEDGER_TOKEN` | the token of a [`RestLedger`] | none |
    /// | `LLM_PRICES` | the path of a price file, see below (native only) | none |
    /// | [`Provider::credential_variables`], such as `GROQ_API_KEY` | [`ClientBuilder::api_key`] or [`ClientBuilder::bearer_token`] | none |
    /// | [`Provider::base_url_variable`], such as `OPENAI_BASE_URL` | [`ClientBuilder::base_url`] | the provider's URL |
    /// | the other [`Provider::variables`], such as `AWS_REGION` | the setting, such as [`ClientBuilder::region`] | none |
    /// | `HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY`, `NO_PROXY` | see [`ClientBuilder::proxy`] (native only) | the system's proxy |
    ///
    /// An empty or blank variable counts as unset.
    ///
    /// `LLM_LEDGER` is the path of a [`FileLedger`](crate::FileLedger) (native only), a `redis://` or `rediss://` URL (with the
    /// feature `redis`), or the `https://` URL of a [`RestLedger`].
    ///
    /// A price file is a JSON object of models, with prices in dollars per million tokens:
    /// `{"MODEL": {"input": "3", "output": "15", "cache_read": "0.3", "cache_write": "3.75", "cache_write_1h": "6"}}`. The last
    /// three are optional.
    ///
    /// # Errors
    /// `Config` if a variable is invalid. The message names the variable, its value if that cannot be a secret, and what would
    /// be accepted.
    ///
    /// ```no_run
    /// let client = warmline::ClientBuilder::from_env()?.model("claude-haiku-4-5").build()?;
    /// # Ok::<(), warmline::Error>(())
    /// ```
    pub fn from_env() -> Result<Self> {
        Self::from_vars(|name| std::env::var_os(name))
    }

    /// Creates a builder from the variables that `get` returns, such as a Worker's bindings. See
    /// [`ClientBuilder::from_env`] for the variables.
    ///
    /// # Errors
    /// As for [`ClientBuilder::from_env`].
    ///
    /// ```
    /// use warmline::ClientBuilder;
    ///
    /// let error = ClientBuilder::from_vars(|name| (name == "LLM_TIMEOUT").then_some("soon")).unwrap_err();
    /// assert!(error.to_string().contains(r#"LLM_TIMEOUT is "soon""#));
    /// ```
    pub fn from_vars<V: Into<OsString>>(get: impl Fn(&str) -> Option<V>) -> Result<Self> {
        let get = |name: &str| env_text(name, get(name).map(Into::into));
        let first = |names: &[&str]| names.iter().find_map(|name| get(name).transpose());
        let mut provider_by_default = false;
        let provider = match get("LLM_PROVIDER")? {
            Some(name) => name
                .parse()
                .map_err(|e: Error| Error::config(format!("LLM_PROVIDER: {}", e.message())))?,
            None => {
                let mut all = Provider::all();
                let is_set = |name| get(name).is_ok_and(|value| value.is_some());
                let with_key = all.find(|of| of.credential_variables().any(is_set));
                provider_by_default = with_key.is_none();
                with_key.unwrap_or(Provider::Anthropic)
            }
        };
        let row = provider.row();
        let mut limits = Limits::default();
        if let Some(n) = parse(get, "LLM_MAX_CONNECTIONS", "a whole number from 1 to 65535")? {
            limits.max_connections = n;
            limits.max_keepalive_connections = limits.max_keepalive_connections.min(n);
        }
        if let Some(n) = parse(
            get,
            "LLM_MAX_KEEPALIVE",
            "a whole number, at most LLM_MAX_CONNECTIONS",
        )? {
            limits.max_keepalive_connections = n;
        }
        if let Some(expiry) = seconds(get, "LLM_KEEPALIVE_EXPIRY")? {
            limits.keepalive_expiry = expiry;
        }
        limits.validate().map_err(|e| {
            Error::config(format!(
                "{} (LLM_MAX_CONNECTIONS, LLM_MAX_KEEPALIVE)",
                e.message()
            ))
        })?;
        let mut retry = RetryPolicy::default();
        if let Some(n) = parse(get, "LLM_MAX_RETRIES", "a whole number")? {
            retry.max_retries = n;
        }
        let mut builder = Client::builder(provider).limits(limits).retry(retry);
        builder.provider_by_default = provider_by_default;
        if let Some(timeout) = seconds(get, "LLM_TIMEOUT")? {
            if timeout.is_zero() {
                return Err(Error::config(
                    "LLM_TIMEOUT is 0: it must be a number of seconds, more than 0",
                ));
            }
            builder = builder.timeout(timeout);
        }
        if let Some(model) = get("LLM_MODEL")? {
            builder = builder.model(model.trim());
        }
        if let Some(key) = first(row.key_variables).transpose()? {
            builder = builder.api_key(key);
        } else if let Some(token) = row.token_variable.map(get).transpose()?.flatten() {
            builder = builder.bearer_token(token);
        }
        if let Some(url) = get(row.base_url_variable)? {
            builder = builder.base_url(match provider {
                Provider::Ollama => ollama_url(&url),
                _ => url,
            });
        }
        // The first variable of a setting that is set counts.
        for (setting, name) in row.setting_variables.iter().rev() {
            if let Some(value) = get(name)? {
                builder.settings.set(*setting, value);
            }
        }
        let proxies = Proxy::Variables(ProxyVariables::read(get)?);
        builder.proxy = proxies.clone();
        Ok(builder.cost_tracker(cost(get, proxies)?))
    }
}

fn cost(get: impl Fn(&str) -> Result<Option<String>>, proxies: Proxy) -> Result<CostTracker> {
    let mut tracker = CostTracker::new();
    let limit = get("LLM_BUDGET_LIMIT")?;
    let limit = limit.as_deref().map_or("50.0", str::trim);
    if !limit.eq_ignore_ascii_case("none") {
        let limit = limit.parse().map_err(|e: ParseUsdError| {
            Error::config(format!("LLM_BUDGET_LIMIT: {e}, or `none`"))
        })?;
        tracker = tracker.budget(Budget::monthly("default", limit)?);
    }
    if let Some(ledger) = get("LLM_LEDGER")? {
        let ledger = ledger.trim();
        let named = |e: Error| Error::config(format!("LLM_LEDGER: {}", e.message()));
        tracker = match scheme(ledger).map(str::to_ascii_lowercase).as_deref() {
            Some("redis" | "rediss") => redis::connect(tracker, ledger).map_err(named)?,
            Some("http" | "https") => {
                let token = get("LLM_LEDGER_TOKEN")?.unwrap_or_default();
                let rest = RestLedger::through(proxies, ledger, token.trim());
                tracker.ledger(rest.map_err(named)?)
            }
            // The error does not show the rest of the URL, because it can hold a password.
            Some(unknown) => {
                return Err(Error::config(format!(
                    "LLM_LEDGER has the unknown scheme {unknown:?}: it must be the path of a file, or begin with redis://, rediss:// or https://"
                )));
            }
            // A URL without its slashes would be shown as the path of a file, with its password.
            None if ledger.contains(':')
                && ledger.contains('@')
                && !ledger.starts_with(['/', '.']) =>
            {
                return Err(Error::config(
                    "LLM_LEDGER has a user name but no `://`: it must be the path of a file, which begins with / or . if it contains : and @, or \
                     begin with redis://, rediss:// or https://",
                ));
            }
            None => cost::open_file(tracker, ledger)?,
        };
    }
    if let Some(path) = get("LLM_PRICES")? {
        let text = std::fs::read_to_string(path.trim()).map_err(|e| {
            Error::config(format!("LLM_PRICES is {path:?}, which cannot be read")).with_source(e)
        })?;
        for (model, price) in prices(&text)? {
            tracker = tracker.price(model, price);
        }
    }
    Ok(tracker)
}

/// Parses a price file.
fn prices(text: &str) -> Result<Vec<(String, Price)>> {
    let wrong = |what: String| Error::config(format!("the price file of LLM_PRICES: {what}"));
    let file: serde_json::Map<String, serde_json::Value> = serde_json::from_str(text)
        .map_err(|e| wrong(format!("it must be a JSON object of models: {e}")))?;
    let mut prices = Vec::new();
    for (model, fields) in file {
        let fields = fields
            .as_object()
            .ok_or_else(|| wrong(format!("{model} must be an object")))?;
        let mut price = Price::per_million(Usd::ZERO, Usd::ZERO);
        let accepted = [
            "input",
            "output",
            "cache_read",
            "cache_write",
            "cache_write_1h",
        ];
        if let Some(name) = fields
            .keys()
            .find(|name| !accepted.contains(&name.as_str()))
        {
            let accepted = accepted.join(", ");
            return Err(wrong(format!(
                "{model}.{name} is unknown: it must be one of {accepted}"
            )));
        }
        let field = |name: &str| -> Result<Option<Usd>> {
            let Some(value) = fields.get(name) else {
                return Ok(None);
            };
            let text = value
                .as_str()
                .map_or_else(|| value.to_string(), str::to_owned);
            let usd = text.parse::<Usd>();
            let usd = usd.map_err(|e| wrong(format!("{model}.{name}: {e}")))?;
            Ok(Some(usd.of_a_million()))
        };
        let required =
            |name: &str| field(name)?.ok_or_else(|| wrong(format!("{model}.{name} is missing")));
        price.input = required("input")?;
        price.output = required("output")?;
        price.reasoning = price.output;
        price.cache_read = field("cache_read")?.unwrap_or(price.input);
        price.cache_write = field("cache_write")?.unwrap_or(price.input);
        price.cache_write_1h = field("cache_write_1h")?.unwrap_or(price.cache_write);
        prices.push((model, price));
    }
    Ok(prices)
}

fn parse<T: FromStr<Err: Display>>(
    get: impl Fn(&str) -> Result<Option<String>>,
    name: &str,
    accepted: &str,
) -> Result<Option<T>> {
    let Some(value) = get(name)? else {
        return Ok(None);
    };
    match value.trim().parse() {
        Ok(parsed) => Ok(Some(parsed)),
        Err(why) => Err(Error::config(format!(
            "{name} is {value:?} ({why}): it must be {accepted}"
        ))),
    }
}

fn seconds(get: impl Fn(&str) -> Result<Option<String>>, name: &str) -> Result<Option<Duration>> {
    let Some(value) = parse::<f64>(get, name, "a number of seconds, such as 30 or 2.5")? else {
        return Ok(None);
    };
    match Duration::try_from_secs_f64(value) {
        Ok(duration) => Ok(Some(duration)),
        Err(_) => Err(Error::config(format!(
            "{name} is {value}: it must be a number of seconds, at least 0"
        ))),
    }
}

#[cfg(test)]
mod provider_tests;

#[cfg(test)]
mod tests {
    use super::*;

    pub(super) fn build(vars: &[(&str, &str)]) -> Result<Client> {
        let get = |name: &str| vars.iter().find(|(n, _)| *n == name).map(|(_, v)| *v);
        ClientBuilder::from_vars(get)?.build()
    }

    #[test]
    fn variables_configure_the_client() {
        let client = build(&[
            ("OPENAI_API_KEY", "sk-1"),
            ("LLM_MODEL", "gpt-x"),
            ("LLM_MAX_CONNECTIONS", " 3 "),
            ("LLM_KEEPALIVE_EXPIRY", "2.5"),
            ("LLM_TIMEOUT", ""),
        ])
        .unwrap();
        assert_eq!(
            (client.provider(), client.model()),
            (Provider::OpenAi, "gpt-x")
        );
        let limits = client.stats().limits.unwrap();
        assert_eq!(
            (limits.max_connections, limits.max_keepalive_connections),
            (3, 3)
        );
        assert_eq!(limits.keepalive_expiry, Duration::from_millis(2500));
    }

    #[test]
    fn the_scheme_of_its_address_selects_the_ledger() {
        for (ledger, fails) in [
            ("https://example.upstash.io", None),
            ("https://", Some("has no host")),
            #[cfg(feature = "redis")]
            ("redis://:secret@127.0.0.1:1/0", None),
            #[cfg(feature = "redis")]
            (
                "redis://:secret@:x",
                Some("LLM_LEDGER: the ledger's URL is not a Redis URL"),
            ),
            #[cfg(not(feature = "redis"))]
            (
                "redis://:secret@127.0.0.1",
                Some("the crate's feature `redis`"),
            ),
            (
                "REDIS+TLS://:secret@127.0.0.1",
                Some("LLM_LEDGER has the unknown scheme \"redis+tls\""),
            ),
            (
                "https://host?token=secret",
                Some("LLM_LEDGER: the ledger's URL \"https://host…\" has a query"),
            ),
            #[cfg(feature = "redis")]
            (
                "redis://127.0.0.1?protocol=secret",
                Some("LLM_LEDGER: the ledger's URL is not a Redis URL"),
            ),
            ("/no/such/folder/spend.log", Some("/no/such/folder")),
        ] {
            let built = build(&[("OPENAI_API_KEY", "k"), ("LLM_LEDGER", ledger)]);
            let error = built.err().map(|e| e.to_string()).unwrap_or_default();
            assert!(
                error.contains(fails.unwrap_or_default()),
                "{ledger}: {error}"
            );
            assert_eq!(error.is_empty(), fails.is_none(), "{ledger}: {error}");
            assert!(!error.contains("secret"), "{error}");
        }
    }

    #[test]
    fn the_keys_that_are_set_select_the_provider() {
        for (vars, expected) in [
            (&[("OPENAI_API_KEY", "k")][..], Provider::OpenAi),
            (&[("ANTHROPIC_API_KEY", "k")], Provider::Anthropic),
            (
                &[("ANTHROPIC_API_KEY", "k"), ("OPENAI_API_KEY", "k")],
                Provider::Anthropic,
            ),
            // Then in the table's order.
            (
                &[("XAI_API_KEY", "k"), ("GROQ_API_KEY", "k")],
                Provider::Groq,
            ),
            (
                &[("XAI_API_KEY", "k"), ("OPENAI_API_KEY", "k")],
                Provider::OpenAi,
            ),
            (
                &[("GROQ_API_KEY", " "), ("XAI_API_KEY", "k")],
                Provider::XAi,
            ),
            (&[("GOOGLE_API_KEY", "k")], Provider::GeminiOpenAi),
            // A URL alone selects nobody.
            (
                &[("OLLAMA_HOST", "box"), ("ANTHROPIC_API_KEY", "k")],
                Provider::Anthropic,
            ),
            (
                &[
                    ("LLM_PROVIDER", "OpenAI"),
                    ("ANTHROPIC_API_KEY", "k"),
                    ("OPENAI_API_KEY", "k"),
                ],
                Provider::OpenAi,
            ),
        ] {
            assert_eq!(build(vars).unwrap().provider(), expected, "{vars:?}");
        }
    }

    #[test]
    fn each_invalid_value_is_named() {
        for (name, value, shown) in [
            (
                "LLM_PROVIDER",
                "mistrall",
                "LLM_PROVIDER: unknown provider \"mistrall\"",
            ),
            ("LLM_TIMEOUT", "soon", "LLM_TIMEOUT is \"soon\""),
            ("LLM_TIMEOUT", "-1", "LLM_TIMEOUT is -1"),
            ("LLM_TIMEOUT", "0", "LLM_TIMEOUT is 0"),
            ("LLM_TIMEOUT", "NaN", "LLM_TIMEOUT is NaN"),
            ("LLM_TIMEOUT", "1e99", "LLM_TIMEOUT is 1"),
            ("LLM_MAX_RETRIES", "-1", "LLM_MAX_RETRIES is \"-1\""),
            ("LLM_MAX_CONNECTIONS", "0", "max_connections is 0"),
            ("LLM_MAX_CONNECTIONS", "-3", "LLM_MAX_CONNECTIONS is \"-3\""),
            ("LLM_MAX_CONNECTIONS", "99999", "max_connections is 99999"),
            (
                "LLM_MAX_KEEPALIVE",
                "11",
                "max_keepalive_connections is 11, more than max_connections, which is 10",
            ),
            (
                "LLM_KEEPALIVE_EXPIRY",
                "-0.5",
                "LLM_KEEPALIVE_EXPIRY is -0.5",
            ),
            ("ANTHROPIC_BASE_URL", "localhost", "\"localhost\""),
        ] {
            let error = build(&[("ANTHROPIC_API_KEY", "k"), (name, value)]).unwrap_err();
            assert_eq!(error.kind().name(), "config");
            assert!(error.to_string().contains(shown), "{name}={value}: {error}");
        }
        #[cfg(unix)]
        {
            // The value is not shown, because a variable can hold a key.
            let bytes = std::os::unix::ffi::OsStringExt::from_vec(vec![b'x', 0xff]);
            let get = |name: &str| (name == "LLM_MODEL").then(|| OsString::clone(&bytes));
            let error = ClientBuilder::from_vars(get).unwrap_err();
            assert!(
                error.to_string().contains("LLM_MODEL is not UTF-8 text"),
                "{error}"
            );
        }
        assert!(
            build(&[])
                .unwrap_err()
                .to_string()
                .contains("ANTHROPIC_API_KEY")
        );
    }

    #[test]
    fn a_budget_limit_is_a_decimal_or_none() {
        let limit = |value: &'static str| {
            let get = |name: &str| (name == "LLM_BUDGET_LIMIT").then_some(value);
            ClientBuilder::from_vars(get).map(|builder| format!("{:?}", builder.cost))
        };
        assert!(limit("").unwrap().contains("Usd(50)"));
        assert!(limit("0.25").unwrap().contains("Usd(0.25)"));
        assert!(limit("None").unwrap().contains("budgets: []"));
        let error = limit("lots").unwrap_err().to_string();
        assert!(error.contains("LLM_BUDGET_LIMIT: \"lots\""), "{error}");
    }

    #[test]
    fn errors_in_a_price_file_name_the_field() {
        let good = prices(r#"{"m": {"input": 3, "output": "15.5", "cache_read": "0.3"}}"#).unwrap();
        let (model, price) = &good[0];
        assert_eq!(model, "m");
        let picos = [
            price.input,
            price.output,
            price.cache_read,
            price.cache_write_1h,
        ]
        .map(Usd::pico);
        assert_eq!(picos, [3_000_000, 15_500_000, 300_000, 3_000_000]);
        for (text, expected) in [
            ("[]", "must be a JSON object of models"),
            (r#"{"m": 1}"#, "m must be an object"),
            (r#"{"m": {"input": "3"}}"#, "m.output is missing"),
            (
                r#"{"m": {"input": "-3", "output": "1"}}"#,
                "m.input: \"-3\"",
            ),
            (r#"{"m": {"inptu": "3"}}"#, "m.inptu is unknown"),
        ] {
            let error = prices(text).unwrap_err().to_string();
            assert!(error.contains(expected), "{text}: {error}");
        }
    }
}

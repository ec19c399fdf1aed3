//! Configures a [`ClientBuilder`] from environment variables.

use std::ffi::OsString;
use std::fmt::Display;
use std::str::FromStr;
use std::time::Duration;

use crate::cost::{self, DEFAULT_BUDGET, redis};
use crate::credentials::check;
use crate::provider::ollama_url;
use crate::quote::quote;
use crate::transport::{Proxy, ProxyVariables, env_text};
use crate::url::scheme;
use crate::{
    Budget, Client, ClientBuilder, CostTracker, DialectName, Error, Limits, ParseUsdError, Price,
    Provider, RestLedger, Result, RetryPolicy, Usd,
};

impl ClientBuilder {
    /// Creates a builder from environment variables.
    ///
    /// | Variable | Meaning | Default |
    /// | --- | --- | --- |
    /// | `LLM_PROVIDER` | the [`Provider`], such as `groq` | the first of [`Provider::all`] whose key or token is set, otherwise `anthropic`. With `LLM_DIALECT`, the first that speaks it |
    /// | `LLM_DIALECT` | [`ClientBuilder::dialect`], such as `openai-responses` | [`Provider::dialect_name`] |
    /// | `LLM_MODEL` | [`ClientBuilder::model`] | [`Provider::default_model`] |
    /// | `LLM_TIMEOUT` | [`ClientBuilder::timeout`], in seconds | 30 |
    /// | `LLM_REPLY_TIMEOUT` | [`ClientBuilder::reply_timeout`], in seconds | 600, or `LLM_TIMEOUT` if that is set |
    /// | `LLM_DEADLINE` | [`ClientBuilder::deadline`], in seconds | none |
    /// | `LLM_MAX_RETRIES` | [`RetryPolicy::max_retries`] | 3 |
    /// | `LLM_MAX_RETRY_AFTER` | [`RetryPolicy::max_retry_after`], in seconds | 60 |
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
    /// three are optional, and so are `audio_input`, `audio_output` and `web_search`, in dollars per thousand searches.
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
        let dialect = match get("LLM_DIALECT")? {
            Some(name) => {
                let named = |e: Error| Error::config(format!("LLM_DIALECT: {}", e.message()));
                Some(name.parse::<DialectName>().map_err(named)?)
            }
            None => None,
        };
        let mut provider_by_default = false;
        let provider = match get("LLM_PROVIDER")? {
            Some(name) => name
                .parse()
                .map_err(|e: Error| Error::config(format!("LLM_PROVIDER: {}", e.message())))?,
            None => {
                let speaks = |of: &Provider| {
                    dialect.is_none_or(|dialect| of.dialect_names().contains(&dialect))
                };
                let is_set = |name| get(name).is_ok_and(|value| value.is_some());
                let mut all = Provider::all().filter(speaks);
                let with_key = all.find(|of| of.credential_variables().any(is_set));
                provider_by_default = with_key.is_none();
                let first = with_key.or_else(|| Provider::all().find(speaks));
                first.unwrap_or(Provider::Anthropic)
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
        if let Some(max) = seconds(get, "LLM_MAX_RETRY_AFTER")? {
            retry.max_retry_after = max;
        }
        let mut builder = Client::builder(provider).limits(limits).retry(retry);
        builder.provider_by_default = provider_by_default;
        for (name, timeout) in [
            ("LLM_TIMEOUT", &mut builder.timeouts.timeout),
            ("LLM_REPLY_TIMEOUT", &mut builder.timeouts.reply),
            ("LLM_DEADLINE", &mut builder.timeouts.deadline),
        ] {
            *timeout = seconds(get, name)?;
            if timeout.is_some_and(|timeout| timeout.is_zero()) {
                return Err(Error::config(format!(
                    "{name} is 0: it must be a number of seconds, more than 0"
                )));
            }
        }
        if let Some(dialect) = dialect {
            builder = builder.dialect(dialect);
        }
        if let Some(model) = get("LLM_MODEL")? {
            builder = builder.model(model.trim());
        }
        let is_key = |name: &&str| get(name).is_ok_and(|value| value.is_some());
        if let Some(key) = first(row.key_variables).transpose()? {
            let name = row.key_variables.iter().find(|name| is_key(name));
            check(name.unwrap_or(&""), key.trim())?;
            builder = builder.api_key(key);
        } else if let Some(token) = row.token_variable.map(get).transpose()?.flatten() {
            check(row.token_variable.unwrap_or_default(), token.trim())?;
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
        tracker = tracker.budget(Budget::monthly(DEFAULT_BUDGET, limit)?);
    }
    if let Some(ledger) = get("LLM_LEDGER")? {
        let ledger = ledger.trim();
        let named = |e: Error| Error::config(format!("LLM_LEDGER: {}", e.message()));
        tracker = match scheme(ledger).map(str::to_ascii_lowercase).as_deref() {
            Some("redis" | "rediss") => redis::connect(tracker, ledger).map_err(named)?,
            Some("http" | "https") => {
                let token = get("LLM_LEDGER_TOKEN")?.unwrap_or_default();
                check("LLM_LEDGER_TOKEN", token.trim())?;
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
            let path = quote(&path);
            Error::config(format!("LLM_PRICES is {path}, which cannot be read")).with_source(e)
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
        let accepted = [
            "input",
            "output",
            "cache_read",
            "cache_write",
            "cache_write_1h",
            "audio_input",
            "audio_output",
            "web_search",
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
            Ok(Some(usd))
        };
        let required =
            |name: &str| field(name)?.ok_or_else(|| wrong(format!("{model}.{name} is missing")));
        let (input, output) = (required("input")?, required("output")?);
        let or_input = |name: &str| Ok::<_, Error>(field(name)?.unwrap_or(input));
        let audio_output = field("audio_output")?.unwrap_or(output);
        let cache_write = or_input("cache_write")?;
        let hour = field("cache_write_1h")?.unwrap_or(cache_write);
        let mut price = Price::per_million(input, output)
            .cache_per_million(or_input("cache_read")?, cache_write, hour)
            .audio_per_million(or_input("audio_input")?, audio_output);
        if let Some(fee) = field("web_search")? {
            price = price.web_search_per_thousand(fee);
        }
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
            "{name} is {} ({why}): it must be {accepted}",
            quote(&value)
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
mod tests;

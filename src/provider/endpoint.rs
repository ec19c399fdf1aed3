use std::net::IpAddr;

use super::settings::{Setting, Settings, fill, is_segment};
use crate::quote::quote;
use crate::runtime::TRACED;
use crate::url::{shown, split_port, split_scheme};
use crate::{DialectName, Error, Provider, Result};

/// The URL of requests.
#[derive(Clone)]
pub(crate) struct Endpoint {
    /// The whole URL. Its query can contain a secret.
    pub(crate) url: String,
    /// How long its parts are: the scheme, and what stands before the path.
    scheme: usize,
    origin: usize,
    /// Whether it is the provider's own server, not a compatible one.
    pub(crate) is_first_party: bool,
}

impl Endpoint {
    /// The address of a provider's chats, below a base URL or below the provider's own. A base URL may have a path and a query, and
    /// may be the whole address already.
    pub(crate) fn new(
        provider: Provider,
        dialect: DialectName,
        base_url: Option<&str>,
        settings: &Settings,
        model: &str,
    ) -> Result<Self> {
        settings.check(provider)?;
        let own = provider.row().base_url;
        let filled;
        let base_url = match base_url {
            Some(base_url) => base_url,
            None => {
                filled = fill(provider, own, settings)?;
                match provider == Provider::Azure && is_dated(settings) {
                    true => filled.trim_end_matches("/v1"),
                    false => &filled,
                }
            }
        };
        let mut endpoint = Self::read("base URL", base_url, own, true)?;
        endpoint.is_first_party = provider.is_at(endpoint.host());
        let mut query = endpoint.split_query();
        if provider == Provider::Azure {
            endpoint.azure(dialect, settings, model, &mut query)?;
        }
        endpoint.append(provider, dialect);
        if let Some(query) = query {
            endpoint.url.push('?');
            endpoint.url.push_str(&query);
        }
        Ok(endpoint)
    }

    /// Adds the dialect's path, if it is not there yet. It replaces that of another dialect of the provider.
    fn append(&mut self, provider: Provider, dialect: DialectName) {
        fn end(path: &str) -> &str {
            path.strip_prefix("/v1").unwrap_or(path)
        }
        let path = dialect.path();
        let end_of_path = end(path);
        if self.path().ends_with(end_of_path) {
            return;
        }
        let others = provider.dialect_names().iter();
        let mut others = others.map(|other| end(other.path()));
        if let Some(other) = others.find(|other| self.path().ends_with(other)) {
            self.url.truncate(self.url.len() - other.len());
        }
        // Anthropic's path brings its own version; many base URLs have it already.
        let path = match self.path().ends_with("/v1") {
            true => end_of_path,
            false => path,
        };
        self.url.push_str(path);
    }

    /// Completes an Azure endpoint, whose path may be given in part: `/openai/v1`, or `/openai/deployments/NAME` with an
    /// `api-version`, which is the older API.
    fn azure(
        &mut self,
        dialect: DialectName,
        settings: &Settings,
        model: &str,
        query: &mut Option<String>,
    ) -> Result<()> {
        let version = settings.get(Setting::ApiVersion);
        let deployment = settings.get(Setting::Deployment);
        let dated = is_dated(settings);
        let path = self.path();
        // The Responses API has no path of a deployment: the model of the request names it.
        let names_model = dialect == DialectName::OpenAiResponses;
        if names_model && (path.contains("/deployments/") || (dated && deployment.is_some())) {
            return Err(Error::config(
                "the dialect openai-responses has no deployment in its URL: set the model to the deployment's name instead",
            ));
        }
        let is_whole = path.contains("/deployments/")
            || ["/v1", "/models", "/chat/completions", "/responses"]
                .into_iter()
                .any(|end| path.ends_with(end));
        if let Some(version) = version
            && query.is_none()
            && (!path.ends_with("/v1") || !dated)
        {
            *query = Some(["api-version=", version].concat());
        }
        if is_whole {
            return Ok(());
        }
        if !path.ends_with("/openai") {
            self.url.push_str("/openai");
        }
        if !dated {
            if deployment.is_some() && query.is_none() {
                return Err(Error::config(
                    "the deployment needs an api_version, such as 2024-10-21; without one the deployment's name is the model",
                ));
            }
            self.url.push_str("/v1");
            return Ok(());
        }
        if names_model {
            return Ok(());
        }
        // As in OpenAI's SDK, the model is the name of the deployment if none is given.
        let deployment = deployment.unwrap_or(model);
        // A client without a model has no deployment until a request names one.
        if !deployment.is_empty() && !is_segment(deployment, b"-._") {
            let message = [
                "the api_version needs a deployment, and the model ",
                &quote(deployment),
                " is no name of one: set the deployment (AZURE_OPENAI_DEPLOYMENT)",
            ];
            return Err(Error::config(message.concat()));
        }
        self.url.push_str("/deployments/");
        self.url.push_str(deployment);
        Ok(())
    }

    /// An address as it is, without a slash at its end. Errors say `what` it is, and an `example` of it.
    pub(crate) fn parse(what: &str, base: &str, example: &str) -> Result<Self> {
        Self::read(what, base, example, false)
    }

    fn read(what: &str, base: &str, example: &str, may_have_query: bool) -> Result<Self> {
        let wrong = |why: &str| {
            let given = quote(&shown(base));
            Error::config(
                [
                    "the ",
                    what,
                    " ",
                    &given,
                    " ",
                    why,
                    ": it should look like \"",
                    example,
                    "\"",
                ]
                .concat(),
            )
        };
        let trimmed = base.trim();
        let Some((scheme, rest)) = split_scheme(trimmed) else {
            return Err(wrong("has no scheme"));
        };
        if scheme != "http" && scheme != "https" {
            return Err(wrong("is neither http nor https"));
        }
        if trimmed.bytes().any(|b| !b.is_ascii_graphic()) {
            return Err(wrong("holds characters that an address cannot have"));
        }
        if rest.contains('#') || (!may_have_query && rest.contains('?')) {
            return Err(wrong(match may_have_query {
                true => "has a fragment",
                false => "has a query or a fragment",
            }));
        }
        let (rest, query) = match rest.split_once('?') {
            Some((rest, query)) => (rest, Some(query)),
            None => (rest, None),
        };
        let slash = rest.find('/').unwrap_or(rest.len());
        let (authority, path) = rest.split_at_checked(slash).unwrap_or((rest, ""));
        if authority.contains('@') {
            return Err(wrong(
                "holds a user name or password; keys go into the API key",
            ));
        }
        let (host, port) = split_port(authority);
        if host.is_empty() {
            return Err(wrong("has no host"));
        }
        if host.contains(['{', '}']) {
            return Err(wrong("has a placeholder that is not filled in"));
        }
        if port.is_some_and(|port| port.parse::<u16>().is_err()) {
            return Err(wrong("has a port that is no number up to 65535"));
        }
        let mut url = [scheme, "://", authority, path.trim_end_matches('/')].concat();
        if let Some(query) = query.filter(|query| !query.is_empty()) {
            url.push('?');
            url.push_str(query);
        }
        Ok(Self {
            url,
            scheme: scheme.len(),
            origin: scheme.len() + "://".len() + authority.len(),
            is_first_party: false,
        })
    }

    pub(super) fn split_query(&mut self) -> Option<String> {
        let at = self.url.find('?')?;
        let query = self.url.get(at + 1..).map(str::to_owned);
        self.url.truncate(at);
        query
    }

    /// Scheme, host and port.
    pub(crate) fn origin(&self) -> &str {
        self.url.get(..self.origin).unwrap_or_default()
    }

    /// Whether both have the same origin.
    pub(crate) fn is_same_origin(&self, other: &Self) -> bool {
        let is_https = |of: &Self| of.url.starts_with("https:");
        let port = |of: &Self| of.port().unwrap_or(if is_https(of) { 443 } else { 80 });
        is_https(self) == is_https(other)
            && port(self) == port(other)
            && self.host().eq_ignore_ascii_case(other.host())
    }

    /// Host and port, as they stand in the `Host` header.
    pub(crate) fn authority(&self) -> &str {
        let authority = self.scheme + "://".len()..self.origin;
        self.url.get(authority).unwrap_or_default()
    }

    pub(crate) fn host(&self) -> &str {
        split_port(self.authority()).0
    }

    /// Warns if a secret would be sent without encryption to another machine.
    pub(crate) fn warn_if_unencrypted(&self, secret: &str) {
        // std's parser of addresses is left out where nothing is logged.
        if !TRACED || !self.url.starts_with("http:") {
            return;
        }
        let host = self.host().to_ascii_lowercase();
        let address = host.trim_matches(['[', ']']).parse::<IpAddr>();
        let is_loopback = host == "localhost"
            || host.ends_with(".localhost")
            || address.is_ok_and(|address| address.to_canonical().is_loopback());
        if !is_loopback {
            let server = self.origin();
            tracing::warn!(
                server,
                "{secret} is sent without encryption: use an https:// URL"
            );
        }
    }

    pub(crate) fn port(&self) -> Option<u16> {
        split_port(self.authority()).1?.parse().ok()
    }

    /// Path and query as a request asks for them: "/" where there is no path (RFC 9112 section 3.2.1).
    pub(crate) fn path(&self) -> String {
        match self.url.get(self.origin..) {
            None | Some("") => "/".to_owned(),
            Some(query) if query.starts_with('?') => ["/", query].concat(),
            Some(path) => path.to_owned(),
        }
    }
}

/// Whether Azure's API version is a date, which the v1 API does not know.
fn is_dated(settings: &Settings) -> bool {
    let version = settings.get(Setting::ApiVersion);
    version.is_some_and(|version| version.starts_with(|c: char| c.is_ascii_digit()))
}

#[cfg(test)]
mod tests;

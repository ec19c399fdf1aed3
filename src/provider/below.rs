//! Other addresses below a client's base URL.

use super::endpoint::Endpoint;
use crate::quote::quote;
use crate::{DialectName, Error, Result};

/// What Azure has below each deployment, as in OpenAI's SDK (`azure.js`). Everything else is beside the deployments.
const OF_DEPLOYMENTS: [&str; 8] = [
    "/completions",
    "/chat/completions",
    "/embeddings",
    "/audio/transcriptions",
    "/audio/translations",
    "/audio/speech",
    "/images/generations",
    "/images/edits",
];

impl Endpoint {
    /// Returns the endpoint of a path beside the chats of a dialect: of `/files`, `https://api.openai.com/v1/files`. The query is added
    /// to the endpoint's own.
    ///
    /// # Errors
    /// `Config` for a path that could lead elsewhere, or that no URL can have.
    pub(crate) fn below(
        &self,
        dialect: DialectName,
        path: &str,
        query: Option<&str>,
    ) -> Result<Self> {
        check_path(path)?;
        let mut endpoint = self.clone();
        let own_query = endpoint.split_query();
        let chats = dialect.path();
        let chats = chats.strip_prefix("/v1").unwrap_or(chats);
        let base = endpoint.url.strip_suffix(chats);
        let base = base.unwrap_or(&endpoint.url);
        let base = match base.rsplit_once("/deployments/") {
            Some((before, _)) if !OF_DEPLOYMENTS.contains(&path) => before,
            _ => base,
        };
        endpoint.url = [base, path].concat();
        endpoint.set_query(own_query);
        endpoint.add_query(query)?;
        Ok(endpoint)
    }

    /// Adds the fields of a query. A field that the endpoint's own query has is left out: it is the client's.
    ///
    /// # Errors
    /// `Config` for a query that no URL can have.
    pub(crate) fn add_query(&mut self, query: Option<&str>) -> Result<()> {
        let query = query.unwrap_or_default();
        if let Some(byte) = query.bytes().find(|byte| !is_query_byte(*byte)) {
            return Err(cannot_have("query", query, byte));
        }
        let own = self.split_query();
        let name = |field: &str| field.split('=').next().unwrap_or_default().to_owned();
        let own_names: Vec<String> = own
            .iter()
            .flat_map(|own| own.split('&'))
            .map(name)
            .collect();
        let mut fields: Vec<&str> = own.as_deref().into_iter().collect();
        let added = query.split('&').filter(|field| !field.is_empty());
        fields.extend(added.filter(|field| !own_names.contains(&name(field))));
        let joined = fields.join("&");
        self.set_query(Some(joined).filter(|joined| !joined.is_empty()));
        Ok(())
    }

    fn set_query(&mut self, query: Option<String>) {
        if let Some(query) = query {
            self.url.push('?');
            self.url.push_str(&query);
        }
    }
}

fn is_query_byte(byte: u8) -> bool {
    byte.is_ascii_graphic() && byte != b'#'
}

#[cold]
fn cannot_have(what: &str, text: &str, byte: u8) -> Error {
    let byte = quote(&char::from(byte).to_string());
    let message = ["the ", what, " ", &quote(text), " has ", &byte];
    Error::config([&message.concat(), ", which must be percent-encoded"].concat())
}

/// Checks that a path stays below the one it is added to, however often a server decodes it.
fn check_path(path: &str) -> Result<()> {
    let wrong = |why: &str| Error::config(["the path ", &quote(path), " ", why].concat());
    if !path.starts_with('/') {
        return Err(wrong(
            "must begin with a slash: it is below the base URL, as in \"/files\"",
        ));
    }
    if let Some(byte) = path
        .bytes()
        .find(|byte| !is_query_byte(*byte) || *byte == b'?')
    {
        return Err(cannot_have("path", path, byte));
    }
    let decoded = decoded(path);
    let mut segments = decoded.split(['/', '\\', ';']);
    if segments.any(|segment| segment == "." || segment == "..") {
        return Err(wrong("has a segment of dots, which leads elsewhere"));
    }
    if decoded.contains("//") || decoded.starts_with("/\\") {
        return Err(wrong("has two slashes in a row"));
    }
    Ok(())
}

/// Decodes the escapes that lead elsewhere, until none is left.
fn decoded(path: &str) -> String {
    let mut decoded = String::with_capacity(path.len());
    for byte in path.to_ascii_lowercase().chars() {
        decoded.push(byte);
        // What is decoded can end another escape.
        while let Some(at) = decoded.len().checked_sub(3) {
            let byte = match decoded.get(at..) {
                Some("%2e") => '.',
                Some("%2f") => '/',
                Some("%5c") => '\\',
                Some("%25") => '%',
                _ => break,
            };
            decoded.truncate(at);
            decoded.push(byte);
        }
    }
    decoded
}

#[cfg(test)]
mod tests {
    use super::super::settings::{Setting, Settings};
    use super::*;
    use crate::Provider;

    fn endpoint(provider: Provider, base_url: Option<&str>, settings: &Settings) -> Endpoint {
        Endpoint::new(provider, provider.dialect_name(), base_url, settings, "m").unwrap()
    }

    #[test]
    fn paths_are_below_the_version_of_the_base_url() {
        for (provider, base_url, path, query, url) in [
            (
                Provider::OpenAi,
                None,
                "/files",
                None,
                "https://api.openai.com/v1/files",
            ),
            (
                Provider::Anthropic,
                None,
                "/models",
                Some("limit=9"),
                "https://api.anthropic.com/v1/models?limit=9",
            ),
            (
                Provider::Anthropic,
                Some("http://a/x/v1?key=k&b"),
                "/models/a%2Fb",
                Some("limit=1&key=other&&after_id=%20"),
                "http://a/x/v1/models/a%2Fb?key=k&b&limit=1&after_id=%20",
            ),
            (
                Provider::OpenAi,
                Some("http://a/chat/completions"),
                "/e/",
                Some(""),
                "http://a/e/",
            ),
            (
                Provider::DeepSeek,
                None,
                "/models",
                None,
                "https://api.deepseek.com/models",
            ),
        ] {
            let endpoint = endpoint(provider, base_url, &Settings::default());
            let below = endpoint.below(provider.dialect_name(), path, query);
            assert_eq!(below.unwrap().url, url);
        }
    }

    #[test]
    fn of_azure_only_what_a_deployment_offers_is_below_it() {
        let mut settings = Settings::default();
        settings.set(Setting::Resource, "r");
        settings.set(Setting::ApiVersion, "2024-10-21");
        let azure = endpoint(Provider::Azure, None, &settings);
        for (path, url) in [
            (
                "/embeddings",
                "https://r.openai.azure.com/openai/deployments/m/embeddings?api-version=2024-10-21",
            ),
            (
                "/models",
                "https://r.openai.azure.com/openai/models?api-version=2024-10-21",
            ),
        ] {
            let below = azure.below(DialectName::OpenAiChat, path, None);
            assert_eq!(below.unwrap().url, url);
        }
    }

    #[test]
    fn no_path_leaves_the_base_url() {
        let endpoint = endpoint(Provider::OpenAi, None, &Settings::default());
        for (path, query, says) in [
            ("files", None, "begin with a slash"),
            ("https://evil.example/", None, "begin with a slash"),
            ("", None, "begin with a slash"),
            ("//evil.example/", None, "two slashes"),
            ("/\\evil.example/", None, "two slashes"),
            ("/a//b", None, "two slashes"),
            ("/a/%2Fb", None, "two slashes"),
            ("/../x", None, "dots"),
            ("/a/..", None, "dots"),
            ("/./x", None, "dots"),
            ("/%2e%2E/x", None, "dots"),
            ("/a%2f..%2fx", None, "dots"),
            ("/a\\..\\x", None, "dots"),
            ("/%252e%252e/x", None, "dots"),
            ("/..;/x", None, "dots"),
            ("/a b", None, "\" \""),
            ("/a?b", None, "\"?\""),
            ("/a#b", None, "\"#\""),
            ("/a\r\nb", None, "\"\\r\""),
            ("/a", Some("b c"), "\" \""),
            ("/a", Some("b#c"), "\"#\""),
        ] {
            let error = endpoint.below(DialectName::OpenAiChat, path, query);
            let error = error.err().unwrap_or_else(|| panic!("{path:?} {query:?}"));
            assert!(error.message().contains(says), "{path:?}: {error}");
        }
        for path in ["/...", "/a.b", "/a..b", "/%2e%2ex", "/a%2Fb"] {
            assert!(
                endpoint.below(DialectName::OpenAiChat, path, None).is_ok(),
                "{path}"
            );
        }
    }
}

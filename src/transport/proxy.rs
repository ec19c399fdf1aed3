use std::ffi::OsString;

use crate::{Error, Result};

/// The proxy setting of a client. It does not implement `Debug`, because a URL can hold a password.
#[cfg_attr(target_family = "wasm", allow(dead_code))]
#[derive(Clone, Default)]
pub(crate) enum Proxy {
    /// The proxy of the process's environment, otherwise the system's.
    #[default]
    Environment,
    /// The proxy that these variables name, otherwise as for `Environment`.
    Variables(ProxyVariables),
    None,
    Url(String),
}

/// The proxy variables that are set, such as `HTTPS_PROXY`, with their values. The names are curl's.
#[cfg_attr(target_family = "wasm", allow(dead_code))]
#[derive(Clone)]
pub(crate) struct ProxyVariables(Vec<(&'static str, String)>);

#[cfg_attr(target_family = "wasm", allow(dead_code))]
impl ProxyVariables {
    const HTTPS: [&str; 2] = ["HTTPS_PROXY", "https_proxy"];
    const HTTP: [&str; 2] = ["HTTP_PROXY", "http_proxy"];
    const ALL: [&str; 2] = ["ALL_PROXY", "all_proxy"];
    const NO_PROXY: [&str; 2] = ["NO_PROXY", "no_proxy"];
    /// Set by servers that run CGI programs.
    const CGI: &str = "REQUEST_METHOD";

    pub(crate) fn read(get: impl Fn(&str) -> Result<Option<String>>) -> Result<Self> {
        let names = [Self::HTTPS, Self::HTTP, Self::ALL, Self::NO_PROXY];
        let mut variables = Vec::new();
        for name in names.into_iter().flatten().chain([Self::CGI]) {
            if let Some(value) = get(name)? {
                variables.push((name, value));
            }
        }
        // In a CGI program, `HTTP_PROXY` holds the `Proxy` header of the incoming request (CVE-2016-5385).
        if variables.iter().any(|(name, _)| *name == Self::CGI) {
            variables.retain(|(name, _)| *name != "HTTP_PROXY");
        }
        Ok(Self(variables))
    }

    /// Reads the variables of the process's environment.
    pub(crate) fn from_env() -> Result<Self> {
        Self::read(|name| env_text(name, std::env::var_os(name)))
    }

    fn first(&self, names: impl IntoIterator<Item = &'static str>) -> Option<(&'static str, &str)> {
        names.into_iter().find_map(|name| {
            let (_, value) = self.0.iter().find(|(set, _)| *set == name)?;
            Some((name, &**value))
        })
    }

    /// Returns the name and the value of the variable that sets the proxy for HTTPS or HTTP targets.
    pub(crate) fn proxy_for(&self, https: bool) -> Option<(&'static str, &str)> {
        let names = if https { Self::HTTPS } else { Self::HTTP };
        self.first(names.into_iter().chain(Self::ALL))
    }

    /// Returns the hosts that are reached without a proxy, as `NO_PROXY` lists them.
    pub(crate) fn no_proxy(&self) -> &str {
        self.first(Self::NO_PROXY).map_or("", |(_, value)| value)
    }
}

/// Returns an environment variable's text, or `None` if it is unset or blank.
pub(crate) fn env_text(name: &str, value: Option<OsString>) -> Result<Option<String>> {
    match value.map(OsString::into_string).transpose() {
        Ok(value) => Ok(value.filter(|value| !value.trim().is_empty())),
        // The value can be a key, so the error does not show it.
        Err(_) => Err(Error::config(format!("{name} is not UTF-8 text"))),
    }
}

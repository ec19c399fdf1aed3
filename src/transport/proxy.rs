use std::ffi::OsString;

use crate::{Error, Result};

/// Through which proxy connections are made. It has no `Debug`, since a URL can hold a password.
#[cfg_attr(target_family = "wasm", allow(dead_code))]
#[derive(Clone, Default)]
pub(crate) enum Proxy {
    /// The one that the process's environment names, else the system's.
    #[default]
    Environment,
    /// The one that these variables name, else as for `Environment`.
    Variables(ProxyVariables),
    None,
    Url(String),
}

/// The variables by which curl and others are told of proxies, as far as they are set.
#[cfg_attr(target_family = "wasm", allow(dead_code))]
#[derive(Clone)]
pub(crate) struct ProxyVariables(Vec<(&'static str, String)>);

#[cfg_attr(target_family = "wasm", allow(dead_code))]
impl ProxyVariables {
    const HTTPS: [&str; 2] = ["HTTPS_PROXY", "https_proxy"];
    const HTTP: [&str; 2] = ["HTTP_PROXY", "http_proxy"];
    const ALL: [&str; 2] = ["ALL_PROXY", "all_proxy"];
    const EXCEPT: [&str; 2] = ["NO_PROXY", "no_proxy"];
    /// Set by servers that run CGI programs.
    const CGI: &str = "REQUEST_METHOD";

    pub(crate) fn read(get: impl Fn(&str) -> Result<Option<String>>) -> Result<Self> {
        let names = [Self::HTTPS, Self::HTTP, Self::ALL, Self::EXCEPT];
        let mut variables = Vec::new();
        for name in names.into_iter().flatten().chain([Self::CGI]) {
            if let Some(value) = get(name)? {
                variables.push((name, value));
            }
        }
        // To a CGI program, this is the `Proxy` header of whoever makes a request (CVE-2016-5385).
        if variables.iter().any(|(name, _)| *name == Self::CGI) {
            variables.retain(|(name, _)| *name != "HTTP_PROXY");
        }
        Ok(Self(variables))
    }

    /// Those of the process's environment.
    pub(crate) fn of_environment() -> Result<Self> {
        Self::read(|name| text(name, std::env::var_os(name)))
    }

    fn first(&self, names: impl IntoIterator<Item = &'static str>) -> Option<(&'static str, &str)> {
        names.into_iter().find_map(|wanted| {
            let set = self.0.iter().find(|(name, _)| *name == wanted)?;
            Some((set.0, &*set.1))
        })
    }

    /// The variable that names a proxy for a target, and its value.
    pub(crate) fn proxy_for(&self, https: bool) -> Option<(&'static str, &str)> {
        let own = if https { Self::HTTPS } else { Self::HTTP };
        self.first(own.into_iter().chain(Self::ALL))
    }

    /// The targets to which connections are made directly.
    pub(crate) fn except(&self) -> &str {
        self.first(Self::EXCEPT).map_or("", |(_, value)| value)
    }
}

/// A variable's text; none where it is unset or empty.
pub(crate) fn text(name: &str, value: Option<OsString>) -> Result<Option<String>> {
    match value.map(OsString::into_string).transpose() {
        Ok(value) => Ok(value.filter(|value| !value.trim().is_empty())),
        // The value is not shown: it can be a key.
        Err(_) => Err(Error::config(format!("{name} is not UTF-8 text"))),
    }
}

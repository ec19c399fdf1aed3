/// The response headers that mean something to a client. Browsers show no others without the server's
/// leave, so nothing may hang on others.
#[derive(Debug, Default)]
pub(crate) struct ResponseHeaders(Vec<(&'static str, String)>);

impl ResponseHeaders {
    const READ: [&'static str; 7] = [
        "content-type",
        "request-id",
        "x-request-id",
        "retry-after",
        "retry-after-ms",
        "x-should-retry",
        "location",
    ];

    /// Asks for each of them.
    pub(crate) fn read(get: impl Fn(&'static str) -> Option<String>) -> Self {
        let found = Self::READ
            .into_iter()
            .filter_map(|name| Some((name, get(name)?)));
        Self(found.collect())
    }

    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        let found = self.0.iter().find(|(known, _)| *known == name);
        found.map(|(_, value)| value.as_str())
    }
}

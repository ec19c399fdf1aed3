//! A `fetch` of the caller's, on WebAssembly.

crate::runtime::wasm_only! {
    use super::builder::ClientBuilder;
    use super::handle::Client;

    impl ClientBuilder {
        /// Sets the function that is called in place of the global `fetch` (WebAssembly only), such as that of a Worker's service
        /// binding, or of a test.
        ///
        /// It is called with a URL and the options of [`fetch`](https://developer.mozilla.org/en-US/docs/Web/API/RequestInit):
        /// `method`, `headers` (a plain object), `body` (a `Uint8Array`), `redirect` and `signal`. It returns a `Response` or a promise of
        /// one. If it throws or its promise rejects, the attempt fails with an error of kind `Connect`.
        ///
        /// ```no_run
        /// use js_sys::Function;
        /// use warmline::{Client, Provider};
        ///
        /// let fetch = Function::new_with_args("url, init", "return Response.json({ choices: [] })");
        /// let builder = Client::builder(Provider::OpenAi).api_key("sk-123").fetch(fetch);
        /// ```
        #[must_use]
        pub fn fetch(mut self, fetch: js_sys::Function) -> Self {
            self.fetch = Some(fetch);
            self
        }
    }

    impl Client {
        /// Returns a client that shares everything with this one but calls another function in place of the global `fetch`
        /// (WebAssembly only). See [`ClientBuilder::fetch`].
        ///
        /// This is useful for what differs by call, such as tracing.
        ///
        /// ```no_run
        /// # fn demo(client: warmline::Client, fetch: js_sys::Function) {
        /// let traced = client.with_fetch(fetch);
        /// # }
        /// ```
        #[must_use]
        pub fn with_fetch(&self, fetch: js_sys::Function) -> Self {
            Self {
                transport: self.transport.with_fetch(fetch),
                ..self.clone()
            }
        }
    }
}

//! Functions of the caller's in place of `fetch`, on WebAssembly.

crate::runtime::wasm_only! {
    use super::handle::Router;

    impl Router {
        /// Returns a router that shares this one's targets and their state but calls other functions in place of the global `fetch`
        /// (WebAssembly only). See [`ClientBuilder::fetch`](crate::ClientBuilder::fetch).
        ///
        /// `fetch` returns the function of a target, whose name it is given. In Workers each call must have functions of its own, because
        /// a request cannot wait for what another request has begun.
        ///
        /// ```no_run
        /// # fn demo(router: warmline::Router, fetch: js_sys::Function) {
        /// let traced = router.with_fetch(|_target| fetch.clone());
        /// # }
        /// ```
        #[must_use]
        pub fn with_fetch(&self, fetch: impl Fn(&str) -> js_sys::Function) -> Self {
            let clients = self.clients.iter().enumerate();
            let clients = clients.map(|(target, of)| {
                let fetch = fetch(self.inner.name(target));
                of.map(|client| client.with_fetch(fetch.clone()))
            });
            Self {
                inner: self.inner.clone(),
                clients: clients.collect(),
            }
        }
    }
}

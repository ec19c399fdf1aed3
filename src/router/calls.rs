//! The calls of a router.

use super::call::{RoutedCall, Source};
use super::conversation::{self, Conversation};
use super::handle::Router;
use super::lookup;
use super::state::Candidate;
use crate::client::whole_reply;
use crate::quote::quote;
use crate::{CallOptions, Error, EventStream, Reply, Request, Result};

impl Router {
    /// Sends a request to a target that serves its model, and waits for the whole reply. See [`Client::chat`](crate::Client::chat).
    ///
    /// The model's name is looked up in this order:
    ///
    /// 1. as a name that targets list ([`Target::model`](crate::Target::model)),
    /// 2. as the default model of a target,
    /// 3. as `NAME/MODEL`, with the name of a target or the id of a provider,
    /// 4. as a target's own name of a model that it lists, or a model that its provider has a price for,
    /// 5. otherwise the request goes to the first target that lists no models.
    ///
    /// # Errors
    /// Those of [`Client::chat`](crate::Client::chat), of the last target that was called. [`Error::attempts`] names the target of each attempt. `Config` if no
    /// target serves the model. `Overloaded` if all targets that serve it are cooling down.
    ///
    /// ```no_run
    /// # async fn demo(router: warmline::Router) -> warmline::Result<()> {
    /// println!("{}", router.chat("Hello").await?.text());
    /// # Ok(()) }
    /// ```
    pub async fn chat(&self, request: impl Into<Request>) -> Result<Reply> {
        whole_reply(&mut *self.call(request.into(), false)?).await
    }

    /// Sends a request to a target that serves its model, and returns a stream of the events of its reply. See [`Client::stream`](crate::Client::stream) and
    /// [`Router::chat`].
    ///
    /// ```no_run
    /// # async fn demo(router: warmline::Router) -> warmline::Result<()> {
    /// let mut stream = router.stream("Tell me a story.");
    /// while let Some(event) = stream.next().await {
    ///     println!("{:?}", event?);
    /// }
    /// # Ok(()) }
    /// ```
    pub fn stream(&self, request: impl Into<Request>) -> EventStream {
        EventStream::new(self.call(request.into(), true))
    }

    fn call(&self, request: Request, stream: bool) -> Result<Box<RoutedCall>> {
        let model = request.model.as_deref().unwrap_or_default();
        let candidates = lookup::resolve(&self.inner.listings, model, None)?;
        self.check(&candidates, &request.options)?;
        let conversation = match candidates.len() {
            1 => {
                let most = request.max_tokens.map(u64::from);
                Conversation::of_one(conversation::text_of(&request), most)
            }
            _ => conversation::of_request(&request, model),
        };
        let source = Source::Request(Box::new(request), stream);
        Ok(RoutedCall::new(self, source, candidates, conversation))
    }

    /// Refuses what belongs to one server where several are possible: nobody's key is sent to another provider.
    pub(super) fn check(&self, candidates: &[Candidate], options: &CallOptions) -> Result<()> {
        if candidates.len() < 2 {
            return Ok(());
        }
        let secret = ["authorization", "x-api-key", "api-key", "x-goog-api-key"];
        let is_secret = |name: &&String| secret.iter().any(|of| name.eq_ignore_ascii_case(of));
        let header = options.headers.iter().map(|(name, _)| name).find(is_secret);
        let what = match (&options.base_url, &options.credentials, header) {
            (Some(_), ..) => "a base URL",
            (_, Some(_), _) => "credentials",
            (.., Some(name)) => &["the header ", &quote(name)].concat(),
            _ => return Ok(()),
        };
        let names = candidates.iter().map(|of| self.inner.name(of.target));
        let names: Vec<_> = names.collect();
        let message = [
            "the request has ",
            what,
            ", which belongs to one target, and several serve its model (",
            &names.join(", "),
            "): name one of them, as in \"",
            names[0],
            "/MODEL\"",
        ];
        Err(Error::config(message.concat()))
    }
}

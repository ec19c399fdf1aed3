//! The calls of a router.

use bytes::Bytes;

use super::call::{RoutedCall, Source};
use super::conversation::{self, Conversation};
use super::handle::Router;
use super::lookup;
use super::state::Candidate;
use crate::client::whole_reply;
use crate::dialect::RequestFacts;
use crate::quote::quote;
use crate::{
    CallOptions, Client, DialectName, Error, EventStream, PassthroughResponse, Reply, Request,
    Result,
};

impl Router {
    /// Sends a request to a target that serves its model, and waits for the whole reply. See [`Client::chat`].
    ///
    /// The model's name is looked up in this order:
    ///
    /// 1. as a name that targets list ([`Target::model`](crate::Target::model)),
    /// 2. as `NAME/MODEL`, with the name of a target or the id of a provider,
    /// 3. as the default model of a target, or one that its provider has a price for,
    /// 4. otherwise the first target that lists no models gets the request.
    ///
    /// # Errors
    /// Those of [`Client::chat`], of the last target that was called. [`Error::attempts`] names the target of each attempt. `Config` if no
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

    /// Sends a request to a target that serves its model, and returns a stream of the events of its reply. See [`Client::stream`] and
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

    /// Sends a body that is written in a dialect already to a target that serves its model in that dialect. See
    /// [`Client::passthrough`].
    ///
    /// If the target has another name for the model, the body's `model` is replaced by that, and nothing else changes.
    ///
    /// # Errors
    /// Those of [`Client::passthrough`] and [`Router::chat`]. `Config` if no target speaks the dialect, or if the model is served in another
    /// dialect only; the message says at which endpoint.
    ///
    /// ```no_run
    /// # async fn demo(router: warmline::Router) -> warmline::Result<()> {
    /// use warmline::DialectName;
    ///
    /// let body = r#"{"model": "fast", "messages": [{"role": "user", "content": "Hi"}], "stream": true}"#;
    /// let mut reply = router.passthrough(DialectName::OpenAiChat, body, []).await?;
    /// while let Some(bytes) = reply.chunk().await {
    ///     print!("{}", String::from_utf8_lossy(&bytes?));
    /// }
    /// # Ok(()) }
    /// ```
    pub async fn passthrough(
        &self,
        dialect: DialectName,
        body: impl Into<Bytes>,
        options: impl Into<CallOptions>,
    ) -> Result<PassthroughResponse> {
        let (body, options) = (body.into(), options.into());
        let (facts, candidates) = self.read(dialect, &body)?;
        let model = facts.model.as_deref().unwrap_or_default();
        self.check(&candidates, &options)?;
        let session = options.conversation.as_deref();
        let conversation = match candidates.len() {
            1 => Conversation::of_one(body.len(), facts.max_completion_tokens.or(facts.max_tokens)),
            _ => conversation::of_body(&body, model, session),
        };
        let source = Source::Body {
            dialect,
            model: model.to_owned(),
            model_at: facts.model_at,
            stream: facts.stream,
            body,
            options: Box::new(options),
        };
        let call = RoutedCall::new(self, source, candidates, conversation);
        PassthroughResponse::begin(call).await
    }

    /// Reads a body, and returns the targets that serve its model.
    pub(super) fn read(
        &self,
        dialect: DialectName,
        body: &[u8],
    ) -> Result<(RequestFacts, Vec<Candidate>)> {
        let speaks = |client: &Client| client.speaking(dialect);
        let Some(speaker) = self.clients.iter().find_map(speaks) else {
            return Err(self.no_speaker(dialect));
        };
        let facts = speaker.dialect().facts(body)?;
        let model = facts.model.as_deref().unwrap_or_default();
        let candidates = lookup::resolve(&self.inner.listings, model, Some(dialect))?;
        Ok((facts, candidates))
    }

    fn no_speaker(&self, dialect: DialectName) -> Error {
        let mut endpoints: Vec<String> = Vec::new();
        for spoken in self.inner.listings.iter().flat_map(|of| &of.dialects) {
            let endpoint = spoken.endpoint();
            if !endpoints.contains(&endpoint) {
                endpoints.push(endpoint);
            }
        }
        let message = [
            "no target speaks the dialect ",
            dialect.name(),
            ": use ",
            &endpoints.join(" or "),
        ];
        Error::config(message.concat())
    }

    /// Refuses what belongs to one server where several are possible: nobody's key is sent to another provider.
    fn check(&self, candidates: &[Candidate], options: &CallOptions) -> Result<()> {
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

//! The models of a provider, and the tokens of requests to them. Neither costs anything.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use http::Method;

use super::exchange::Exchange;
use super::handle::{Client, Inner};
use crate::cost::max_input_tokens;
use crate::dialect::{
    Dialect, EncodeOptions, ModelPage, count_body, count_path, read_count, request_id,
};
use crate::{CallOptions, DialectName, Error, ModelInfo, Provider, Request, Result, TokenCount};

/// The maximum number of pages of a list of models, and of the bytes of each.
const MAX_PAGES: usize = 64;
const MAX_PAGE: usize = 16 << 20;
/// The maximum size of a reply with a count, in bytes.
const MAX_COUNT: usize = 1 << 20;

impl Inner {
    /// Returns the dialect in which the provider counts tokens, if it is not the client's.
    fn counted_as(&self) -> Option<Arc<dyn Dialect>> {
        let is_chat = self.dialect.name() == DialectName::OpenAiChat;
        let other = is_chat && self.provider == Provider::OpenAi;
        let is_first_party = self.endpoint.is_first_party;
        let dialect = other.then(|| {
            self.provider
                .dialect(DialectName::OpenAiResponses, is_first_party)
        });
        dialect?.ok()
    }
}

impl Client {
    /// Returns the models that the provider offers, in the provider's order, from all pages of its list.
    ///
    /// # Errors
    /// Those of [`Client::chat`]; `Decode` for a list of more than 64 pages.
    ///
    /// ```no_run
    /// # async fn demo(client: warmline::Client) -> warmline::Result<()> {
    /// let ids: Vec<String> = client.models().await?.into_iter().map(|model| model.id).collect();
    /// # Ok(()) }
    /// ```
    pub async fn models(&self) -> Result<Vec<ModelInfo>> {
        let mut models: Vec<ModelInfo> = Vec::new();
        // A map of the type that the dialects use too, because a set would be more code in the WebAssembly module.
        let mut known = BTreeMap::new();
        let mut after: Option<String> = None;
        for _ in 0..MAX_PAGES {
            let query = ModelPage::query(self.inner.dialect.name(), after.as_deref());
            let target = ("/models", query.as_deref());
            let options = CallOptions::default();
            let exchange = Exchange::new(self, Method::GET, target, Bytes::new(), &options)?;
            let answer = exchange.fetch(MAX_PAGE).await?;
            let id = request_id(&answer.response.headers);
            let page = ModelPage::read(&answer.body, id.as_deref());
            let page = page.map_err(|e| self.of_provider(e, id.as_deref()))?;
            let before = models.len();
            models.extend(
                page.models
                    .into_iter()
                    .filter(|model| known.insert(model.id.clone(), before).is_none()),
            );
            // A server that pays no regard to the query gives the same page again.
            if page.next.is_none() || models.len() == before {
                return Ok(models);
            }
            after = page.next;
        }
        let message = format!("the list of models has more than {MAX_PAGES} pages");
        Err(self.of_provider(Error::decode(message), None))
    }

    /// Returns the number of input tokens of a request, as the provider counts them. If the provider cannot be asked, returns an upper bound.
    ///
    /// The provider is asked if it is OpenAI, or if the client speaks `anthropic` or `openai-responses`. If the server answers that it has no such
    /// endpoint (404, 405 or 501), the upper bound is returned. A 404 of Anthropic and OpenAI themselves is an error, because it means that
    /// there is no such model.
    ///
    /// The upper bound is the number of tokens for which budgets reserve money, and is several times the true count. A token of text has at
    /// least one byte, and anything that is not text counts as the most that the model accepts.
    ///
    /// # Errors
    /// Those of [`Client::chat`].
    ///
    /// ```no_run
    /// # async fn demo(client: warmline::Client) -> warmline::Result<()> {
    /// let count = client.count_tokens("Why is the sky blue?").await?;
    /// println!("{} tokens", count.input_tokens);
    /// # Ok(()) }
    /// ```
    pub async fn count_tokens(&self, request: impl Into<Request>) -> Result<TokenCount> {
        let request = request.into();
        let dialect = self.inner.dialect.as_ref();
        let model = request.model.as_deref().unwrap_or(&self.inner.model);
        request.validate()?;
        let options = EncodeOptions::new(model);
        let body = dialect.body(&request, &options)?;
        // OpenAI counts requests of its Responses API only. What that API cannot express has an upper bound.
        let counted = match self.inner.counted_as() {
            Some(other) => other
                .body(&request, &options)
                .ok()
                .map(|body| (other.name(), Bytes::from(body))),
            None => Some((dialect.name(), Bytes::from(body.clone()))),
        };
        self.count(counted, body.as_bytes(), &request.options).await
    }

    /// Returns the number of input tokens of a request that is in the provider's own dialect already; see
    /// [`count_tokens`](Self::count_tokens). `options` are headers, or any [`CallOptions`].
    ///
    /// # Errors
    /// Those of [`Client::passthrough`].
    ///
    /// ```no_run
    /// # async fn demo(client: warmline::Client) -> warmline::Result<()> {
    /// let body = r#"{"model": "claude-sonnet-4-5", "messages": [{"role": "user", "content": "Hi"}]}"#;
    /// let count = client.passthrough_count_tokens(body, []).await?;
    /// # Ok(()) }
    /// ```
    pub async fn passthrough_count_tokens(
        &self,
        body: impl Into<Bytes>,
        options: impl Into<CallOptions>,
    ) -> Result<TokenCount> {
        let body = body.into();
        let counted = Some((self.inner.dialect.name(), body.clone()));
        self.count(counted, &body, &options.into()).await
    }

    /// Asks for the count of a body in the dialect of an endpoint for that, if there is one, or else bounds that of the client's own body.
    async fn count(
        &self,
        counted: Option<(DialectName, Bytes)>,
        body: &[u8],
        options: &CallOptions,
    ) -> Result<TokenCount> {
        let Inner {
            provider,
            endpoint,
            dialect,
            ..
        } = &*self.inner;
        let facts = dialect.facts(body)?;
        if let Some((counting, body)) = counted
            && let Some(path) = count_path(counting)
        {
            let asked = count_body(counting, &body)?.into();
            let exchange = Exchange::new(self, Method::POST, (path, None), asked, options)?;
            match exchange.repeatable().fetch(MAX_COUNT).await {
                Ok(answer) => {
                    let id = request_id(&answer.response.headers);
                    let count = read_count(&answer.body, id.as_deref());
                    return count.map_err(|e| self.of_provider(e, id.as_deref()));
                }
                Err(error) if self.lacks_endpoint(&error) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(TokenCount {
            input_tokens: max_input_tokens(
                *provider,
                &**dialect,
                endpoint.host(),
                &facts,
                body.len(),
            ),
            is_upper_bound: true,
            raw: None,
        })
    }

    /// Whether an error says that the server has no endpoint for counts. The providers that have one say so of a model.
    fn lacks_endpoint(&self, error: &Error) -> bool {
        let has_one = self.inner.endpoint.is_first_party
            && [Provider::Anthropic, Provider::OpenAi].contains(&self.inner.provider);
        matches!(error.status(), Some(404 | 405 | 501)) && !has_one
    }

    fn of_provider(&self, error: Error, request_id: Option<&str>) -> Error {
        error
            .with_provider(self.inner.provider)
            .with_request_id(request_id)
    }
}

//! What the handlers of a gateway share.

use axum::http::{HeaderMap, StatusCode};
use tokio::sync::watch;
use warmline::{Client, Provider};

use crate::api_error::ApiError;
use crate::api_keys::ApiKeys;
use crate::metrics::Metrics;

pub(crate) struct GatewayState {
    pub(crate) clients: Vec<Client>,
    /// If `None`, callers need no key.
    pub(crate) api_keys: Option<ApiKeys>,
    pub(crate) metrics: Metrics,
    /// The maximum size of a request body, in bytes.
    pub(crate) max_body: usize,
    /// Whether the gateway is shutting down.
    pub(crate) shutdown: watch::Sender<bool>,
}

impl GatewayState {
    pub(crate) fn authenticate(&self, headers: &HeaderMap) -> Result<(), ApiError> {
        match &self.api_keys {
            Some(api_keys) => api_keys.authenticate(headers).map(drop),
            None => Ok(()),
        }
    }

    /// Returns the client of a provider, on the budget of the caller whose key the request has.
    pub(crate) fn authorize(
        &self,
        provider: Provider,
        headers: &HeaderMap,
    ) -> Result<Client, ApiError> {
        let budget = match &self.api_keys {
            Some(api_keys) => api_keys.authenticate(headers)?,
            None => None,
        };
        let client = self.client(provider)?;
        Ok(match budget {
            Some(budget) => client.with_cost_tracker(client.cost_tracker().clone().budget(budget)),
            None => client.clone(),
        })
    }

    fn client(&self, provider: Provider) -> Result<&Client, ApiError> {
        let mut clients = self.clients.iter();
        clients
            .find(|client| client.provider() == provider)
            .ok_or_else(|| {
                let key = provider.key_variable();
                let message = format!(
                    "this gateway has no client for {provider}: set {key} for `warmline serve` (in code: GatewayBuilder::client)"
                );
                ApiError::new(StatusCode::SERVICE_UNAVAILABLE, "not_configured", message)
            })
    }
}

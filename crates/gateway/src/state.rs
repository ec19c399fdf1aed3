//! What the handlers of a gateway share.

use std::sync::Arc;

use axum::http::{HeaderMap, StatusCode};
use serde_json::{Value, json};
use tokio::sync::watch;
use warmline::{Client, Error, Provider};

use crate::accounts::{Account, Accounts};
use crate::api_error::ApiError;
use crate::latest_event::LatestEvent;
use crate::metrics::Metrics;
use crate::request_body::BodyLimits;

pub(crate) struct GatewayState {
    pub(crate) clients: Vec<Client>,
    /// If `None`, callers need no key.
    pub(crate) accounts: Option<Accounts>,
    pub(crate) metrics: Metrics,
    pub(crate) body_limits: BodyLimits,
    pub(crate) latest_event: LatestEvent,
    /// Whether the gateway is shutting down.
    pub(crate) shutdown: watch::Sender<bool>,
}

/// What a caller may see of the statistics.
pub(crate) enum View {
    All,
    /// Only what the caller itself has spent.
    Own(Arc<Account>),
}

impl GatewayState {
    /// Returns what the caller of a request may see. Without keys everyone sees everything.
    ///
    /// # Errors
    /// 401 without a valid key.
    pub(crate) fn view(&self, headers: &HeaderMap) -> Result<View, ApiError> {
        let Some(accounts) = &self.accounts else {
            return Ok(View::All);
        };
        let account = accounts.authenticate(headers)?;
        Ok(match account.is_operator() {
            true => View::All,
            false => View::Own(account),
        })
    }

    /// Checks that the caller of a request may see everything.
    ///
    /// # Errors
    /// 401 without a valid key, 403 with one that is not an operator's.
    pub(crate) fn require_operator(&self, headers: &HeaderMap) -> Result<(), ApiError> {
        match self.view(headers)? {
            View::All => Ok(()),
            View::Own(_) => Err(ApiError::new(
                StatusCode::FORBIDDEN,
                "operator_only",
                "this needs the key of an operator, which has \"operator\": true in the gateway's keys; /v1/llm/stats shows what this key has spent",
            )),
        }
    }

    /// Returns the client of a provider, on the budget of the caller whose key the request has.
    ///
    /// # Errors
    /// 401 without a valid key, 503 if there is no client of this provider.
    pub(crate) fn authorize(
        &self,
        provider: Provider,
        headers: &HeaderMap,
    ) -> Result<Client, ApiError> {
        let of = |clients: &[Client]| {
            let mut clients = clients.iter();
            clients
                .find(|client| client.provider() == provider)
                .cloned()
        };
        let client = match &self.accounts {
            Some(accounts) => of(&accounts.authenticate(headers)?.clients),
            None => of(&self.clients),
        };
        client.ok_or_else(|| {
            let key = provider.key_variable();
            let message = format!(
                "this gateway has no client for {provider}: set {key} for `warmline serve` (in code: GatewayBuilder::client)"
            );
            ApiError::new(StatusCode::SERVICE_UNAVAILABLE, "not_configured", message)
        })
    }

    /// The statistics, with at most `samples` samples of each pool.
    ///
    /// # Errors
    /// The ledger's error, if it cannot be reached.
    pub(crate) async fn stats(&self, view: &View, samples: usize) -> Result<Value, Error> {
        match view {
            View::Own(account) => Ok(json!({"spend": account.spend().await?})),
            View::All => {
                let mut stats = self.metrics.stats(samples).await?;
                if let Some(accounts) = &self.accounts {
                    let keys = accounts.spend().await?.into_iter().map(|mut spend| {
                        // The models are in the sum of all keys.
                        spend.models.clear();
                        spend
                    });
                    stats["spend"]["keys"] =
                        serde_json::to_value(keys.collect::<Vec<_>>()).unwrap_or_default();
                }
                Ok(stats)
            }
        }
    }

    /// The metrics in OpenMetrics' text format.
    pub(crate) async fn metrics_text(&self) -> String {
        // Without the ledger the other metrics are still shown; `/readyz` reports the ledger's failure.
        let keys = match &self.accounts {
            Some(accounts) => accounts.spend().await.unwrap_or_default(),
            None => Vec::new(),
        };
        self.metrics.text(&keys).await
    }

    /// Becomes ready when the gateway shuts down.
    pub(crate) async fn shut_down(&self) {
        let mut shutdown = self.shutdown.subscribe();
        let _ = shutdown.wait_for(|shutdown| *shutdown).await;
    }
}

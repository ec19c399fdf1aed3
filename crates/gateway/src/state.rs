//! What the handlers of a gateway share.

use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, PoisonError, RwLock};

use axum::http::{HeaderMap, StatusCode};
use serde_json::{Value, json};
use tokio::sync::watch;
use warmline::{DialectName, Error, Router};

use crate::accounts::{Account, Accounts};
use crate::alert_log::AlertLog;
use crate::api_error::ApiError;
use crate::api_keys::ApiKeys;
use crate::latest_event::LatestEvent;
use crate::metrics::Metrics;
use crate::model_lists::ModelLists;
use crate::paths::PATHS;
use crate::rate_limits::{Reservation, Shared};
use crate::request_body::BodyLimits;

pub(crate) struct GatewayState {
    router: RwLock<Router>,
    /// If `None`, callers need no key.
    pub(crate) accounts: Option<Accounts>,
    /// What the limits of keys are counted in.
    pub(crate) shared: Shared,
    pub(crate) metrics: Metrics,
    pub(crate) body_limits: BodyLimits,
    pub(crate) latest_event: LatestEvent,
    pub(crate) model_lists: ModelLists,
    /// Whether the gateway is shutting down.
    pub(crate) shutdown: watch::Sender<bool>,
}

/// The caller of a request.
pub(crate) struct Caller {
    /// The gateway's router, on the caller's budget.
    pub(crate) router: Router,
    /// `None` if callers need no key.
    account: Option<Arc<Account>>,
}

impl Caller {
    /// Returns the counter of the bytes that the caller's key holds.
    pub(crate) fn held(&self) -> Option<Arc<AtomicUsize>> {
        self.account.as_ref().map(|account| account.held.clone())
    }

    /// Takes a request and `max_tokens` of the limits of the caller's key.
    ///
    /// # Errors
    /// Those of [`RateLimits::reserve`](crate::rate_limits::RateLimits::reserve).
    pub(crate) async fn reserve(
        &self,
        shared: &Shared,
        max_tokens: impl FnOnce() -> Result<u64, Error>,
    ) -> Result<Option<Reservation>, ApiError> {
        match &self.account {
            Some(account) => account.rate_limits().reserve(shared, max_tokens).await,
            None => Ok(None),
        }
    }

    /// Takes a count of tokens of the limits of the caller's key.
    ///
    /// # Errors
    /// Those of [`RateLimits::take_count`](crate::rate_limits::RateLimits::take_count).
    pub(crate) async fn take_count(&self, shared: &Shared) -> Result<(), ApiError> {
        match &self.account {
            Some(account) => account.rate_limits().take_count(shared).await,
            None => Ok(()),
        }
    }

    /// Checks that the caller may use other endpoints of a provider than those that the gateway reads.
    ///
    /// # Errors
    /// 403 if its key may not.
    pub(crate) fn check_other_endpoints(&self, path: &str) -> Result<(), ApiError> {
        let Some(account) = &self.account else {
            return Ok(());
        };
        if account.may_use_other_endpoints() {
            return Ok(());
        }
        let message = format!(
            "the key of {} may not use {path}: \"other_endpoints\" is false for it in the gateway's keys, so there are only {PATHS}",
            account.name()
        );
        let status = StatusCode::FORBIDDEN;
        Err(ApiError::new(status, "other_endpoints", message))
    }
}

/// What a caller may see of the statistics.
pub(crate) enum View {
    All,
    /// Only what the caller itself has spent.
    Own(Arc<Account>),
}

impl GatewayState {
    pub(crate) fn new(
        router: Router,
        accounts: Option<ApiKeys>,
        shared: Shared,
        alerts: AlertLog,
        body_limits: BodyLimits,
    ) -> Self {
        Self {
            metrics: Metrics::new(&router, alerts),
            accounts: accounts.map(|keys| Accounts::new(keys, &router)),
            router: RwLock::new(router),
            shared,
            body_limits,
            latest_event: LatestEvent::default(),
            model_lists: ModelLists::default(),
            shutdown: watch::Sender::new(false),
        }
    }

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

    pub(crate) fn router(&self) -> Router {
        let router = self.router.read().unwrap_or_else(PoisonError::into_inner);
        router.clone()
    }

    /// Replaces the router. Calls that are under way end on the one before.
    pub(crate) fn reroute(&self, router: Router) {
        self.metrics.reroute(&router);
        if let Some(accounts) = &self.accounts {
            accounts.reroute(&router);
        }
        *self.router.write().unwrap_or_else(PoisonError::into_inner) = router;
        // After that, so that no list of the targets from before is kept for the new ones.
        self.model_lists.clear();
    }

    /// Returns the caller whose key the request has, and whether one of the gateway's targets speaks the dialect.
    ///
    /// # Errors
    /// 401 without a valid key, 503 if no target speaks the dialect.
    pub(crate) fn authorize(
        &self,
        dialect: DialectName,
        headers: &HeaderMap,
    ) -> Result<Caller, ApiError> {
        let caller = self.caller(headers)?;
        if caller.router.targets_speaking(dialect).next().is_none() {
            // It says at which paths calls can be made.
            let error = caller.router.route(dialect, "").err();
            let message = error.as_ref().map_or("", Error::message);
            let message = format!(
                "{message}; or add a provider that speaks it to the gateway: its key in the environment of `warmline serve`, a target in the file \
                 of --config (in code: GatewayBuilder::client)"
            );
            let status = StatusCode::SERVICE_UNAVAILABLE;
            return Err(ApiError::new(status, "not_configured", message));
        }
        Ok(caller)
    }

    /// Returns the caller whose key the request has.
    ///
    /// # Errors
    /// 401 without a valid key.
    pub(crate) fn caller(&self, headers: &HeaderMap) -> Result<Caller, ApiError> {
        let account = match &self.accounts {
            Some(accounts) => Some(accounts.authenticate(headers)?),
            None => None,
        };
        let router = match &account {
            Some(account) => account.router.clone(),
            None => self.router(),
        };
        Ok(Caller { router, account })
    }

    /// The statistics, with at most `samples` samples of each pool.
    ///
    /// # Errors
    /// The ledger's error, if it cannot be reached.
    pub(crate) async fn stats(&self, view: &View, samples: usize) -> Result<Value, Error> {
        match view {
            View::Own(account) => Ok(json!({"spend": account.spend().await?})),
            View::All => {
                let mut stats = self.metrics.stats(&self.router(), samples).await?;
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
        self.metrics.text(&self.router(), &keys).await
    }

    /// Becomes ready when the gateway shuts down.
    pub(crate) async fn shut_down(&self) {
        let mut shutdown = self.shutdown.subscribe();
        let _ = shutdown.wait_for(|shutdown| *shutdown).await;
    }
}

//! The callers that have keys: who may do what, and what each has spent.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, PoisonError, RwLock};

use axum::http::{HeaderMap, StatusCode, header};
use futures_util::future::try_join_all;
use serde::Serialize;
use warmline::{BudgetSpend, CostTracker, Error, ModelSpend, Router, Usd};

use crate::api_error::ApiError;
use crate::api_keys::{ApiKey, ApiKeys, KeyHash};
use crate::rate_limits::RateLimits;

/// The accounts of all callers. They can be replaced while the gateway runs.
pub(crate) struct Accounts(RwLock<Arc<[Arc<Account>]>>);

/// A caller that has a key.
pub(crate) struct Account {
    key: ApiKey,
    /// The gateway's router, on the caller's own budget.
    pub(crate) router: Router,
    /// The trackers of its targets by name, and those of targets from before. They are without the budget, which can be changed.
    trackers: Vec<(String, CostTracker)>,
    /// The number of bytes of the key's requests that are held.
    pub(crate) held: Arc<AtomicUsize>,
}

/// What a caller has spent this month.
#[derive(Serialize)]
pub(crate) struct AccountSpend {
    pub(crate) name: String,
    pub(crate) month: String,
    pub(crate) total: Usd,
    /// The part of `total` that is an upper bound.
    pub(crate) estimated: Usd,
    /// `None` if the caller has no budget of its own.
    pub(crate) budget: Option<BudgetSpend>,
    pub(crate) models: Vec<ModelSpend>,
}

impl Accounts {
    pub(crate) fn new(keys: ApiKeys, router: &Router) -> Self {
        let accounts = keys.0.into_iter();
        let accounts = accounts.map(|key| Arc::new(Account::new(key, router, None)));
        Self(RwLock::new(accounts.collect()))
    }

    /// Replaces the keys. A caller whose name stays keeps what it has spent.
    pub(crate) fn replace(&self, keys: ApiKeys, router: &Router) {
        let before = self.all();
        let accounts = keys.0.into_iter().map(|key| {
            let before = before.iter().find(|account| account.key.name == key.name);
            Arc::new(Account::new(key, router, before.map(|account| &**account)))
        });
        let accounts = accounts.collect();
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = accounts;
    }

    /// Replaces the router.
    pub(crate) fn reroute(&self, router: &Router) {
        let keys = self
            .all()
            .iter()
            .map(|account| account.key.clone())
            .collect();
        self.replace(ApiKeys(keys), router);
    }

    pub(crate) fn names(&self) -> Vec<String> {
        let all = self.all();
        all.iter().map(|account| account.key.name.clone()).collect()
    }

    fn all(&self) -> Arc<[Arc<Account>]> {
        let accounts = self.0.read().unwrap_or_else(PoisonError::into_inner);
        accounts.clone()
    }

    /// Finds the caller whose key a request has.
    ///
    /// # Errors
    /// 401 if the request has no key, or one that is unknown or has expired.
    pub(crate) fn authenticate(&self, headers: &HeaderMap) -> Result<Arc<Account>, ApiError> {
        let Presented {
            key,
            header,
            unread,
        } = presented(headers)?;
        let hash = KeyHash::of(key);
        let all = self.all();
        let mut found = None;
        // All are compared, so that the time does not tell which one it is.
        for account in all.iter() {
            if account.key.hash.is(&hash) {
                found = Some(account);
            }
        }
        match found {
            Some(account) if !account.key.is_expired() => Ok(account.clone()),
            Some(_) => Err(unauthorized(format!("the API key in {header} has expired"))),
            None => Err(unauthorized(format!(
                "the API key in {header} is unknown: send one of this gateway's keys{unread}"
            ))),
        }
    }

    /// Returns what each caller has spent.
    ///
    /// # Errors
    /// The ledger's error, if it cannot be reached.
    pub(crate) async fn spend(&self) -> Result<Vec<AccountSpend>, Error> {
        let all = self.all();
        try_join_all(all.iter().map(|account| account.spend())).await
    }
}

impl Account {
    fn new(key: ApiKey, router: &Router, before: Option<&Self>) -> Self {
        let mut trackers = before.map_or_else(Vec::new, |before| before.trackers.clone());
        let mut own = Vec::new();
        for (name, client) in router.targets() {
            let known = trackers.iter().find(|(of, _)| of == name);
            let tracker = match known {
                Some((_, tracker)) => tracker.clone(),
                None => client.cost_tracker().subtotal(),
            };
            if known.is_none() {
                trackers.push((name.to_owned(), tracker.clone()));
            }
            own.push(with_budget(tracker, &key));
        }
        // The router asks for the trackers in the order of its targets.
        let next = AtomicUsize::new(0);
        let router = router.with_cost_trackers(|_| own[next.fetch_add(1, Relaxed)].clone());
        Self {
            router,
            trackers,
            held: before.map_or_else(Arc::default, |before| before.held.clone()),
            key,
        }
    }

    pub(crate) fn rate_limits(&self) -> &RateLimits {
        &self.key.rate_limits
    }

    pub(crate) fn name(&self) -> &str {
        &self.key.name
    }

    pub(crate) fn may_use_other_endpoints(&self) -> bool {
        self.key.other_endpoints
    }

    pub(crate) fn is_operator(&self) -> bool {
        self.key.is_operator
    }

    /// Returns what the caller has spent.
    ///
    /// # Errors
    /// The ledger's error, if it cannot be reached.
    pub(crate) async fn spend(&self) -> Result<AccountSpend, Error> {
        let mut sum = AccountSpend {
            name: self.key.name.clone(),
            month: String::new(),
            total: Usd::ZERO,
            estimated: Usd::ZERO,
            budget: None,
            models: Vec::new(),
        };
        let own = self.key.budget.as_ref().map(|budget| &budget.name);
        for (_, tracker) in &self.trackers {
            let spend = with_budget(tracker.clone(), &self.key).spend().await?;
            sum.month = spend.month;
            sum.total = sum.total + spend.total;
            sum.estimated = sum.estimated + spend.estimated;
            sum.models.extend(spend.models);
            let mut budgets = spend.budgets.into_iter();
            sum.budget = budgets.find(|budget| Some(&budget.name) == own);
        }
        Ok(sum)
    }
}

/// Puts a key's tracker on its budget.
fn with_budget(tracker: CostTracker, key: &ApiKey) -> CostTracker {
    match &key.budget {
        Some(budget) => tracker.budget(budget.clone()),
        None => tracker,
    }
}

/// The key that a request presents.
struct Presented<'a> {
    key: &'a [u8],
    /// The header that has it.
    header: &'static str,
    /// What an error adds about another header.
    unread: &'static str,
}

/// Finds the key of a request: `x-api-key` is read before a bearer token.
fn presented(headers: &HeaderMap) -> Result<Presented<'_>, ApiError> {
    let header = |name| {
        let value = headers.get(name).map(|value| value.as_bytes().trim_ascii());
        value.filter(|value| !value.is_empty())
    };
    let authorization = header(header::AUTHORIZATION.as_str());
    if let Some(key) = header("x-api-key") {
        return Ok(Presented {
            key,
            header: "x-api-key",
            unread: match authorization {
                Some(_) => ", or leave this header out: authorization is not read beside it",
                None => "",
            },
        });
    }
    let Some(authorization) = authorization else {
        return Err(unauthorized(
            "the API key is missing: send one of this gateway's keys as x-api-key or as a bearer token",
        ));
    };
    let (scheme, token) = authorization
        .split_at_checked("bearer ".len())
        .unwrap_or_default();
    match scheme.eq_ignore_ascii_case(b"bearer ") {
        true => Ok(Presented {
            key: token.trim_ascii(),
            header: "authorization",
            unread: "",
        }),
        false => Err(unauthorized(
            "the authorization header has no bearer token: send one of this gateway's keys as `Bearer KEY`, or as x-api-key",
        )),
    }
}

fn unauthorized(message: impl Into<String>) -> ApiError {
    ApiError::new(StatusCode::UNAUTHORIZED, "authentication", message)
}

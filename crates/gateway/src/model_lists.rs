//! The models of all targets, as their providers last listed them.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use serde_json::json;
use tokio::sync::Mutex;
use warmline::{Client, DialectName, ModelInfo, Router};

/// How long a provider may take to list its models. Claude Code waits for 3 s.
const TIMEOUT: Duration = Duration::from_secs(2);
/// How long a list is used, and how long a provider that gave none is left alone.
const LIFETIME: Duration = Duration::from_secs(60);
const LIFETIME_OF_FAILURE: Duration = Duration::from_secs(10);

/// The lists of the targets, by their names. It is locked while they are asked, so that many callers ask once.
#[derive(Default)]
pub(crate) struct ModelLists {
    lists: Mutex<HashMap<String, Listed>>,
    /// How often the targets were replaced. A list of earlier ones is not used.
    generation: AtomicU64,
}

#[derive(Clone)]
struct Listed {
    at: Instant,
    generation: u64,
    /// The last list that was given, if any was.
    models: Option<Arc<Vec<ModelInfo>>>,
    failed: bool,
}

impl Listed {
    fn is_fresh(&self) -> bool {
        let lifetime = match self.failed {
            true => LIFETIME_OF_FAILURE,
            false => LIFETIME,
        };
        self.at.elapsed() < lifetime
    }
}

impl ModelLists {
    /// Forgets all lists.
    pub(crate) fn clear(&self) {
        self.generation.fetch_add(1, Relaxed);
    }

    /// Returns the models of all targets that can be called, and the router's names, each once, under the names by which they are called; and
    /// the targets that gave no list.
    pub(crate) async fn all(
        &self,
        router: &Router,
    ) -> (Vec<(DialectName, ModelInfo)>, Vec<String>) {
        let mut lists = self.lists.lock().await;
        let generation = self.generation.load(Relaxed);
        lists.retain(|_, of| of.generation == generation);
        let old = |name: &str| lists.get(name).cloned();
        let listed = join_all(router.targets().map(|(name, client)| {
            let old = old(name);
            async move { (name, client, list(name, client, generation, old).await) }
        }));
        let mut models = Vec::new();
        let mut known = HashSet::new();
        let mut failed = Vec::new();
        for (name, client, listed) in listed.await {
            for model in listed.models.iter().flat_map(|models| models.iter()) {
                let dialect = client.dialect_name();
                let Some(id) = callable_name(router, name, dialect, &model.id) else {
                    continue;
                };
                if known.insert(id.clone()) {
                    let mut model = model.clone();
                    model.id = id;
                    models.push((dialect, model));
                }
            }
            if listed.models.is_none() {
                failed.push(name.to_owned());
            }
            lists.insert(name.to_owned(), listed);
        }
        for name in router.models() {
            if known.insert(name.clone()) {
                models.push((DialectName::OpenAiChat, ModelInfo::new(name)));
            }
        }
        (models, failed)
    }
}

/// Returns the name by which a target's model is called: its own, or after the target's if another target would get the call. `None` if it
/// cannot be called by the paths of the gateway.
fn callable_name(router: &Router, target: &str, dialect: DialectName, id: &str) -> Option<String> {
    let leads_there = |name: &str| {
        let body = json!({"model": name}).to_string();
        let routed = router.route(dialect, body);
        routed.is_ok_and(|body| body.targets().any(|of| of == target))
    };
    let prefixed = || format!("{target}/{id}");
    match leads_there(id) {
        true => Some(id.to_owned()),
        false => Some(prefixed()).filter(|name| leads_there(name)),
    }
}

async fn list(name: &str, client: &Client, generation: u64, old: Option<Listed>) -> Listed {
    if let Some(old) = old.as_ref().filter(|old| old.is_fresh()) {
        return old.clone();
    }
    let error = match tokio::time::timeout(TIMEOUT, client.models()).await {
        Ok(Ok(models)) => {
            return Listed {
                at: Instant::now(),
                generation,
                models: Some(Arc::new(models)),
                failed: false,
            };
        }
        Ok(Err(error)) => error.to_string(),
        Err(_) => format!("no list within {TIMEOUT:?}"),
    };
    tracing::warn!(target = name, error, "the models cannot be listed");
    Listed {
        at: Instant::now(),
        generation,
        models: old.and_then(|old| old.models),
        failed: true,
    }
}

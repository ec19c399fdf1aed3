//! The targets of a gateway.

use warmline::{Client, Router, Target};

use crate::error::ConfigError;

/// Returns the router that was given, or else one of the clients.
pub(crate) fn router(clients: Vec<Client>, router: Option<Router>) -> Result<Router, ConfigError> {
    let Some(first) = clients.first() else {
        return router.ok_or_else(|| ConfigError::new("a gateway needs at least one client"));
    };
    if router.is_some() {
        return Err(ConfigError::new(
            "the gateway has a router and clients: make the clients targets of the router",
        ));
    }
    let mut builder = Router::builder()
        .retry(first.retry_policy().clone())
        .cooldown(None)
        .pacing(false);
    for (i, client) in clients.iter().enumerate() {
        let provider = client.provider();
        if clients[..i]
            .iter()
            .any(|other| other.provider() == provider)
        {
            return Err(ConfigError::new(format!(
                "there is more than one client for {provider}: a gateway has one for each provider"
            )));
        }
        // A model that several providers have goes to the first of them, and to the others if that fails.
        let target = Target::new(client.clone()).priority(i as u32);
        builder = builder.target(target);
    }
    let built = builder.build();
    built.map_err(|error| ConfigError::new(error.message()))
}

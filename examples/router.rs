//! Asks several providers in turn, each with the key that is in the environment: `cargo run --example router`

use warmline::{Client, Provider, Request, Router, Target};

#[tokio::main]
async fn main() -> warmline::Result<()> {
    let mut router = Router::builder();
    let mut priority = 0;
    for provider in [Provider::Anthropic, Provider::OpenAi, Provider::Groq] {
        let (Ok(key), Some(model)) = (
            std::env::var(provider.key_variable()),
            provider.default_model(),
        ) else {
            continue;
        };
        let mut builder = Client::builder(provider).api_key(key);
        if let Ok(url) = std::env::var(provider.base_url_variable()) {
            builder = builder.base_url(url);
        }
        let target = Target::new(builder.build()?).model("assistant", model);
        // In this order: the next one is called only while the ones before it cannot be.
        router = router.target(target.priority(priority));
        priority += 1;
    }
    let router = router.build()?;
    let request = Request::new()
        .model("assistant")
        .user("Why is the sky blue? Answer in one sentence.");
    let reply = router.chat(request).await?;
    println!("{}", reply.text());
    for attempt in reply.attempts() {
        let target = attempt.target.as_deref().unwrap_or_default();
        let outcome = attempt.kind.as_deref().unwrap_or("answered");
        println!("{target}: {outcome} after {:?}", attempt.duration);
    }
    for target in router.stats().targets {
        println!("{}: {:?}", target.name, target.state);
    }
    Ok(())
}

//! Random requests, of which each reading of a lenient server must cost at most what is reserved for it.

use fastrand::Rng;

use super::lenient::{Loose, Manner};
use super::writer::{LIMITS, MODELS, REASONING, Writer};
use super::*;

/// What a server makes of a request, at most.
struct Served<'a> {
    body: &'a Loose,
    manner: Manner,
    dialect: &'a dyn Dialect,
}

impl Served<'_> {
    fn get(&self, path: &[&str]) -> Option<&Loose> {
        let mut value = self.body;
        for name in path {
            value = value.get(name, self.manner)?;
        }
        Some(value)
    }

    fn text(&self, name: &str) -> Option<&str> {
        self.get(&[name])?.text()
    }

    fn largest(&self, paths: &[&[&str]]) -> u64 {
        let numbers = paths.iter().filter_map(|path| self.get(path)?.number());
        numbers.max().unwrap_or(0)
    }

    /// Returns the maximum number of output tokens. A server may know any one of the limits.
    fn output(&self, model_max: u64) -> u64 {
        let own = self.largest(&LIMITS[..2]);
        let has_none = match self.dialect.name() {
            crate::DialectName::Anthropic => self.get(LIMITS[0]).is_none(),
            crate::DialectName::OpenAiChat | crate::DialectName::OpenAiResponses => own == 0,
        };
        let own = if has_none { model_max } else { own };
        let limit = own.max(self.largest(&LIMITS[2..]));
        let reasoning = self.largest(&REASONING);
        let limit = if reasoning > limit {
            limit + reasoning
        } else {
            limit
        };
        limit * self.largest(&[&["n"], &["best_of"]]).max(1)
    }

    fn tools(&self) -> Vec<(&str, u64)> {
        let tools = self.get(&["tools"]).map_or(&[][..], Loose::items);
        let mut kinds = Vec::new();
        for tool in tools {
            let uses = tool.get("max_uses", self.manner).and_then(Loose::number);
            if let Some(kind) = tool.get("type", self.manner).and_then(Loose::text) {
                kinds.push((kind, uses.unwrap_or(12)));
            }
        }
        kinds
    }

    /// Returns the maximum number of searches that the reply reports.
    fn searches(&self) -> u64 {
        let tools = self.tools().into_iter();
        let searches = tools.filter(|(kind, _)| kind.starts_with("web_search_"));
        searches.map(|(_, uses)| uses).sum()
    }

    /// Returns the maximum number of input tokens.
    fn input(&self, bytes: usize, context: u64) -> u64 {
        let tools = self.tools();
        let server = ["web_search_", "web_fetch_", "code_execution_"];
        let is_server = |(kind, _): &(&str, u64)| server.iter().any(|name| kind.starts_with(name));
        if tools.iter().any(is_server) || self.get(&["web_search_options"]).is_some() {
            return context;
        }
        let messages = self.get(&["messages"]).map_or(&[][..], Loose::items);
        let mut tokens = bytes as u64 + 70;
        for message in messages {
            if let Some(content) = message.get("content", self.manner) {
                self.count(content, context, &mut tokens);
            }
        }
        // The prompt for tools, and the schemas of those that the provider defines.
        let is_known =
            |(kind, _): &&(&str, u64)| kind.starts_with("computer_") || kind.starts_with("bash_");
        let known = tools.iter().filter(is_known).count() as u64;
        if self
            .get(&["tools"])
            .is_some_and(|tools| !tools.items().is_empty())
        {
            tokens += 1_000 + 1_000 * known;
        }
        tokens.min(context)
    }

    /// Counts the media in content.
    fn count(&self, content: &Loose, context: u64, tokens: &mut u64) {
        for block in content.items() {
            let get = |name| block.get(name, self.manner);
            match get("type").and_then(Loose::text) {
                Some("image") => {
                    let data = get("source").and_then(|source| source.get("data", self.manner));
                    let bytes = data.and_then(Loose::text).map_or(0, str::len);
                    *tokens += self.dialect.max_image_tokens();
                    *tokens = tokens.saturating_sub(bytes as u64);
                }
                Some("image_url") => {
                    let url = get("image_url");
                    let url = url.and_then(|url| url.get("url", self.manner)).or(url);
                    match url.and_then(Loose::text) {
                        Some(url) if url.starts_with("data:image/") => {
                            *tokens += self.dialect.max_image_tokens();
                            *tokens -= url.len() as u64;
                        }
                        _ => *tokens += context,
                    }
                }
                Some("text" | "tool_use") | None => {}
                Some("tool_result") => {
                    if let Some(content) = get("content") {
                        self.count(content, context, tokens);
                    }
                }
                Some(_) => *tokens += context,
            }
        }
    }
}

/// The most that a server can bill for a request, of some random uses of it.
fn most_billed(
    random: &mut Rng,
    tracker: &CostTracker,
    estimate: &CostEstimate,
    served: &Served<'_>,
    bytes: usize,
) -> Usd {
    let named = served.get(&["models"]).map_or(&[][..], Loose::items);
    let named = named.iter().filter_map(Loose::text);
    let model = served.text("model").unwrap_or_default();
    let models = named.chain([model]);
    let mut most = Usd::ZERO;
    for model in models {
        let price = tracker
            .price_of(estimate.list, model)
            .unwrap_or(estimate.price);
        let context = price.max_input_tokens.unwrap_or(1_000_000);
        let input = served.input(bytes, context);
        let output = served.output(price.max_output_tokens.unwrap_or(4_096));
        let tier = served.text("service_tier").map(str::to_lowercase);
        let tiers = match tier.as_deref() {
            None | Some("auto") => match estimate.provider.row().tier_by_account {
                true => [ServiceTier::Standard, ServiceTier::Priority],
                false => [ServiceTier::Standard; 2],
            },
            Some("flex") => [ServiceTier::Flex, ServiceTier::Standard],
            Some("priority" | "x") => [ServiceTier::Standard, ServiceTier::Priority],
            Some("ultrafast") => [ServiceTier::Standard, ServiceTier::Fast],
            Some(_) => [ServiceTier::Standard; 2],
        };
        let tier = match served.text("speed") {
            Some("fast") => ServiceTier::Fast,
            _ => tiers[random.usize(..2)],
        };
        let is_unknown_media = input == context;
        let has_audio = served
            .get(&["modalities"])
            .is_some_and(|list| list.items().len() > 1);
        for uses_all in [true, false] {
            let mut part = |of: u64| if uses_all { of } else { random.u64(..=of) };
            let write = if served.dialect.name() == crate::DialectName::OpenAiChat
                || served.get(&["cache_control"]).is_some()
            {
                part(input)
            } else {
                0
            };
            let mut reply = Reply::new(estimate.provider);
            reply.model = model.to_owned();
            reply.usage_reported = true;
            reply.usage = crate::Usage {
                input_tokens: input,
                cache_write_tokens: write,
                cache_write_1h_tokens: part(write),
                cache_read_tokens: part(input - write),
                output_tokens: part(output),
                audio_input_tokens: if is_unknown_media {
                    part(input - write)
                } else {
                    0
                },
                audio_output_tokens: if has_audio { part(output) } else { 0 },
                web_search_requests: served.searches(),
                input_includes_cache: true,
                ..crate::Usage::default()
            };
            reply.billing = Billing {
                tier: Some(tier),
                regional: served.text("inference_geo") != Some("global"),
                cost: None,
                ..Billing::default()
            };
            most = most.max(estimate.cost(tracker, &reply).usd);
        }
    }
    most
}

#[test]
fn no_reading_of_a_request_costs_more_than_its_bound() {
    let tracker = with_budget();
    let (mut accepted, mut all, mut near) = (0, 0, 0);
    for seed in 0..4_000 {
        let random = Rng::with_seed(seed);
        let noise = if seed % 2 == 0 { 0 } else { 4 };
        let mut writer = Writer { random, noise };
        let (provider, models) = MODELS[writer.random.usize(..MODELS.len())];
        let body = writer.request(models);
        all += 1;
        let host = "eu.api.openai.com"
            .split_at(if seed % 3 == 0 { 0 } else { 17 })
            .1;
        let Ok(estimate) = estimate_at(&tracker, provider, host, &body) else {
            continue;
        };
        accepted += 1;
        let loose = Loose::parse(&body);
        for manner in Manner::ALL {
            let dialect = dialect_of(provider);
            let served = Served {
                body: &loose,
                manner,
                dialect: dialect.as_ref(),
            };
            let billed = most_billed(&mut writer.random, &tracker, &estimate, &served, body.len());
            let reserved = estimate.max_cost;
            assert!(
                billed <= reserved,
                "seed {seed}, {provider}, {manner:?}: {billed} > {reserved} for {}",
                body.replace("AAAA", "")
            );
            near += u32::from(billed * 2 >= reserved);
        }
    }
    assert!(
        accepted * 100 >= all * 60,
        "{accepted} of {all} are accepted"
    );
    // The bound is not a formality: many bills come near it.
    assert!(near > accepted, "{near}");
}

#[test]
fn what_the_official_sdks_send_is_accepted() {
    #[derive(serde::Deserialize)]
    struct Sent {
        name: String,
        dialect: String,
        body: String,
    }
    #[derive(serde::Deserialize)]
    struct File {
        bodies: Vec<Sent>,
    }
    let file: File =
        serde_json::from_str(include_str!("../../../../tests/data/sdk-requests.json")).unwrap();
    assert!(file.bodies.len() >= 24);
    for Sent {
        name,
        dialect,
        body,
    } in file.bodies
    {
        let provider = match dialect.as_str() {
            "anthropic" => Provider::Anthropic,
            _ => Provider::OpenAi,
        };
        let estimate = estimate_at(&with_budget(), provider, "localhost", &body);
        let max_cost = estimate
            .unwrap_or_else(|error| panic!("{name}: {error}"))
            .max_cost;
        assert!(max_cost > Usd::ZERO, "{name}");
    }
}

/// A vector.
#[derive(serde::Deserialize)]
struct Vector {
    name: String,
    provider: Provider,
    sent: Option<SentBody>,
}

#[derive(serde::Deserialize)]
struct SentBody {
    /// Lists of models are asked for without one.
    body: Option<serde_json::Value>,
}

#[test]
fn what_every_vector_sends_is_accepted() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/vectors");
    let mut read = 0;
    for file in std::fs::read_dir(folder).unwrap() {
        let path = file.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "json") {
            continue;
        }
        let text = std::fs::read_to_string(&path).unwrap();
        let vectors: Vec<Vector> = serde_json::from_str(&text).unwrap();
        for Vector {
            name,
            provider,
            sent,
        } in vectors
        {
            if let Some(body) = sent.and_then(|sent| sent.body) {
                let body = body.to_string();
                let estimate = estimate_at(&with_budget(), provider, "localhost", &body);
                assert!(estimate.is_ok(), "{name}: {:?}", estimate.err());
                read += 1;
            }
        }
    }
    assert!(read > 50, "{read}");
}

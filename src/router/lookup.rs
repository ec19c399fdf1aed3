//! Which targets serve a model.

use super::state::Candidate;
use crate::provider::Prices;
use crate::quote::quote;
use crate::{DialectName, Error, Price, Provider, Result};

/// How many names an error lists, and how long it may become by them, in bytes.
const MAX_SHOWN: usize = 20;
const MAX_MESSAGE: usize = 1_000;
/// How many targets with a price list an error names.
const MAX_PRICED: usize = 3;

/// What is known of a target's models.
#[derive(Clone, Debug)]
pub(super) struct Listing {
    pub(super) name: String,
    pub(super) provider: Provider,
    /// The dialects that its client can speak.
    pub(super) dialects: Vec<DialectName>,
    /// The model of requests that name none. Empty if there is none.
    pub(super) default_model: String,
    /// The names under which callers may ask for its models, and its own ones.
    pub(super) models: Vec<(String, String)>,
    /// See [`Candidate::verifies`].
    pub(super) verifies: Option<u8>,
}

impl Listing {
    fn own_name(&self, model: &str) -> Option<&str> {
        let listed = self.models.iter().find(|(name, _)| name == model);
        listed.map(|(_, own)| own.as_str())
    }

    /// The provider's own price list. Azure's models are deployments, which have names of their own, and providers without
    /// a list of their own are assumed to cost what OpenAI does.
    fn price_list(&self) -> Option<&'static str> {
        let is_own = |list| list != "openai" || self.provider == Provider::OpenAi;
        match self.provider.row().prices {
            Prices::List(list) if self.provider != Provider::Azure && is_own(list) => Some(list),
            _ => None,
        }
    }

    fn is_priced(&self, model: &str) -> bool {
        let list = self.price_list();
        list.is_some_and(|list| Price::lookup(list, model).is_some())
    }
}

/// Returns the targets that serve a model, each with its own name of it. `dialect` is that of the request, if it is written already.
///
/// # Errors
/// `Config` if there is none. The message names what would be accepted.
pub(super) fn resolve(
    listings: &[Listing],
    model: &str,
    dialect: Option<DialectName>,
) -> Result<Vec<Candidate>> {
    let found = match model.is_empty() {
        true => collect(listings, &|of| {
            Some(String::new()).filter(|_| !of.default_model.is_empty())
        }),
        false => by_name(listings, model),
    };
    let speaks = |of: &Candidate| {
        dialect.is_none_or(|dialect| listings[of.target].dialects.contains(&dialect))
    };
    let spoken: Vec<_> = found.iter().filter(|of| speaks(of)).cloned().collect();
    if !spoken.is_empty() {
        return Ok(spoken);
    }
    if let (Some(first), Some(dialect)) = (found.first(), dialect) {
        return Err(in_other_dialect(&listings[first.target], model, dialect));
    }
    // A target that lists no models takes any name: it knows best what it serves.
    let open = listings.iter().enumerate().find(|(_, of)| {
        of.models.is_empty() && dialect.is_none_or(|dialect| of.dialects.contains(&dialect))
    });
    match open {
        Some((target, of)) if !model.is_empty() => Ok(vec![Candidate {
            target,
            model: model.to_owned(),
            verifies: of.verifies,
        }]),
        _ => Err(unknown(listings, model, dialect)),
    }
}

/// Returns the targets that have a name: as an alias, as their default model, with the target or provider before a slash,
/// as their own name of a model, or in their provider's price list.
fn by_name(listings: &[Listing], model: &str) -> Vec<Candidate> {
    let aliased = collect(listings, &|of| of.own_name(model).map(str::to_owned));
    if !aliased.is_empty() {
        return aliased;
    }
    // Some default models have a provider's id in their name, such as Groq's `openai/gpt-oss-120b`.
    let default = collect(listings, &|of| {
        (of.default_model == model).then(|| model.to_owned())
    });
    if !default.is_empty() {
        return default;
    }
    if let Some((whose, rest)) = model.split_once('/').filter(|(_, rest)| !rest.is_empty()) {
        let own = |of: &Listing| of.own_name(rest).unwrap_or(rest).to_owned();
        let of_target = collect(listings, &|of| (of.name == whose).then(|| own(of)));
        if !of_target.is_empty() {
            return of_target;
        }
        let of_provider = collect(listings, &|of| {
            (of.provider.name() == whose).then(|| own(of))
        });
        if !of_provider.is_empty() {
            return of_provider;
        }
    }
    let own = collect(listings, &|of| {
        let mut own = of.models.iter().map(|(_, own)| own);
        own.any(|own| own == model).then(|| model.to_owned())
    });
    if !own.is_empty() {
        return own;
    }
    collect(listings, &|of| {
        of.is_priced(model).then(|| model.to_owned())
    })
}

fn collect(listings: &[Listing], own: &dyn Fn(&Listing) -> Option<String>) -> Vec<Candidate> {
    let candidate = |(target, of): (usize, &Listing)| {
        Some(Candidate {
            target,
            model: own(of)?,
            verifies: of.verifies,
        })
    };
    listings.iter().enumerate().filter_map(candidate).collect()
}

/// Returns the names that callers may use: the listed ones, and the default models.
pub(super) fn names<'a>(listings: impl Iterator<Item = &'a Listing> + Clone) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    let listed = listings.clone().flat_map(|of| &of.models);
    let listed = listed.map(|(name, _)| name);
    let defaults = listings.map(|of| &of.default_model);
    for name in listed.chain(defaults) {
        if !name.is_empty() && !names.contains(name) {
            names.push(name.clone());
        }
    }
    names
}

/// The error if no target speaks a dialect.
pub(super) fn no_speaker(listings: &[Listing], dialect: DialectName) -> Error {
    let mut endpoints: Vec<String> = Vec::new();
    for spoken in listings.iter().flat_map(|of| &of.dialects) {
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

fn in_other_dialect(listing: &Listing, model: &str, asked: DialectName) -> Error {
    let spoken = listing.dialects.iter();
    let endpoints: Vec<_> = spoken.map(|dialect| dialect.endpoint()).collect();
    let endpoints = endpoints.join(" or ");
    let message = [
        "the model ",
        &quote(model),
        " is not served in the dialect ",
        asked.name(),
        ": ask for it at ",
        &endpoints,
    ];
    Error::config(message.concat())
}

/// The error for a model that no target serves. It lists what is accepted in the dialect of the request, within bounds.
fn unknown(listings: &[Listing], model: &str, dialect: Option<DialectName>) -> Error {
    let mut message = match model.is_empty() {
        true => "the request names no model, and no target has a default model".to_owned(),
        false => ["no target serves the model ", &quote(model)].concat(),
    };
    let speaks = |of: &&Listing| dialect.is_none_or(|dialect| of.dialects.contains(&dialect));
    let speakers: Vec<&Listing> = listings.iter().filter(speaks).collect();
    let names = names(speakers.iter().copied());
    let prefixes = speakers.iter().map(|of| [&of.name, "/MODEL"].concat());
    let own = speakers.iter().flat_map(|of| &of.models);
    let own = own.map(|(_, own)| own.clone());
    let mut accepted: Vec<String> = Vec::new();
    for name in names.into_iter().chain(prefixes).chain(own) {
        if !accepted.contains(&name) {
            accepted.push(name);
        }
    }
    message.push_str(": it must be one of ");
    for (shown, name) in accepted.iter().enumerate() {
        if shown == MAX_SHOWN || message.len() + name.len() > MAX_MESSAGE {
            message.push_str(&[" and ", &(accepted.len() - shown).to_string(), " more"].concat());
            break;
        }
        message.push_str(if shown == 0 { "" } else { ", " });
        message.push_str(name);
    }
    let priced = speakers.iter().filter(|of| of.price_list().is_some());
    let priced: Vec<&str> = priced.map(|of| of.name.as_str()).take(MAX_PRICED).collect();
    if !priced.is_empty() && !model.is_empty() {
        message.push_str(&[", or in the price list of ", &priced.join(" or ")].concat());
    }
    Error::config(message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listing(name: &str, provider: Provider, models: &[(&str, &str)]) -> Listing {
        Listing {
            name: name.into(),
            provider,
            dialects: provider.dialect_names().to_vec(),
            default_model: provider.default_model().unwrap_or_default().into(),
            models: models
                .iter()
                .map(|(name, own)| ((*name).into(), (*own).into()))
                .collect(),
            verifies: None,
        }
    }

    fn resolved(listings: &[Listing], model: &str, dialect: Option<DialectName>) -> String {
        match resolve(listings, model, dialect) {
            Ok(found) => {
                let shown = found
                    .iter()
                    .map(|of| format!("{}:{}", listings[of.target].name, of.model));
                shown.collect::<Vec<_>>().join(" ")
            }
            Err(error) => error.message().to_owned(),
        }
    }

    #[test]
    fn names_are_found_as_aliases_then_by_target_then_as_own_models_then_by_price() {
        let listings = [
            listing("eu", Provider::Azure, &[("fast", "prod-mini")]),
            listing("us", Provider::OpenAi, &[("fast", "gpt-4.1-mini")]),
            listing("claude", Provider::Anthropic, &[]),
            listing("openrouter", Provider::OpenRouter, &[("o", "openai/gpt-5")]),
            listing("groq", Provider::Groq, &[]),
        ];
        for (model, expected) in [
            ("fast", "eu:prod-mini us:gpt-4.1-mini"),
            ("eu/fast", "eu:prod-mini"),
            ("us/gpt-4.1", "us:gpt-4.1"),
            ("openai/gpt-4.1", "us:gpt-4.1"),
            ("azure/x", "eu:x"),
            ("openrouter/openai/gpt-5", "openrouter:openai/gpt-5"),
            ("openai/gpt-5", "us:gpt-5"),
            ("openai/gpt-oss-120b", "groq:openai/gpt-oss-120b"),
            ("groq/openai/gpt-oss-120b", "groq:openai/gpt-oss-120b"),
            ("prod-mini", "eu:prod-mini"),
            ("claude-sonnet-4-5", "claude:claude-sonnet-4-5"),
            ("claude-opus-4-1", "claude:claude-opus-4-1"),
            ("gpt-4.1", "us:gpt-4.1"),
            ("gpt-4.1-nano", "us:gpt-4.1-nano"),
            ("us/", "claude:us/"),
            ("my-own", "claude:my-own"),
        ] {
            assert_eq!(resolved(&listings, model, None), expected, "{model}");
        }
    }

    #[test]
    fn the_dialect_of_a_body_limits_the_targets_and_errors_say_where_to_go() {
        let listings = [
            listing(
                "claude",
                Provider::Anthropic,
                &[("both", "claude-haiku-4-5")],
            ),
            listing(
                "us",
                Provider::OpenAi,
                &[("both", "gpt-4.1"), ("fast", "gpt-4.1-mini")],
            ),
        ];
        let (anthropic, chat) = (DialectName::Anthropic, DialectName::OpenAiChat);
        for (model, dialect, expected) in [
            ("both", anthropic, "claude:claude-haiku-4-5"),
            ("both", chat, "us:gpt-4.1"),
            (
                "fast",
                anthropic,
                "the model \"fast\" is not served in the dialect anthropic: ask for it at /v1/chat/completions or /v1/responses",
            ),
            (
                "claude-haiku-4-5",
                chat,
                "the model \"claude-haiku-4-5\" is not served in the dialect openai-chat: ask for it at /v1/messages",
            ),
            (
                "unheard-of",
                chat,
                "no target serves the model \"unheard-of\": it must be one of both, fast, gpt-4.1, us/MODEL, \
                 gpt-4.1-mini, or in the price list of us",
            ),
        ] {
            let got = resolved(&listings, model, Some(dialect));
            assert_eq!(got, expected, "{model} {dialect}");
        }
        let none = [listing("ollama", Provider::Ollama, &[])];
        assert_eq!(
            resolved(&none, "", None),
            "the request names no model, and no target has a default model: it must be one of ollama/MODEL"
        );
        assert_eq!(resolved(&none, "llama3.2", Some(chat)), "ollama:llama3.2");
        assert_eq!(resolved(&listings, "", Some(chat)), "us:");
    }

    #[test]
    fn a_long_list_of_models_is_cut_in_the_error() {
        let of = |length: usize| {
            let names: Vec<_> = (0..100).map(|n| format!("{n:0length$}")).collect();
            let models: Vec<_> = names.iter().map(|name| (&**name, "own")).collect();
            let listings = [listing("many", Provider::Ollama, &models)];
            resolved(&listings, "x", None)
        };
        // 100 names, `many/MODEL` and `own`.
        assert!(of(3).ends_with("018, 019 and 82 more"), "{}", of(3));
        let long = of(250);
        assert!(
            long.len() < 1_100 && long.ends_with(" and 99 more"),
            "{long}"
        );
    }
}

//! What a call can cost at most, told before it is sent.

use super::{CostTracker, Price, Usd};
use crate::json::{Reader, Stopped, quote};
use crate::{Error, Provider, Result};

/// More tokens than any model takes today, for models whose limits are not known.
const MOST_INPUT: u64 = 2_000_000;
/// What a provider adds of its own around messages and tools: Anthropic's system prompts for tools are under 1,000
/// (<https://docs.claude.com/en/docs/agents-and-tools/tool-use/overview#pricing>).
const PREAMBLE: u64 = 2_000;

/// What is about to be asked, as far as money goes.
#[derive(Clone, Debug)]
pub(crate) struct Ask {
    pub(crate) provider: Provider,
    pub(crate) model: String,
    list: &'static str,
    price: Price,
    /// The price is that of the dearest model, since this one's is not known.
    estimated: bool,
    pub(crate) worst: Usd,
}

impl Ask {
    pub(crate) fn new(
        tracker: &CostTracker,
        provider: Provider,
        host: &str,
        model: &str,
        outline: &Outline,
        bytes: usize,
    ) -> Result<Self> {
        let list = list(provider, host);
        let known = tracker.price_of(list, model);
        let price = match known.or_else(|| Price::dearest(list)) {
            Some(price) => price,
            None if tracker.has_budget() => {
                return Err(Error::config(format!(
                    "there is a budget, and no price is known for the model {} or any of {list}: give one (CostTracker::price, LLM_PRICES)",
                    quote(model)
                )));
            }
            None => Price::per_million(Usd::ZERO, Usd::ZERO),
        };
        let input = input(provider, &price, outline, bytes, tracker.is_estimating());
        // Anthropic writes its cache only where it is asked to; others as they like.
        let may_write_cache = provider != Provider::Anthropic || outline.cached;
        let output = output(provider, &price, outline);
        let worst = price.worst(input, output, may_write_cache);
        Ok(Self {
            provider,
            model: model.to_owned(),
            list,
            price,
            estimated: known.is_none(),
            worst,
        })
    }

    /// The price by the name that the reply gives, where that is known, else by the name that was asked for.
    pub(crate) fn price(&self, tracker: &CostTracker, answered: &str) -> (Price, bool) {
        let other = (answered != self.model).then(|| tracker.price_of(self.list, answered));
        match other.flatten() {
            Some(price) => (price, false),
            None => (self.price, self.estimated),
        }
    }
}

/// Which list a server's prices are in. One that nobody knows is taken for the provider whose dialect it speaks.
fn list(provider: Provider, host: &str) -> &'static str {
    let hosts = [
        ("api.groq.com", "groq"),
        ("api.deepseek.com", "deepseek"),
        ("api.x.ai", "xai"),
        ("generativelanguage.googleapis.com", "gemini"),
        ("api.mistral.ai", "mistral"),
        ("api.together.xyz", "together_ai"),
        ("api.fireworks.ai", "fireworks_ai"),
        ("api.perplexity.ai", "perplexity"),
        ("api.cerebras.ai", "cerebras"),
    ];
    let known = hosts.into_iter().find(|(name, _)| *name == host);
    known.map_or(provider.name(), |(_, list)| list)
}

/// What of a request its cost depends on, read from the body as it is sent, so that whatever put it there is seen.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Outline {
    pub(crate) model: Option<String>,
    pub(crate) stream: bool,
    /// It says what a stream is to tell besides its content.
    pub(crate) stream_options: bool,
    pub(crate) max_tokens: Option<u64>,
    replies: Option<u64>,
    images: u64,
    /// And whatever else can stand for more tokens than it has bytes.
    documents: u64,
    /// Something in it is marked for Anthropic's prompt cache.
    cached: bool,
}

impl Outline {
    pub(crate) fn read(body: &[u8]) -> Result<Self> {
        let mut outline = Self::default();
        let read = Reader::of_bytes(body).and_then(|mut json| {
            let read = outline.top(&mut json).and_then(|()| json.end());
            read.map_err(|Stopped| json.malformed())
        });
        read.map_err(|e| Error::config(["the request is not JSON: ", &e.to_string()].concat()))?;
        Ok(outline)
    }

    fn top(&mut self, json: &mut Reader<'_>) -> Result<(), Stopped> {
        json.object()?;
        while let Some(key) = json.key()? {
            match &*key {
                "model" => self.model = json.text()?.map(Into::into),
                "stream" => self.stream = json.skip()? == "true",
                "stream_options" => {
                    json.pass()?;
                    self.stream_options = true;
                }
                // OpenAI's newer name goes before its older one.
                "max_completion_tokens" => self.max_tokens = json.count()?.or(self.max_tokens),
                "max_tokens" => self.max_tokens = self.max_tokens.or(json.count()?),
                "n" => self.replies = json.count()?,
                key => self.field(key, json)?,
            }
        }
        Ok(())
    }

    fn field(&mut self, key: &str, json: &mut Reader<'_>) -> Result<(), Stopped> {
        self.cached |= key == "cache_control";
        self.value(json).map(|_| ())
    }

    /// Counts what is in a value, and says whether it is something of the type `text`.
    fn value(&mut self, json: &mut Reader<'_>) -> Result<bool, Stopped> {
        let (mut text, mut image, mut document, mut of_text) = (false, false, false, false);
        match json.peek() {
            Some(b'[') => {
                json.list()?;
                while json.item()? {
                    self.value(json)?;
                }
            }
            Some(b'{') => {
                json.object()?;
                while let Some(key) = json.key()? {
                    match &*key {
                        "type" if json.peek() == Some(b'"') => match &*json.value_text()? {
                            "text" => text = true,
                            "image" | "image_url" => image = true,
                            "document" | "file" | "input_audio" | "container_upload" => {
                                document = true;
                            }
                            _ => {}
                        },
                        "source" => of_text = self.value(json)?,
                        key => self.field(key, json)?,
                    }
                }
            }
            _ => json.pass()?,
        }
        self.images += u64::from(image);
        self.documents += u64::from(document && !of_text);
        Ok(text)
    }
}

/// The most tokens that the request can be. A token of text is at least one byte (the providers' tokenisers work on bytes),
/// and the body holds each text whole, with more bytes of JSON around a message than the provider adds tokens. An image
/// costs what its size says, of which the most is known; what a document comes to is not, but a model takes no more than its
/// context.
fn input(
    provider: Provider,
    price: &Price,
    outline: &Outline,
    bytes: usize,
    estimate: bool,
) -> u64 {
    let most = price.max_input_tokens.unwrap_or(MOST_INPUT);
    let (bytes, images) = (bytes as u64, outline.images);
    if estimate {
        return most.min(bytes / 3 + images * 1_600 + outline.documents * 10_000);
    }
    if outline.documents > 0 {
        return most;
    }
    let image = match provider {
        // https://docs.claude.com/en/docs/build-with-claude/vision: at most 4,784 at high resolution.
        Provider::Anthropic => 5_000,
        // https://platform.openai.com/docs/guides/images-vision: gpt-4o-mini's 2,833 and 5,667 for each of at most 8 tiles.
        Provider::OpenAi => 50_000,
    };
    most.min(bytes + PREAMBLE + images * image)
}

/// The most tokens that the model may write, thoughts included.
fn output(provider: Provider, price: &Price, outline: &Outline) -> u64 {
    let unasked = || match provider {
        Provider::Anthropic => crate::provider::DEFAULT_MAX_TOKENS.into(),
        // A model that is in no list has no known limit, and its price is a guess: one that were put aside for all
        // that any model can write would refuse every call to a server of one's own.
        Provider::OpenAi => {
            let unknown = crate::provider::DEFAULT_MAX_TOKENS.into();
            price.max_output_tokens.unwrap_or(unknown)
        }
    };
    let asked = outline.max_tokens.unwrap_or_else(unasked);
    asked.saturating_mul(outline.replies.unwrap_or(1).max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_request_holds_is_seen_wherever_it_stands() {
        let outline = Outline::read(
            br#"{"model": "m", "stream": true, "max_tokens": 5, "max_completion_tokens": 7, "n": 2, "messages": [
                {"role": "user", "content": [
                    {"type": "text", "text": "a \"type\": \"image\""},
                    {"type": "image_url", "image_url": {"url": "data:"}},
                    {"type": "tool_result", "content": [{"type": "image", "source": {"type": "base64"}, "cache_control": {}}]},
                    {"type": "document", "source": {"type": "text", "data": "x"}},
                    {"source": {"type": "url", "url": "u"}, "type": "document"}]}]}"#,
        );
        let expected = Outline {
            model: Some("m".into()),
            stream: true,
            stream_options: false,
            max_tokens: Some(7),
            replies: Some(2),
            images: 2,
            documents: 1,
            cached: true,
        };
        assert_eq!(outline.unwrap(), expected);
        for (body, says) in [
            ("", "an object or null expected at byte 0"),
            ("[]", "an object or null expected at byte 0"),
            ("{}x", "the end expected at byte 2"),
            (r#"{"model": 5}"#, "a string or null expected at byte 10"),
        ] {
            let error = Outline::read(body.as_bytes()).unwrap_err();
            assert_eq!(error.message(), format!("the request is not JSON: {says}"));
        }
    }
}

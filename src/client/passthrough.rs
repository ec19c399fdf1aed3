//! Passthrough: requests and replies in the provider's own dialect, for gateways.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::task::{Context, Poll};

use bytes::Bytes;

use super::active::ActiveStream;
use super::call::{Call, Outcome};
use super::handle::Client;
use crate::framing::sse;
use crate::json::{Reader, Stopped};
use crate::{Error, Reply, Result, StreamEvent};

/// A reply in the provider's dialect, byte for byte as received.
///
/// Dropping it before its end cancels the call.
///
/// ```no_run
/// # async fn demo(client: warmline::Client) -> warmline::Result<()> {
/// let body = r#"{"model": "gpt-4.1", "messages": [{"role": "user", "content": "Hi"}], "stream": true}"#;
/// let mut reply = client.passthrough(body, []).await?;
/// while let Some(bytes) = reply.chunk().await {
///     print!("{}", String::from_utf8_lossy(&bytes?));
/// }
/// # Ok(()) }
/// ```
pub struct PassthroughResponse {
    is_stream: bool,
    request_id: Option<String>,
    attempts: u32,
    /// Bytes to return before more are read.
    ready: VecDeque<Bytes>,
    live: Option<Box<ActiveStream>>,
    failed: Option<Error>,
    reply: Option<Reply>,
    events: Events,
}

impl Client {
    /// Sends a request in the provider's own dialect and returns the reply unchanged.
    ///
    /// The pool, retries, timeouts, prices and budgets apply as to any other call. The reply is a stream if the body requests one
    /// (`"stream": true`). `headers` are sent in addition to those of the client, for example `anthropic-beta`.
    ///
    /// In OpenAI's dialect, usage is requested for a stream unless the body sets `stream_options.include_usage`. The event that
    /// contains only this usage is then removed from the stream. All other events are passed on unchanged, including events that
    /// contain usage and anything else.
    ///
    /// # Errors
    /// Those of [`Client::chat`]. [`Error::status`] and [`Error::body`] return the provider's response.
    ///
    /// `Config` if the body is not a JSON object, or if a server could read it differently than this crate in a way that affects
    /// the cost: a top-level field, or the `type` or `source` of a content block, that occurs twice; a limit that is not an integer
    /// (`60000.0` and `6e4` are integers); a model name longer than 256 bytes.
    ///
    /// ```no_run
    /// # async fn demo(client: warmline::Client) -> warmline::Result<()> {
    /// let body = r#"{"model": "claude-sonnet-4-5", "max_tokens": 9, "messages": [{"role": "user", "content": "Hi"}]}"#;
    /// let reply = client.passthrough(body, [("anthropic-beta".into(), "context-1m-2025-08-07".into())]).await?;
    /// assert!(!reply.is_stream());
    /// # Ok(()) }
    /// ```
    pub async fn passthrough(
        &self,
        body: impl Into<Bytes>,
        headers: impl IntoIterator<Item = (String, String)>,
    ) -> Result<PassthroughResponse> {
        let (call, strip_usage) = Call::raw(self, body.into(), headers.into_iter().collect())?;
        let mut response = PassthroughResponse {
            is_stream: false,
            request_id: None,
            attempts: 0,
            ready: VecDeque::new(),
            live: None,
            failed: None,
            reply: None,
            events: Events {
                splitter: sse::Splitter::default(),
                strip_usage,
            },
        };
        match call.run().await? {
            Outcome::Reply(reply) => {
                response.ready.extend(reply.raw_bytes());
                response.request_id.clone_from(&reply.request_id);
                response.attempts = reply.attempts;
                response.reply = Some(*reply);
            }
            Outcome::Stream(live) => {
                response.is_stream = true;
                response.request_id = live.request_id().map(str::to_owned);
                response.attempts = live.attempts();
                response.live = Some(live);
            }
        }
        Ok(response)
    }
}

impl PassthroughResponse {
    /// Returns whether the reply is a stream of server-sent events instead of one JSON object.
    ///
    /// ```no_run
    /// # fn demo(reply: warmline::PassthroughResponse) {
    /// let content_type = if reply.is_stream() { "text/event-stream" } else { "application/json" };
    /// # }
    /// ```
    pub fn is_stream(&self) -> bool {
        self.is_stream
    }

    /// Returns the provider's id of the request, if it sent one.
    ///
    /// ```no_run
    /// # fn demo(reply: warmline::PassthroughResponse) {
    /// println!("{:?}", reply.request_id());
    /// # }
    /// ```
    pub fn request_id(&self) -> Option<&str> {
        self.request_id.as_deref()
    }

    /// Returns the number of attempts, including the last.
    ///
    /// ```no_run
    /// # fn demo(reply: warmline::PassthroughResponse) {
    /// println!("{} attempts", reply.attempts());
    /// # }
    /// ```
    pub fn attempts(&self) -> u32 {
        self.attempts
    }

    /// Returns the decoded reply, with usage and cost, or `None` before the end of a stream.
    ///
    /// ```no_run
    /// # fn demo(reply: warmline::PassthroughResponse) {
    /// println!("{:?}", reply.reply().and_then(|reply| reply.cost));
    /// # }
    /// ```
    pub fn reply(&self) -> Option<&Reply> {
        self.reply.as_ref()
    }

    /// Returns the next bytes, or `None` after the last. An error is returned after all bytes received before it.
    ///
    /// # Errors
    /// Those of [`EventStream::next`](crate::EventStream::next).
    ///
    /// ```no_run
    /// # async fn demo(mut reply: warmline::PassthroughResponse) -> warmline::Result<()> {
    /// while let Some(bytes) = reply.chunk().await {
    ///     print!("{}", String::from_utf8_lossy(&bytes?));
    /// }
    /// # Ok(()) }
    /// ```
    pub async fn chunk(&mut self) -> Option<Result<Bytes>> {
        poll_fn(|cx| self.poll_chunk(cx)).await
    }

    /// Polls for the next bytes, like [`chunk`](Self::chunk).
    ///
    /// ```no_run
    /// # async fn demo(mut reply: warmline::PassthroughResponse) {
    /// let first = std::future::poll_fn(|cx| reply.poll_chunk(cx)).await;
    /// # }
    /// ```
    pub fn poll_chunk(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes>>> {
        loop {
            if let Some(bytes) = self.ready.pop_front() {
                return Poll::Ready(Some(Ok(bytes)));
            }
            if let Some(error) = self.failed.take() {
                return Poll::Ready(Some(Err(error)));
            }
            let Some(live) = &mut self.live else {
                return Poll::Ready(None);
            };
            let event = live.poll_event(cx);
            let came = match &event {
                // The decoder has moved the last bytes into the reply.
                Poll::Ready(Ok(StreamEvent::Done { reply })) => {
                    reply.raw_bytes().unwrap_or_default()
                }
                _ => live.take_raw().into(),
            };
            let done = matches!(event, Poll::Ready(Ok(StreamEvent::Done { .. })));
            let ended = done || matches!(event, Poll::Ready(Err(_)));
            match self.events.whole(&came, done) {
                Ok(events) => self.ready.extend(events),
                Err(error) => {
                    self.failed = Some(error);
                    self.live = None;
                    continue;
                }
            }
            if ended {
                self.live = None;
            }
            match event {
                Poll::Ready(Ok(StreamEvent::Done { reply })) => self.reply = Some(*reply),
                Poll::Ready(Err(error)) => self.failed = Some(error),
                Poll::Ready(Ok(_)) => {}
                Poll::Pending if self.ready.is_empty() => return Poll::Pending,
                Poll::Pending => {}
            }
        }
    }
}

/// Passes on complete events only, so that an event appended after a stream breaks off does not merge with a part of one.
struct Events {
    splitter: sse::Splitter,
    /// Removes the event that contains only usage, because the caller did not request it.
    strip_usage: bool,
}

impl Events {
    fn whole(&mut self, came: &[u8], done: bool) -> Result<Option<Bytes>> {
        let Self {
            splitter,
            strip_usage,
        } = self;
        let mut kept = Vec::new();
        let mut keep = |event: &[u8]| {
            if !(*strip_usage && tells_only_usage(event)) {
                kept.extend_from_slice(event);
            }
        };
        let split = splitter.feed(came, &mut keep);
        if done {
            keep(&splitter.finish());
        }
        split.map(|()| (!kept.is_empty()).then(|| kept.into()))
    }
}

/// Returns whether an event is the one that OpenAI's API sends because usage was requested: its `choices` are empty
/// (<https://platform.openai.com/docs/api-reference/chat/create#chat_create-stream_options>).
fn tells_only_usage(event: &[u8]) -> bool {
    let mut only = false;
    let mut look = |event: sse::Event<'_>| {
        only = Reader::of_bytes(event.data).is_ok_and(|mut json| is_usage(&mut json) == Ok(true));
        Ok(())
    };
    let mut parser = sse::Parser::default();
    let read = parser.feed(event, &mut look);
    read.and_then(|()| parser.finish(&mut look)).is_ok() && only
}

fn is_usage(json: &mut Reader<'_>) -> std::result::Result<bool, Stopped> {
    let (mut no_choices, mut usage) = (false, false);
    json.object()?;
    while let Some(key) = json.key()? {
        match &*key {
            "choices" => {
                no_choices = json.list_or_null()?;
                if no_choices && json.item()? {
                    return Ok(false);
                }
            }
            "usage" => {
                usage = json.peek() == Some(b'{');
                json.pass()?;
            }
            // Fields of every chunk, and fields of Groq and llama.cpp that accompany the usage.
            "id" | "object" | "created" | "model" | "system_fingerprint" | "service_tier"
            | "provider" | "obfuscation" | "x_groq" | "timings" => json.pass()?,
            // The caller needs any other field, such as xAI's citations or Azure's filter results.
            _ if !json.null()? => return Ok(false),
            _ => {}
        }
    }
    json.end()?;
    Ok(no_choices && usage)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_usage_is_hidden_with_any_line_ends_cut_anywhere() {
        let events = [
            "data: {\"choices\": [], \"prompt_filter_results\": []}",
            "data: {\"choices\": [{\"delta\": {\"content\": \"a\"}}]}",
            "event: x|data: {\"choices\": [],|data: \"usage\": {}}",
            "data: {\"choices\": [{\"delta\": {}}], \"usage\": {}}",
            "data: [DONE]",
        ];
        for (line_end, blank) in [
            ("\n", "\n"),
            ("\r\n", "\r\n"),
            ("\r", "\r"),
            ("\r\n", "\n"),
            ("\n", "\r"),
        ] {
            let event = |text: &&str| text.replace('|', line_end) + line_end + blank;
            let came: String = events.iter().map(event).collect();
            let mut kept = events.to_vec();
            kept.remove(2);
            let kept: String = kept.iter().map(event).collect();
            for strip_usage in [false, true] {
                for cut in 0..came.len() {
                    let mut passed = Vec::new();
                    let mut splitter = Events {
                        splitter: sse::Splitter::default(),
                        strip_usage,
                    };
                    let (one, two) = came.split_at(cut);
                    for (part, done) in [(one, false), (two, true)] {
                        let whole = splitter.whole(part.as_bytes(), done).unwrap();
                        passed.extend(whole.into_iter().flatten());
                    }
                    let passed = String::from_utf8(passed).unwrap();
                    // The LF of a CR LF that was cut in two ends no line of its own, so it may be kept or removed.
                    let expected = if strip_usage { &kept } else { &came };
                    let same = passed == *expected
                        || (strip_usage && passed.replacen("\r\n\n", "\r\n", 1) == *expected);
                    assert!(same, "{cut}: {passed:?}");
                }
            }
        }
    }

    #[test]
    fn only_an_event_of_usage_alone_is_one() {
        let usage = r#""usage": {"prompt_tokens": 1}"#;
        for (data, only) in [
            (format!(r#"{{"choices": [], {usage}}}"#), true),
            (
                format!("{{\n \"id\": \"c\", \"choices\":[ ],{usage} }}"),
                true,
            ),
            (format!(r#"{{"\u0063hoices": [], {usage}}}"#), true),
            (
                format!(
                    r#"{{"choices": [], {usage}, "obfuscation": "x", "timings": {{}}, "error": null}}"#
                ),
                true,
            ),
            (r#"{"choices": [], "usage": null}"#.to_owned(), false),
            (
                r#"{"choices": [], "prompt_filter_results": []}"#.to_owned(),
                false,
            ),
            (
                format!(r#"{{"choices": [], {usage}, "citations": ["u"]}}"#),
                false,
            ),
            (
                format!(r#"{{"choices": [], {usage}, "error": {{}}}}"#),
                false,
            ),
            (format!(r#"{{{usage}}}"#), false),
            (format!(r#"{{"choices": null, {usage}}}"#), false),
            (
                format!(r#"{{{usage}, "choices": [{{"delta": {{}}}}]}}"#),
                false,
            ),
            // The field names are part of the generated text.
            (
                r#"{"choices": [{"delta": {"content": "\"choices\":[] \"usage\":{"}}]}"#.to_owned(),
                false,
            ),
            (format!(r#"{{"choices": [], {usage}}} x"#), false),
            ("[DONE]".to_owned(), false),
            (String::new(), false),
        ] {
            for end in ["\n\n", "\r\n\r\n", "\r\r", "\n\r\n", ""] {
                let lines: Vec<String> = data.lines().map(|line| format!("data: {line}")).collect();
                let event = format!(": ping\nevent: message\n{}{end}", lines.join("\n"));
                assert_eq!(tells_only_usage(event.as_bytes()), only, "{event:?}");
            }
        }
    }
}

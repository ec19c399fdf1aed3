use super::*;

fn of(body: &str) -> Conversation {
    of_body(body.as_bytes(), "m", None)
}

#[test]
fn turns_of_a_conversation_have_one_key_and_others_have_another() {
    let first = r#"{"system": "s", "messages": [{"role": "user", "content": "a"}]}"#;
    for (same, body) in [
        (
            true,
            r#"{"max_tokens": 5, "system": "s", "messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}, {"role": "user", "content": "c"}]}"#,
        ),
        (
            false,
            r#"{"system": "s", "messages": [{"role": "user", "content": "b"}]}"#,
        ),
        (
            false,
            r#"{"system": "t", "messages": [{"role": "user", "content": "a"}]}"#,
        ),
        (
            false,
            r#"{"system": "s", "prompt_cache_key": "k", "messages": [{"role": "user", "content": "a"}]}"#,
        ),
        (
            false,
            r#"{"system": "s", "metadata": {"user_id": "k"}, "messages": [{"role": "user", "content": "a"}]}"#,
        ),
        (
            true,
            r#"{"system": "s", "metadata": {"user_id": null, "x": 1}, "prompt_cache_key": null, "messages": [{"role": "user", "content": "a"}]}"#,
        ),
    ] {
        assert_eq!(of(first).key == of(body).key, same, "{body}");
    }
    let named = r#"{"prompt_cache_key": "k", "metadata": {"user_id": "u"}}"#;
    let user = r#"{"metadata": {"user_id": "u"}, "messages": []}"#;
    assert_eq!(of(named).key, of(r#"{"prompt_cache_key": "k"}"#).key);
    assert_ne!(of(named).key, of(user).key);
    let session = |body: &str| of_body(body.as_bytes(), "m", Some("session")).key;
    assert_eq!(session(named), session(first));
    assert_ne!(of_body(first.as_bytes(), "other", None).key, of(first).key);
    // Input of the dialect of responses.
    let input = r#"{"instructions": "s", "input": "a"}"#;
    assert_ne!(
        of(input).key,
        of(r#"{"instructions": "s", "input": "b"}"#).key
    );
}

#[test]
fn a_request_has_the_same_kinds_of_keys() {
    let request = |user: &str| Request::new().system("s").user(user).max_tokens(9);
    let key = |request: &Request| of_request(request, "m").key;
    let longer = request("a").message(Message::assistant("b")).user("c");
    assert_eq!(key(&request("a")), key(&longer));
    assert_ne!(key(&request("a")), key(&request("b")));
    let named = |user: &str| request(user).conversation("one");
    assert_eq!(key(&named("a")), key(&named("b")));
    assert_eq!(of_request(&request("abcdefgh"), "m").need.input_tokens, 2);
    assert_eq!(of_request(&request("abcdefgh"), "m").need.output_tokens, 9);
}

#[test]
fn what_names_state_of_the_account_or_is_signed_holds_a_conversation() {
    for (body, bond) in [
        (
            r#"{"messages": [{"role": "user", "content": "\"file_id\" and \"signature\""}]}"#,
            Bond::Loose,
        ),
        (
            r#"{"previous_response_id": "resp_1", "input": "a"}"#,
            Bond::Account,
        ),
        (
            r#"{"previous_response_id": null, "input": "a"}"#,
            Bond::Loose,
        ),
        (
            r#"{"container": "container_1", "messages": []}"#,
            Bond::Account,
        ),
        (
            r#"{"thread": {"type": "continue", "previous_message_id": "msg_1"}, "messages": []}"#,
            Bond::Account,
        ),
        (
            r#"{"thread": {"type": "create"}, "messages": []}"#,
            Bond::Loose,
        ),
        (
            r#"{"cachedContent": "cachedContents/1", "contents": []}"#,
            Bond::Account,
        ),
        (
            r#"{"messages": [{"role": "user", "content": [{"type": "document", "source": {"type": "file", "file_id": "f"}}]}]}"#,
            Bond::Account,
        ),
        (
            r#"{"messages": [{"role": "assistant", "content": [{"type": "thinking", "thinking": "t", "signature": "s"}, {"type": "tool_use"}]}, {"role": "user", "content": [{"type": "tool_result"}]}]}"#,
            Bond::Reasoning,
        ),
        (
            r#"{"messages": [{"role": "assistant", "content": [{"type": "tool_use"}]}, {"role": "user", "content": [{"type": "tool_result"}]}]}"#,
            Bond::Loose,
        ),
        (
            r#"{"messages": [{"role": "assistant", "content": [{"type": "thinking", "thinking": "t", "signature": "s"}]}, {"role": "user", "content": "next"}]}"#,
            Bond::Loose,
        ),
        (
            r#"{"input": [{"type": "reasoning", "encrypted_content": "e"}, {"type": "function_call"}, {"type": "function_call_output"}]}"#,
            Bond::Reasoning,
        ),
        (
            r#"{"messages": [{"role": "assistant", "reasoning_details": [{}], "tool_calls": []}, {"role": "tool", "content": "21"}]}"#,
            Bond::Reasoning,
        ),
    ] {
        assert_eq!(of(body).bond, bond, "{body}");
    }
    let signed = r#"{"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": [{"type": "reasoning", "text": "t", "signature": "s"}, {"type": "tool_use", "id": "1", "name": "n", "arguments": "{}"}]}]}"#;
    let request = Request::from_json(signed).unwrap();
    assert_eq!(of_request(&request, "m").bond, Bond::Loose);
    let answered = request.clone().message(Message::tool_result("1", "21"));
    assert_eq!(of_request(&answered, "m").bond, Bond::Reasoning);
    let item = r#"{"role": "user", "content": [{"type": "other", "dialect": "openai-responses", "json": {"type": "shell_call_output", "call_id": "c", "output": []}}]}"#;
    let answered = request.message(serde_json::from_str(item).unwrap());
    assert_eq!(of_request(&answered, "m").bond, Bond::Reasoning);
    let stored = Request::new()
        .user("a")
        .extra_body("previous_response_id", "resp_1");
    let stored = of_request(&stored, "m");
    assert_eq!(
        (stored.bond, stored.previous),
        (Bond::Account, Some(hash_of("resp_1")))
    );
    let body = r#"{"previous_response_id": "resp_1", "input": "a"}"#;
    assert_eq!(of(body).previous, stored.previous);
    assert_eq!(of(r#"{"previous_response_id": null}"#).previous, None);
    let stored = Request::new().user("a").previous_response_id("resp_1");
    let stored = of_request(&stored, "m");
    assert_eq!(
        (stored.bond, stored.previous),
        (Bond::Account, Some(hash_of("resp_1")))
    );
    let thread = r#"{"thread": {"type": "continue", "previous_message_id": "msg_1"}}"#;
    let thread = of(thread);
    assert_eq!(
        (thread.previous, thread.in_thread),
        (Some(hash_of("msg_1")), true)
    );
    let begun = of(r#"{"thread": {"type": "create"}}"#);
    assert_eq!((begun.previous, begun.in_thread), (None, true));
}

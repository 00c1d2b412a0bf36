//! Requests as clients send them, and what is refused of them by name.

use super::*;

fn chat_of(more: &str) -> Result<Asked, Fault> {
    chat(format!(r#"{{"model":"m","messages":[{{"role":"user","content":"a"}}]{more}}}"#).as_bytes(), 77)
}

fn completion_of(asked: Asked) -> Completion {
    match asked.question.task {
        Task::Completion(asked) => *asked,
        Task::Class { .. } => panic!("a class"),
    }
}

#[test]
fn a_chat_is_read_with_all_that_is_honoured() {
    let plain = chat_of("").unwrap();
    assert_eq!(
        (plain.question.model.as_deref(), plain.question.stream, plain.usage),
        (Some("m"), false, false)
    );
    let plain = completion_of(plain);
    let user = Turn { role: "user", content: "a".to_owned() };
    assert_eq!((plain.prompt, plain.max_tokens, plain.scores), (Prompt::Chat(vec![user]), None, None));
    assert_eq!(plain.decoding, Decoding { seed: 77, ..Decoding::default() });
    let full = r#","temperature":0.5,"top_p":0.9,"top_k":4,"min_p":0.1,"repetition_penalty":1.1,"seed":-1,"stop":["x","y"],
        "max_completion_tokens":9,"logprobs":true,"top_logprobs":3,"stream":true,"stream_options":{"include_usage":true},
        "n":1,"user":"u","tools":null,"frequency_penalty":0,"presence_penalty":0.0,"response_format":{"type":"text"}"#;
    let full = chat_of(full).unwrap();
    assert!(full.question.stream && full.usage);
    let full = completion_of(full);
    assert_eq!((full.max_tokens, full.scores, full.decoding.seed), (Some(9), Some(3), u64::MAX));
    assert_eq!((full.decoding.top_k, full.decoding.top_p), (4, 0.9));
    let parts = r#"{"messages":[{"role":"developer","content":[{"type":"text","text":"b"},{"type":"text","text":"c"}]},
        {"role":"assistant","content":"d","refusal":null,"tool_calls":null}]}"#;
    let turns = match completion_of(chat(parts.as_bytes(), 0).unwrap()).prompt {
        Prompt::Chat(turns) => turns,
        other => panic!("{other:?}"),
    };
    let said: Vec<_> = turns.iter().map(|turn| (turn.role, &*turn.content)).collect();
    assert_eq!(said, [("system", "bc"), ("assistant", "d")]);
}

#[test]
fn what_cannot_be_honoured_is_refused_by_name() {
    for (more, param) in [
        (r#","n":2"#, "n"),
        (r#","tools":[{"type":"function"}]"#, "tools"),
        (r#","tool_choice":"required""#, "tool_choice"),
        (r#","response_format":{"type":"json_object"}"#, "response_format"),
        (r#","frequency_penalty":0.5"#, "frequency_penalty"),
        (r#","logit_bias":{"5":1}"#, "logit_bias"),
        (r#","reasoning_effort":"low""#, "reasoning_effort"),
        (r#","temperature":"hot""#, "temperature"),
        (r#","temperature":-1"#, "temperature"),
        (r#","top_p":0"#, "top_p"),
        (r#","stop":3"#, "stop"),
        (r#","stop":[""]"#, "stop"),
        (r#","max_tokens":0"#, "max_tokens"),
        (r#","max_tokens":4096"#, "max_tokens"),
        (r#","max_tokens":1,"max_completion_tokens":2"#, "max_tokens"),
        (r#","max_tokens":-1"#, "max_tokens"),
        (r#","top_logprobs":3"#, "top_logprobs"),
        (r#","logprobs":true,"top_logprobs":21"#, "top_logprobs"),
        (r#","logprobs":true,"top_logprobs":20,"max_tokens":100"#, "top_logprobs"),
        (r#","stream_options":{"include_usage":true}"#, "stream_options"),
        (r#","stream":true,"stream_options":{"more":1}"#, "stream_options.more"),
    ] {
        let fault = chat_of(more).unwrap_err();
        assert_eq!((fault.status.as_u16(), fault.param.as_deref()), (400, Some(param)), "{more}: {fault:?}");
        assert!(fault.message.contains(param), "{fault:?}");
    }
    for (body, param) in [
        (r#"{}"#, "messages"),
        (r#"{"messages":[]}"#, "messages"),
        (r#"{"messages":["a"]}"#, "messages[0]"),
        (r#"{"messages":[{"role":"tool","content":"a"}]}"#, "messages[0].role"),
        (r#"{"messages":[{"role":"user"}]}"#, "messages[0].content"),
        (r#"{"messages":[{"role":"user","content":"a","tool_calls":[1]}]}"#, "messages[0].tool_calls"),
        (
            r#"{"messages":[{"role":"user","content":[{"type":"image_url","image_url":{}}]}]}"#,
            "messages[0].content[0].type",
        ),
    ] {
        assert_eq!(chat(body.as_bytes(), 0).unwrap_err().param.as_deref(), Some(param), "{body}");
    }
    for body in ["", "[]", "{", "\u{0}"] {
        let fault = chat(body.as_bytes(), 0).unwrap_err();
        assert!(fault.param.is_none() && fault.message.contains("JSON"), "{fault:?}");
    }
}

#[test]
fn a_completion_is_read_and_refused_likewise() {
    let asked = |more: &str| completion(format!(r#"{{"prompt":"a"{more}}}"#).as_bytes(), 5);
    let plain = completion_of(asked("").unwrap());
    assert_eq!((plain.prompt, plain.max_tokens), (Prompt::Raw("a".into()), Some(16)));
    assert_eq!(completion_of(asked(r#","logprobs":2"#).unwrap()).scores, Some(2));
    let listed = completion(br#"{"prompt":["b"]}"#, 0).unwrap();
    assert_eq!(completion_of(listed).prompt, Prompt::Raw("b".into()));
    for (more, param) in [
        (r#","echo":true"#, "echo"),
        (r#","best_of":3"#, "best_of"),
        (r#","suffix":"z""#, "suffix"),
        (r#","logprobs":6"#, "logprobs"),
        (r#","messages":[]"#, "messages"),
    ] {
        assert_eq!(asked(more).unwrap_err().param.as_deref(), Some(param), "{more}");
    }
    for body in [r#"{"prompt":[1,2]}"#, r#"{"prompt":""}"#, r#"{"prompt":7}"#, "{}"] {
        assert_eq!(completion(body.as_bytes(), 0).unwrap_err().param.as_deref(), Some("prompt"), "{body}");
    }
    assert!(class(br#"{"text":"a","model":"m"}"#).is_ok());
    assert_eq!(class(br#"{"text":"a","labels":["b"]}"#).unwrap_err().param.as_deref(), Some("labels"));
}

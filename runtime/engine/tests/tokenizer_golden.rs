//! The tokenizer against ids made by llama.cpp (tests/golden/tokenizer_smollm2.py says how).

#![allow(clippy::unwrap_used, reason = "a helper that fails is a test that fails")]

use serde::Deserialize;
use sprig_engine::gguf::{Gguf, Mapped};
use sprig_engine::tokenizer::{Message, Specials, TextStream, Tokenizer, TokenizerSource};
use sprig_testkit::model::{real_model, workspace};
use std::collections::HashMap;

#[derive(Deserialize)]
struct Golden {
    model_sha256: String,
    independent: Vec<Case>,
    cases: Vec<Case>,
    other_rules: HashMap<String, Vec<Case>>,
    chats: Vec<Chat>,
}

#[derive(Deserialize)]
struct Case {
    text: String,
    parse: bool,
    ids: Vec<u32>,
}

#[derive(Deserialize)]
struct Chat {
    messages: Vec<Turn>,
    generation: bool,
    text: String,
}

#[derive(Deserialize)]
struct Turn {
    role: String,
    content: String,
}

fn golden() -> Golden {
    let path = workspace().join("tests/golden/tokenizer-smollm2.json");
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

fn model() -> Mapped {
    Mapped::open(real_model()).unwrap()
}

fn source(model: &Mapped) -> TokenizerSource<'_> {
    TokenizerSource::from_gguf(&Gguf::parse(model.bytes()).unwrap()).unwrap()
}

fn specials(case: &Case) -> Specials {
    if case.parse { Specials::Parse } else { Specials::Plain }
}

#[test]
fn ids_equal_the_references() {
    let (golden, model) = (golden(), model());
    assert_eq!(model.digest_hex().unwrap(), golden.model_sha256, "the golden file is for another model file");
    let tokenizer = Tokenizer::new(source(&model)).unwrap();
    assert!(golden.cases.len() >= 300 && golden.independent.len() == 14);
    for case in golden.cases.iter().chain(&golden.independent) {
        let ids = tokenizer.encode(&case.text, specials(case));
        assert_eq!(ids, case.ids, "{:?}", case.text);
        // Some control characters have no token: only what they leave comes back.
        let lossless = !case.text.contains(['\x04', '\x06', '\x13', '\x14', '\x16', '\x1d', '\u{40000}']);
        if lossless {
            assert_eq!(tokenizer.decode(&ids), case.text);
            let mut stream = TextStream::new();
            let mut text: String = ids.iter().map(|&id| stream.push(&tokenizer.token_bytes(id))).collect();
            text += &stream.finish();
            assert_eq!(text, case.text);
        }
    }
}

#[test]
fn other_splitting_rules_equal_the_reference_too() {
    let (golden, model) = (golden(), model());
    assert_eq!(golden.other_rules.len(), 2);
    for (pre, cases) in &golden.other_rules {
        let tokenizer = Tokenizer::new(TokenizerSource { pre, ..source(&model) }).unwrap();
        assert!(cases.len() > 200);
        for case in cases {
            assert_eq!(tokenizer.encode(&case.text, specials(case)), case.ids, "{pre} {:?}", case.text);
        }
    }
}

/// The golden texts must tell this model's rules from their neighbours, or they prove nothing.
#[test]
fn without_the_digit_split_the_ids_differ() {
    let (golden, model) = (golden(), model());
    let tokenizer = Tokenizer::new(TokenizerSource { pre: "gpt-2", ..source(&model) }).unwrap();
    let wrong = golden.cases.iter().filter(|c| tokenizer.encode(&c.text, specials(c)) != c.ids);
    let wrong = wrong.count();
    assert!(wrong >= 10, "only {wrong} texts tell");
}

#[test]
fn chats_equal_the_model_s_template_in_jinja() {
    let (golden, model) = (golden(), model());
    let tokenizer = Tokenizer::new(source(&model)).unwrap();
    assert!(golden.chats.len() >= 18);
    for chat in &golden.chats {
        let messages: Vec<_> =
            chat.messages.iter().map(|t| Message { role: &t.role, content: &t.content }).collect();
        assert_eq!(tokenizer.chat(&messages, chat.generation).unwrap(), chat.text);
    }
}

#[test]
fn tokens_the_runtime_names_have_the_model_s_ids() {
    let tokenizer = Tokenizer::from_gguf(&Gguf::parse(model().bytes()).unwrap()).unwrap();
    assert_eq!((tokenizer.vocab_size(), tokenizer.bos(), tokenizer.eos()), (49_152, Some(1), Some(2)));
    assert_eq!(
        (tokenizer.prefix(), tokenizer.id_of("<|im_end|>"), tokenizer.id_of("Ġthe")),
        (None, Some(2), Some(260))
    );
}

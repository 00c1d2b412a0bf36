//! Tokenizers of every kind against stock llama.cpp, the `tokenizers` package and sentencepiece: on real vocabularies, and on
//! one of 48,000 pieces made from the demo model's.
#![allow(clippy::unwrap_used)] // A failed unwrap is a failed test.

use serde_json::{Value, json};
use sprig_engine::gguf::{Gguf, Mapped, Writer};
use sprig_engine::tokenizer::{Specials, Tokenizer, TokenizerSource};
use sprig_testkit::model::real_model;
use sprig_tests::{Stock, strings};
use std::collections::HashMap;
use std::path::Path;

/// Texts a kind.
const TEXTS: usize = 4000;

/// The demo model's tokens as pieces with scores, in the order they were learnt in; with tokens of bytes, and some that a
/// user defined, as Gemma has them.
fn pieces(source: &TokenizerSource<'_>, space_first: bool) -> TokenizerSource<'static> {
    let byte = |c: char| -> u8 {
        let code = u32::from(c);
        let mut others = (0..=255u8).filter(|b| !matches!(b, b'!'..=b'~' | 0xA1..=0xAC | 0xAE..=0xFF));
        if code < 256 { code as u8 } else { others.nth(code as usize - 256).unwrap() }
    };
    let mut tokens: Vec<String> = ["<unk>", "<s>", "</s>"].map(String::from).to_vec();
    let mut token_types = vec![2, 3, 3];
    for text in ["\n", "\n\n", "\n\n\n", "  ", "   ", "    ", "\t", "<b>", "</b>", "<table>", "<tr>", "<td>"]
    {
        tokens.push(text.to_owned());
        token_types.push(4);
    }
    tokens.extend((0..=255u8).map(|b| format!("<0x{b:02X}>")));
    token_types.resize(tokens.len(), 6);
    let texts = source.tokens.iter().zip(&source.token_types).filter(|(_, kind)| **kind == 1);
    let texts = texts.filter_map(|(token, _)| String::from_utf8(token.chars().map(byte).collect()).ok());
    let texts: Vec<String> = texts.collect();
    let alone: std::collections::HashSet<&str> =
        texts.iter().map(String::as_str).filter(|text| text.chars().count() == 1).collect();
    // Merges that a conversion makes of scores reach no piece of characters that are none by themselves.
    let reached = |text: &str| text.chars().all(|c| alone.contains(c.encode_utf8(&mut [0; 4]) as &str));
    for text in texts.iter().filter(|text| reached(text)) {
        if text.chars().all(|c| c == ' ' || !c.is_whitespace() && !c.is_control()) {
            tokens.push(text.replace(' ', "▁"));
        }
    }
    let mut seen = std::collections::HashSet::new();
    tokens.retain(|token| seen.insert(token.replace('▁', " ")));
    token_types.resize(tokens.len(), 1);
    let scores = (0..tokens.len()).map(|i| -(i as f32)).collect();
    TokenizerSource {
        kind: "llama",
        pre: "default",
        tokens: tokens.into_iter().map(|token| &*token.leak()).collect(),
        scores,
        token_types,
        bos: Some(1),
        eos: Some(2),
        unknown: Some(0),
        add_space_prefix: Some(space_first),
        ..Default::default()
    }
}

/// A file of metadata alone, which llama.cpp reads a vocabulary from.
fn write(source: &TokenizerSource<'_>, path: &Path) {
    let writer = Writer::new()
        .metadata("general.architecture", "llama")
        .metadata("llama.block_count", 1u32)
        .metadata("llama.context_length", 64u32)
        .metadata("llama.embedding_length", 64u32)
        .metadata("llama.feed_forward_length", 64u32)
        .metadata("llama.attention.head_count", 1u32)
        .metadata("llama.attention.layer_norm_rms_epsilon", 1e-5f32)
        .metadata("tokenizer.ggml.model", source.kind)
        .metadata("tokenizer.ggml.pre", source.pre)
        .metadata("tokenizer.ggml.tokens", &source.tokens[..])
        .metadata("tokenizer.ggml.token_type", &source.token_types[..])
        .metadata("tokenizer.ggml.bos_token_id", source.bos.unwrap())
        .metadata("tokenizer.ggml.eos_token_id", source.eos.unwrap());
    let writer = match source.kind {
        "llama" => writer
            .metadata("tokenizer.ggml.scores", &source.scores[..])
            .metadata("tokenizer.ggml.unknown_token_id", source.unknown.unwrap())
            .metadata("tokenizer.ggml.add_space_prefix", source.add_space_prefix.unwrap_or(true)),
        _ => writer.metadata("tokenizer.ggml.merges", &source.merges[..]),
    };
    writer.write_atomic(path).unwrap();
}

/// What the other implementations give `texts`.
fn theirs(source: &TokenizerSource<'_>, texts: &[String]) -> HashMap<String, Vec<Vec<u32>>> {
    let folder = tempfile::tempdir().unwrap();
    let [model, parts, given, out] =
        ["model.gguf", "parts", "texts", "out"].map(|name| folder.path().join(name));
    write(source, &model);
    let value: Value = json!({
        "kind": source.kind, "pre": source.pre, "tokens": source.tokens, "types": source.token_types,
        "merges": source.merges, "scores": source.scores, "unknown": source.unknown,
        "space_prefix": source.add_space_prefix.unwrap_or(true),
    });
    std::fs::write(&parts, value.to_string()).unwrap();
    std::fs::write(&given, json!(texts).to_string()).unwrap();
    Stock::find().run("tokens.py", &[&model, &parts, &given, &out]);
    serde_json::from_slice(&std::fs::read(out).unwrap()).unwrap()
}

/// Holds a tokenizer to all others. sentencepiece takes a ▁ of the text for a space, and two of them for the token of two
/// spaces; the others do not, and are followed.
fn compare(name: &str, source: &TokenizerSource<'_>) {
    let tokenizer = Tokenizer::new(source.clone()).unwrap();
    let special = |kinds: &[i32]| -> Vec<&str> {
        let each = source.tokens.iter().zip(&source.token_types);
        each.filter(|(_, kind)| kinds.contains(kind)).map(|(token, _)| *token).take(200).collect()
    };
    let texts = strings(11, TEXTS, &special(&[2, 3, 4]));
    let theirs = theirs(source, &texts);
    for (other, found) in &theirs {
        let specials = if other.ends_with("parse") { Specials::Parse } else { Specials::Plain };
        assert_eq!(found.len(), TEXTS);
        let judged = |text: &str| other != "sentencepiece" || !text.contains('▁');
        let all: Vec<_> = texts.iter().zip(found).filter(|(text, _)| judged(text)).collect();
        let wrong = all.iter().filter(|(text, ids)| tokenizer.encode(text, specials) != **ids);
        let wrong: Vec<_> = wrong.collect();
        println!("{name}: {} of {} as {other}", all.len() - wrong.len(), all.len());
        for (text, ids) in wrong.iter().take(3) {
            println!("  {text:?}\n    there {ids:?}\n    here  {:?}", tokenizer.encode(text, specials));
        }
        assert!(
            all.len() > TEXTS / 2 && wrong.is_empty(),
            "{name}: {} texts differ from {other}",
            wrong.len()
        );
    }
}

#[test]
#[ignore = "needs stock llama.cpp, which a stage of `cargo xtask test` fetches"]
fn byte_level_tokenizers_are_those_of_the_references() {
    let model = Mapped::open(real_model()).unwrap();
    let gguf = Gguf::parse(model.bytes()).unwrap();
    let source = TokenizerSource::from_gguf(&gguf).unwrap();
    for pre in ["smollm", "gpt-2", "llama-bpe", "qwen2"] {
        compare(pre, &TokenizerSource { pre, ..source.clone() });
    }
}

#[test]
#[ignore = "needs stock llama.cpp, which a stage of `cargo xtask test` fetches"]
fn pieces_are_those_of_the_references() {
    let model = Mapped::open(real_model()).unwrap();
    let gguf = Gguf::parse(model.bytes()).unwrap();
    let source = TokenizerSource::from_gguf(&gguf).unwrap();
    for (name, space_first) in [("pieces as Gemma's", false), ("pieces as Llama 2's", true)] {
        compare(name, &pieces(&source, space_first));
    }
}

#[test]
#[ignore = "needs stock llama.cpp and Gemma 3 in SPRIG_GEMMA, which `cargo xtask model gemma3` fetches"]
fn gemma_s_own_vocabulary_gives_the_ids_of_the_references() {
    let path = std::env::var_os("SPRIG_GEMMA").expect("SPRIG_GEMMA names no file of Gemma 3 270M");
    let model = Mapped::open(path).unwrap();
    let gguf = Gguf::parse(model.bytes()).unwrap();
    compare("Gemma 3", &TokenizerSource::from_gguf(&gguf).unwrap());
}

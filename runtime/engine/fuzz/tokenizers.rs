//! Makes a tokenizer of any bytes and gives it a text; shared by the fuzz target and the ordinary tests.

use sprig_engine::tokenizer::{Specials, Tokenizer, TokenizerError, TokenizerSource};

/// Splitting rules that are known, and one that is not.
const RULES: [&str; 6] = ["smollm", "gpt-2", "llama-bpe", "qwen2", "default", "none"];
/// Kinds that are known, and one that is not.
const KINDS: [&str; 3] = ["gpt2", "llama", "bert"];

/// Takes `bytes` as a kind, rules, and then, each up to a zero byte, tokens a line, merges a line, a digit of a token's type
/// each, and a text. How many tokens the text is of.
pub fn walk(bytes: &[u8]) -> Result<usize, TokenizerError> {
    let (head, rest) = bytes.split_at(bytes.len().min(3));
    let [kind, pre, flags] = [0, 1, 2].map(|i| usize::from(head.get(i).copied().unwrap_or(0)));
    let rest = String::from_utf8_lossy(rest);
    let mut parts = rest.split('\0');
    let [tokens, merges, types, text] = [(); 4].map(|()| parts.next().unwrap_or(""));
    let lines = |part: &'_ str| -> Vec<String> { part.lines().map(str::to_owned).collect() };
    let [tokens, merges] = [tokens, merges].map(lines);
    let id = |shift: usize| (flags >> shift & 3 != 3).then_some((flags >> shift & 3) as u32);
    let source = TokenizerSource {
        kind: KINDS[kind % KINDS.len()],
        pre: RULES[pre % RULES.len()],
        tokens: tokens.iter().map(String::as_str).collect(),
        merges: merges.iter().map(String::as_str).collect(),
        // A number that is none now and then: the file is anybody's.
        scores: (0..tokens.len()).map(|i| if i % 97 == 96 { f32::NAN } else { -(i as f32) }).collect(),
        token_types: types.bytes().map(|digit| i32::from(digit) - i32::from(b'0')).collect(),
        bos: id(0),
        eos: id(2),
        unknown: id(4),
        add_bos: Some(flags & 64 != 0),
        add_space_prefix: Some(flags & 128 != 0),
        ..TokenizerSource::default()
    };
    let tokenizer = Tokenizer::new(source)?;
    let mut seen = 0;
    for specials in [Specials::Plain, Specials::Parse] {
        let ids = tokenizer.encode(text, specials);
        assert!(ids.iter().all(|&id| (id as usize) < tokens.len()), "{ids:?} of {} tokens", tokens.len());
        assert_eq!(tokenizer.count(text, specials), ids.len());
        std::hint::black_box(tokenizer.decode(&ids));
        seen += ids.len();
    }
    Ok(seen)
}

//! Renders a conversation by any chat template; shared by the fuzz target and the ordinary tests.

use sprig_engine::tokenizer::{Message, Tokenizer, TokenizerError, TokenizerSource};

/// Roles, and one that no template knows.
const ROLES: [&str; 4] = ["user", "assistant", "system", "other"];

/// Takes `bytes` as a template and, behind a zero byte each, what is said in turns, whose first byte chooses who says it.
/// How many ways of asking the template renders, of two.
pub fn walk(bytes: &[u8]) -> Result<usize, TokenizerError> {
    let text = String::from_utf8_lossy(bytes);
    let mut parts = text.split('\0');
    let template = parts.next().unwrap_or("");
    let source = TokenizerSource {
        kind: "gpt2",
        pre: "gpt-2",
        tokens: vec!["<s>", "</s>", "a", "b", "ab"],
        merges: vec!["a b"],
        token_types: vec![3, 3, 1, 1, 1],
        bos: Some(0),
        eos: Some(1),
        chat_template: Some(template),
        ..TokenizerSource::default()
    };
    let tokenizer = Tokenizer::new(source)?;
    let turns: Vec<(usize, String)> = parts
        .take(16)
        .map(|part| (part.bytes().next().unwrap_or(0).into(), part.chars().skip(1).collect()))
        .collect();
    let messages: Vec<Message<'_>> =
        turns.iter().map(|(role, content)| Message { role: ROLES[role % ROLES.len()], content }).collect();
    Ok([false, true].into_iter().filter(|generation| tokenizer.chat(&messages, *generation).is_ok()).count())
}

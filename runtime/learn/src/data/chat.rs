//! A conversation in tokens: the model's chat template around its turns, and which tokens the assistant says.

use super::conversation::{Role, Turn};
use super::encoded::{EncodeError, Kind};
use super::error::Problem;
use super::prompt::MARK;
use sprig_engine::tokenizer::{Message, Specials, Tokenizer};

/// A conversation in tokens.
pub(super) struct Chat {
    /// At most as many as there is room for.
    pub(super) tokens: Vec<u32>,
    /// Tokens that were cut off.
    pub(super) cut: usize,
    /// Tokens of all of it.
    pub(super) whole: usize,
    /// What the assistant says: from and to, as if nothing had been cut.
    said: Vec<(usize, usize)>,
}

impl Chat {
    /// `turns`, the last of which is the assistant's, in up to `len` tokens.
    pub(super) fn new(tokenizer: &Tokenizer, turns: &[Turn], len: usize) -> Result<Self, EncodeError> {
        let answers = || turns.iter().filter(|turn| turn.role == Role::Assistant);
        let text = rendered(tokenizer, turns)?;
        let parts: Vec<&str> = text.split(MARK).collect();
        if parts.len() != answers().count() + 1 {
            let found = "the model's chat template does not keep what the assistant says";
            return Err(Problem::new(found, "write {\"prompt\", \"completion\"}").into());
        }
        let mut chat = Self { tokens: Vec::new(), cut: 0, whole: 0, said: Vec::new() };
        let mut answers = answers();
        for (i, part) in parts.iter().enumerate() {
            let from = chat.whole;
            let first = chat.take(tokenizer, part, len);
            let ended = first.is_some_and(|token| is_special(tokenizer, token));
            if let Some(said) = chat.said.last_mut() {
                said.1 += usize::from(ended && said.1 == from);
            }
            let Some(answer) = answers.next() else {
                // Behind the last answer nothing is to be learnt but its end.
                if let (Some(said), true) = (chat.said.last(), i > 0) {
                    chat.end(tokenizer, said.1, ended, len);
                }
                break;
            };
            let from = chat.whole;
            chat.take(tokenizer, &answer.content, len);
            chat.said.push((from, chat.whole));
        }
        // Nor is anything behind the last answer that there is room for.
        let kept = chat.said.iter().rfind(|said| said.0 < chat.tokens.len());
        let end = kept.map_or(0, |said| said.1);
        chat.tokens.truncate(end);
        chat.cut = chat.whole - chat.tokens.len();
        Ok(chat)
    }

    /// What is learnt of it; `None` where its first answer is not whole.
    pub(super) fn kind(&self) -> Option<Kind> {
        let len = self.tokens.len();
        let kept = self.said.iter().take_while(|said| said.0 < len);
        let pauses = kept.clone().zip(kept.clone().skip(1));
        let pauses = pauses.filter(|(one, next)| one.1 < next.0);
        let pauses = pauses.map(|(one, next)| (one.1 as u32, next.0 as u32)).collect();
        let first = self.said.first().filter(|said| said.1 <= len && len > 1)?;
        Some(Kind::Chat { first: first.0.max(1), pauses })
    }

    /// Adds the tokens of `text` that there is room for, and tells the first.
    fn take(&mut self, tokenizer: &Tokenizer, text: &str, len: usize) -> Option<u32> {
        let room = len - self.tokens.len();
        let (found, more) = tokenizer.encode_first(text, Specials::Parse, room.max(1));
        self.whole += if more { tokenizer.count(text, Specials::Parse) } else { found.len() };
        let first = found.first().copied();
        self.tokens.extend(found.into_iter().take(room));
        first
    }

    /// Ends the last answer at token `end`, with the token that ends a turn where the template has none of its own.
    fn end(&mut self, tokenizer: &Tokenizer, end: usize, ended: bool, len: usize) {
        self.whole = end;
        self.tokens.truncate(end);
        if let (false, Some(end_of_turn)) = (ended, tokenizer.end_of_turn()) {
            self.whole += 1;
            if let Some(said) = self.said.last_mut() {
                said.1 += 1;
            }
            if self.tokens.len() == end && end < len {
                self.tokens.push(end_of_turn);
            }
        }
    }
}

/// The text of a conversation, with a mark wherever the assistant says something: what it says is tokenised by itself, as it
/// will be when the model writes it.
fn rendered<'t>(tokenizer: &Tokenizer, turns: &'t [Turn]) -> Result<String, EncodeError> {
    if turns.iter().any(|turn| turn.content.contains(MARK)) {
        let found = format!("a message with the character U+{:X}, which is none", u32::from('\u{10FFFE}'));
        return Err(Problem::new(found, "take it out").into());
    }
    let content = |turn: &'t Turn| if turn.role == Role::Assistant { MARK } else { turn.content.as_str() };
    let messages: Vec<Message<'_>> =
        turns.iter().map(|turn| Message { role: turn.role.name(), content: content(turn) }).collect();
    Ok(tokenizer.chat(&messages, false)?)
}

/// Whether a token is one that text alone does not become.
fn is_special(tokenizer: &Tokenizer, token: u32) -> bool {
    let text = tokenizer.decode(&[token]);
    !text.is_empty() && tokenizer.encode_first(&text, Specials::Plain, 1) != (vec![token], false)
}

//! What surrounds a record's text, in words and in tokens, and what gives way when both are too long.

use super::error::Problem;
use sprig_engine::tokenizer::{Message, Specials, Tokenizer, TokenizerError};

/// Stands for the record's own text while the chat template is rendered once to learn what surrounds it: a
/// character that Unicode will never assign.
pub(super) const MARK: &str = "\u{10FFFE}";

/// Where a template takes the record's text.
pub const TEXT: &str = "{text}";
/// Where a template takes the list of labels.
pub const OPTIONS: &str = "{options}";

/// Which end of the record's text stays when it is too long.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Keep {
    Head,
    Tail,
}

/// What surrounds a record's text: the task's words and, unless raw, the model's chat template around them.
pub(super) struct Prompt {
    raw: bool,
    /// The task's words before and after the text.
    lead: String,
    trail: String,
    /// The same with the chat template, in tokens: what must stay when the text is cut.
    before: Vec<u32>,
    after: Vec<u32>,
}

/// A prompt in tokens, and how many tokens of its text were cut off.
pub(super) struct Encoded {
    pub(super) tokens: Vec<u32>,
    pub(super) cut: usize,
}

impl Prompt {
    /// A prompt with `lead` and `trail` around every text.
    pub(super) fn new(
        tokenizer: &Tokenizer,
        raw: bool,
        lead: &str,
        trail: &str,
    ) -> Result<Self, TokenizerError> {
        let (before, after) = if raw {
            (lead.to_owned(), trail.to_owned())
        } else {
            let whole = chat(tokenizer, &format!("{lead}{MARK}{trail}"))?;
            let (before, after) = whole.split_once(MARK).ok_or_else(|| TokenizerError::ChatTemplate {
                why: "it leaves out the user's message".to_owned(),
            })?;
            (before.to_owned(), after.to_owned())
        };
        let mut before_tokens: Vec<u32> = tokenizer.prefix().filter(|_| raw).into_iter().collect();
        before_tokens.extend(tokenizer.encode(&before, Specials::Parse));
        Ok(Self {
            raw,
            lead: lead.to_owned(),
            trail: trail.to_owned(),
            before: before_tokens,
            after: tokenizer.encode(&after, Specials::Parse),
        })
    }

    /// A prompt made of a template with one [`TEXT`], and [`OPTIONS`] where wanted.
    pub(super) fn from_template(
        tokenizer: &Tokenizer,
        raw: bool,
        template: &str,
        options: &str,
    ) -> Result<Result<Self, Problem>, TokenizerError> {
        match template.split(TEXT).collect::<Vec<_>>()[..] {
            [lead, trail] => {
                let [lead, trail] = [lead, trail].map(|part| part.replace(OPTIONS, options));
                Self::new(tokenizer, raw, &lead, &trail).map(Ok)
            }
            ref parts => Ok(Err(Problem::new(
                format!("the template has {} places for {TEXT}", parts.len() - 1),
                "write exactly one",
            ))),
        }
    }

    /// Bytes of the task's words.
    pub(super) fn words(&self) -> usize {
        self.lead.len() + self.trail.len()
    }

    /// Tokens a prompt has beyond its text, about.
    pub(super) fn overhead(&self) -> usize {
        self.before.len() + self.after.len()
    }

    /// The prompt around `text` in at most `room` tokens, its text cut at one end if it must be. The room must
    /// hold [`overhead`](Self::overhead).
    pub(super) fn encode(
        &self,
        tokenizer: &Tokenizer,
        text: &str,
        keep: Keep,
        room: usize,
    ) -> Result<Encoded, TokenizerError> {
        let mut whole = format!("{}{text}{}", self.lead, self.trail);
        let mut tokens: Vec<u32> = tokenizer.prefix().filter(|_| self.raw).into_iter().collect();
        if !self.raw {
            whole = chat(tokenizer, &whole)?;
        }
        let (found, more) =
            tokenizer.encode_first(&whole, Specials::Parse, room.saturating_sub(tokens.len()));
        drop(whole);
        if !more {
            tokens.extend(found);
            return Ok(Encoded { tokens, cut: 0 });
        }
        // Tokens that span the seams between template and text differ from the uncut prompt's; only cut ones do.
        let left = room.saturating_sub(self.overhead());
        let kept = match keep {
            Keep::Head => tokenizer.encode_first(text, Specials::Parse, left).0,
            Keep::Tail => tokenizer.encode_last(text, Specials::Parse, left),
        };
        // Where the seams alone make it too long, one token is said to be missing.
        let cut = tokenizer.count(text, Specials::Parse).saturating_sub(kept.len()).max(1);
        Ok(Encoded { tokens: [&self.before[..], &kept, &self.after].concat(), cut })
    }

    /// `word` as it follows this prompt: after a raw prompt that does not end in white space, a space comes first.
    pub(super) fn answer(&self, word: &str) -> String {
        answer(self.raw, &self.trail, word)
    }
}

/// `text` as a prompt of its own, in tokens: made as the prompts of a training are.
///
/// # Errors
/// The model has no chat template that could be used, and the prompt is not raw.
pub fn prompt(tokenizer: &Tokenizer, raw: bool, text: &str) -> Result<Vec<u32>, TokenizerError> {
    Ok(Prompt::new(tokenizer, raw, "", "")?.encode(tokenizer, text, Keep::Tail, usize::MAX)?.tokens)
}

/// `word` as it follows a prompt that ends in `before`: after a raw one that does not end in white space, a space comes
/// first.
pub fn answer(raw: bool, before: &str, word: &str) -> String {
    let space = raw && !before.ends_with(char::is_whitespace);
    format!("{}{word}", if space { " " } else { "" })
}

fn chat(tokenizer: &Tokenizer, content: &str) -> Result<String, TokenizerError> {
    tokenizer.chat(&[Message { role: "user", content }], true)
}

//! An answer under way: from chosen tokens to text that may be shown, until something ends it.

use super::decoding::{Chooser, Decoding};
use super::stops::Stops;
use sprig_engine::tokenizer::{TextStream, Tokenizer};

/// Why an answer ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The model ended it.
    Model,
    /// A stop did.
    Stop,
    /// It is as long as it may be.
    Length,
}

/// What a step brought.
#[derive(Clone, Debug, PartialEq)]
pub struct Written {
    /// The token that was chosen; not part of the text where the model ended it.
    pub token: u32,
    /// Text that is certain now: it may be behind the tokens by the rest of a character, or what may become a stop.
    pub text: String,
    /// Whether it ended with that, and why. Otherwise the model is to read the token.
    pub end: Option<End>,
}

/// Writes an answer, a token a step.
pub struct Writing<'a> {
    tokenizer: &'a Tokenizer,
    chooser: &'a mut Chooser,
    stream: TextStream,
    stops: Stops,
    most: u32,
    tokens: u32,
}

impl<'a> Writing<'a> {
    /// An answer of up to `most` tokens to the tokens `read`.
    pub fn begin(
        tokenizer: &'a Tokenizer,
        chooser: &'a mut Chooser,
        (how, stops): (Decoding, Stops),
        read: &[u32],
        most: u32,
    ) -> Self {
        chooser.begin(how, read);
        Self { tokenizer, chooser, stream: TextStream::new(), stops, most, tokens: 0 }
    }

    /// Tokens so far, without one that ended it.
    pub fn tokens(&self) -> u32 {
        self.tokens
    }

    /// The next token, from the logits behind all before.
    pub fn step(&mut self, logits: &[f32]) -> Written {
        let token = self.chooser.choose(logits, self.tokens);
        if self.tokenizer.is_end(token) {
            return Written { token, text: self.rest(), end: Some(End::Model) };
        }
        self.tokens += 1;
        let whole = self.stream.push(&self.tokenizer.token_bytes(token));
        let (mut text, stopped) = self.stops.push(&whole);
        let end = match (stopped, self.tokens >= self.most) {
            (true, _) => Some(End::Stop),
            (false, true) => {
                text.push_str(&self.rest());
                Some(End::Length)
            }
            (false, false) => None,
        };
        Written { token, text, end }
    }

    /// What is held back, where somebody else ends it.
    pub fn rest(&mut self) -> String {
        let (text, stopped) = self.stops.push(&std::mem::take(&mut self.stream).finish());
        if stopped { text } else { text + &self.stops.finish() }
    }
}

/// The name that doors know it by.
impl End {
    /// `stop` or `length`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Model | Self::Stop => "stop",
            Self::Length => "length",
        }
    }
}

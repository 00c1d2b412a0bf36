//! What was said so far, within a number of tokens.

use sprig_engine::tokenizer::{Message, Specials, Tokenizer, TokenizerError};

/// A conversation.
#[derive(Clone, Debug, Default)]
pub struct History {
    system: Option<String>,
    /// By turns of `user` and `assistant`.
    turns: Vec<String>,
}

/// A conversation in tokens, up to where the next answer begins.
#[derive(Debug)]
pub struct Told {
    /// It.
    pub tokens: Vec<u32>,
    /// Turns that were dropped for want of room.
    pub dropped: usize,
}

impl History {
    /// Nothing yet but what the model is told before.
    pub fn new(system: Option<String>) -> Self {
        Self { system, turns: Vec::new() }
    }

    /// Forgets what was said.
    pub fn reset(&mut self) {
        self.turns.clear();
    }

    /// Adds a turn of whoever's it is.
    pub fn say(&mut self, text: String) {
        self.turns.push(text);
    }

    /// Takes the last turn back.
    pub fn unsay(&mut self) {
        self.turns.pop();
    }

    /// The conversation in up to `room` tokens: its oldest turns are dropped, a question with its answer, where it is longer. `None`
    /// where not even the last question has room; the conversation is then as it was.
    ///
    /// # Errors
    /// The model has no chat template that could be used.
    pub fn tell(&mut self, tokenizer: &Tokenizer, room: usize) -> Result<Option<Told>, TokenizerError> {
        let mut dropped = 0;
        loop {
            let text = tokenizer.chat(&self.messages(dropped), true)?;
            let (tokens, more) = tokenizer.encode_first(&text, Specials::Parse, room);
            if !more {
                self.turns.drain(..dropped);
                return Ok(Some(Told { tokens, dropped }));
            }
            if dropped + 2 >= self.turns.len() {
                return Ok(None);
            }
            dropped += 2;
        }
    }

    fn messages(&self, from: usize) -> Vec<Message<'_>> {
        let system = self.system.iter().map(|content| Message { role: "system", content });
        let roles = ["user", "assistant"].into_iter().cycle();
        let turns = self.turns[from..].iter().zip(roles).map(|(content, role)| Message { role, content });
        system.chain(turns).collect()
    }
}

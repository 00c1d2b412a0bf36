//! Reasonings about a question, drawn one by one from a seed; they share keys and values of the question, which is read once.

use crate::exit::Failure;
use sprig_budget::alloc;
use sprig_engine::model::Generator;
use sprig_engine::tokenizer::{TextStream, Tokenizer};
use sprig_learn::sampling::Sampler;

/// How reasonings are drawn.
pub struct Drawing {
    /// Draws their tokens.
    pub sampler: Sampler,
    /// Most tokens of one.
    pub max_tokens: u32,
    /// What stands between a reasoning and its answer.
    pub cue: Vec<u32>,
}

impl Drawing {
    /// Most tokens behind the question.
    pub fn tokens(&self) -> u32 {
        self.max_tokens + self.cue.len() as u32
    }

    /// Reasoning `text`, of each token the surest of `draws`, and its number of tokens. `generator` has read the question, and
    /// then holds the logits behind the cue.
    pub fn reason(
        &self,
        tokenizer: &Tokenizer,
        generator: &mut Generator<'_>,
        (text, draws): (u32, u32),
    ) -> Result<(String, u32), Failure> {
        let (mut stream, mut written, mut tokens) = (TextStream::new(), String::new(), 0);
        while tokens < self.max_tokens {
            let next = self.sampler.draw(generator.logits(), [text, tokens], draws);
            if tokenizer.is_end(next) {
                break;
            }
            written.push_str(&stream.push(&tokenizer.token_bytes(next)));
            tokens += 1;
            alloc::check()?;
            generator.feed(&[next])?;
        }
        written.push_str(&stream.finish());
        if !self.cue.is_empty() {
            generator.feed(&self.cue)?;
        }
        Ok((written, tokens))
    }
}

/// Takes `generator` back to where it had read `question`, for another reasoning.
pub fn again(generator: &mut Generator<'_>, question: &[u32]) -> Result<(), Failure> {
    // The logits behind the question are not kept: its last token is read once more.
    let last = question.len().saturating_sub(1);
    generator.rewind(last);
    generator.feed(&question[last..])?;
    Ok(())
}

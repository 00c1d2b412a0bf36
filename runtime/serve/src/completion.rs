//! How a text is written for whoever asked, and told as it comes.

use crate::answerer::Answerer;
use crate::desk::{Answer, Part, Piece, Score, Scored};
use crate::question::{Completion, MOST_TOKENS, Prompt, Refusal};
use sprig_engine::tokenizer::{Message, Specials};
use sprig_learn::data::prompt;
use sprig_learn::sampling::{End, Writing, log_probabilities};

impl Answerer<'_> {
    /// Writes what `asked` wants, until it ends, or whoever asked is `gone`.
    pub(crate) fn complete(
        &mut self,
        asked: Completion,
        gone: &dyn Fn() -> bool,
        say: &mut dyn FnMut(Piece) -> bool,
    ) -> Result<Answer, Refusal> {
        let tokens = self.tokens(&asked.prompt)?;
        let most = self.room(&asked, tokens.len())?;
        let mut answer = Answer { prompt_tokens: tokens.len(), ..Answer::default() };
        answer.finish_reason = "interrupted";
        if !self.read(&tokens, gone)? {
            return Ok(answer);
        }
        (answer.gates, answer.local_blocks) = self.routes();
        let Completion { decoding, stops, scores: wanted, .. } = asked;
        let (tokenizer, generator) = (self.tokenizer, &mut self.generator);
        let mut writing =
            Writing::begin(tokenizer, &mut self.chooser, (decoding, stops), &tokens, most as u32);
        let mut scores = Vec::new();
        while !gone() {
            let logits = generator.logits();
            let step = writing.step(logits);
            if let Some(rivals) = wanted.filter(|_| step.end != Some(End::Model)) {
                let scored = |(id, logprob)| Scored { bytes: tokenizer.token_bytes(id).into(), logprob };
                let (logprob, rivals) = log_probabilities(logits, step.token, rivals);
                let rivals = rivals.into_iter().map(scored).collect();
                scores.push(Score { token: scored((step.token, logprob)), rivals });
            }
            answer.text.push_str(&step.text);
            if step.end == Some(End::Stop) && step.text.is_empty() {
                scores.clear(); // of the stop, which is no part of the answer
            }
            let ends = step.end.is_some() && !scores.is_empty();
            let text = step.text;
            if (ends || !text.is_empty())
                && !say(Piece::Text(Part { text, scores: std::mem::take(&mut scores) }))
            {
                break;
            }
            if let Some(end) = step.end {
                answer.finish_reason = end.name();
                break;
            }
            generator.feed(&[step.token]).map_err(|e| Refusal::Failed(e.to_string()))?;
        }
        answer.completion_tokens = writing.tokens() as usize;
        if answer.finish_reason == "interrupted" {
            let text = writing.rest();
            answer.text.push_str(&text);
            if !text.is_empty() {
                say(Piece::Text(Part { text, scores }));
            }
        }
        Ok(answer)
    }

    /// What comes before the text, in tokens: few more than there is room for.
    fn tokens(&self, asked: &Prompt) -> Result<Vec<u32>, Refusal> {
        let found = match asked {
            Prompt::Raw(text) => prompt(self.tokenizer, true, text),
            Prompt::Message(text) => prompt(self.tokenizer, false, text),
            Prompt::Chat(turns) => {
                let messages: Vec<Message<'_>> =
                    turns.iter().map(|turn| Message { role: turn.role, content: &turn.content }).collect();
                let whole = self.tokenizer.chat(&messages, true);
                whole.map(|text| {
                    self.tokenizer.encode_first(&text, Specials::Parse, self.limits.context + MOST_TOKENS).0
                })
            }
        };
        found.map_err(|e| Refusal::Bad(e.to_string()))
    }

    /// Tokens that may be written behind a prompt of `have`.
    fn room(&self, asked: &Completion, have: usize) -> Result<usize, Refusal> {
        let limit = self.limits.context;
        match asked.max_tokens {
            Some(most) if have + most > limit => Err(Refusal::TooLarge(format!(
                "`prompt` has {have} tokens, and with `max_tokens` {most} that is more than the {limit} served here"
            ))),
            None if have >= limit => Err(Refusal::TooLarge(format!(
                "the prompt has {have} tokens, which leaves no room for an answer in the {limit} served here"
            ))),
            _ => Ok(asked.most().min(limit - have)),
        }
    }
}

//! An answer that is one of a few: each by its first token, as label and choice adapters are trained to answer.

use crate::args::InferArgs;
use crate::exit::{Exit, Failure};
use crate::output::line;
use crate::worn::Routes;
use serde_json::json;
use sprig_engine::dual::BatchError;
use sprig_engine::tokenizer::{Specials, Tokenizer};
use sprig_learn::calibration::probabilities;
use sprig_learn::data::{Labels, answer};

/// Answers to pick from.
pub struct Answers {
    /// Name and token of each.
    pub each: Vec<(String, u32)>,
    /// What to say of the question beforehand.
    pub warning: Option<String>,
    /// Whether the text was too long, and lost its end.
    pub cut: bool,
}

impl Answers {
    /// `choices`, each by the token it begins with as an answer to `prompt`.
    pub fn new(choices: &[String], raw: bool, prompt: &str, tokenizer: &Tokenizer) -> Result<Self, Failure> {
        let mut each: Vec<(String, u32)> = Vec::with_capacity(choices.len());
        for choice in choices {
            let text = answer(raw, prompt, choice);
            match tokenizer.encode(&text, Specials::Plain).first() {
                Some(&id) if each.iter().all(|(_, other)| *other != id) => each.push((choice.clone(), id)),
                _ => {
                    let message = format!(
                        "--choices: `{choice}` is empty or begins with the same token as another; use other words"
                    );
                    return Err(Failure::new(Exit::Usage, message));
                }
            }
        }
        Ok(Self { each, warning: None, cut: false })
    }

    /// Labels, by the tokens that stand for them.
    pub fn labels(labels: &Labels, cut: bool) -> Self {
        let each = labels.names().iter().cloned().zip(labels.tokens().iter().copied()).collect();
        Self { each, warning: None, cut }
    }

    /// Each answer's share of the probability of all, in their order.
    ///
    /// # Errors
    /// An answer is a token that the model does not have.
    pub fn probabilities(&self, logits: &[f32]) -> Result<Vec<f64>, Failure> {
        let vocabulary = logits.len();
        if let Some(&(_, token)) = self.each.iter().find(|(_, token)| *token as usize >= vocabulary) {
            return Err(Failure::new(Exit::BadFile, BatchError::Answer { token, vocabulary }));
        }
        let values: Vec<f64> = self.each.iter().map(|(_, id)| f64::from(logits[*id as usize])).collect();
        Ok(probabilities(&values, 1.0))
    }

    /// The same among the `first` answers alone.
    ///
    /// # Errors
    /// The same.
    pub fn of_first(&self, first: usize, logits: &[f32]) -> Result<Vec<f64>, Failure> {
        let mut shares = self.probabilities(logits)?;
        shares.truncate(first);
        let sum: f64 = shares.iter().sum();
        shares.iter_mut().for_each(|share| *share /= sum);
        Ok(shares)
    }

    /// Each answer with its share, the likeliest first; of equals the first named.
    fn shares(&self, logits: &[f32]) -> Result<Vec<(&str, f64)>, Failure> {
        let names = self.each.iter().map(|(name, _)| name.as_str());
        let mut shares: Vec<_> = names.zip(self.probabilities(logits)?).collect();
        shares.sort_by(|a, b| b.1.total_cmp(&a.1));
        Ok(shares)
    }

    /// Prints the answers by their share, the winner marked. `tokens` of prompt came at `rate` a second.
    pub fn print(
        &self,
        args: &InferArgs,
        logits: &[f32],
        (tokens, rate): (usize, f64),
        routes: &Routes,
    ) -> Result<(), Failure> {
        let shares = self.shares(logits)?;
        if !args.model.json {
            shares.iter().enumerate().try_for_each(|(i, (name, share))| {
                let mark = if i == 0 { "*" } else { " " };
                line(format_args!("{mark} {:5.1} %  {name}", 100.0 * share))
            })?;
            return routes.told().map_or(Ok(()), line);
        }
        let each = shares.iter().map(|(name, share)| json!({ "choice": name, "probability": share }));
        line(json!({
            "text": shares.first().map(|(name, _)| name), "tokens": 1, "choices": each.collect::<Vec<_>>(),
            "prompt_tokens": tokens, "cut": self.cut, "warning": self.warning,
            "gates": routes.gates, "local_blocks": routes.local,
            "prefill_tokens_per_s": rate, "decode_tokens_per_s": 0.0,
        }))
    }
}

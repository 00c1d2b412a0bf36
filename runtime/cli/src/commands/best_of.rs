//! `sprig infer --best-of`: several reasonings about one question, and the answer that the model is surest of (Confidence@k,
//! CATTO). They share keys and values of the question, which is read once.

use super::drawing::{Drawing, again};
use super::pick::Answers;
use crate::args::InferArgs;
use crate::exit::{Exit, Failure};
use crate::output::{Output, line};
use serde_json::json;
use sprig_budget::process;
use sprig_engine::model::Generator;
use sprig_engine::tokenizer::{Specials, Tokenizer};
use sprig_learn::calibration::{Vote, answer};
use sprig_learn::directions::run_key;
use sprig_learn::recipe::{NotNegative, Positive};
use sprig_learn::sampling::{ConfidenceAt, Sampler};

/// What logits are divided by unless told otherwise.
const TEMPERATURE: Positive = Positive::of(0.8);

/// How several reasonings are drawn and judged.
pub struct BestOf<'a> {
    args: &'a InferArgs,
    best_of: u32,
    drawing: Drawing,
    answers: Answers,
}

/// A reasoning, and what the model makes of all answers behind it.
struct Candidate {
    text: String,
    tokens: u32,
    shares: Vec<f64>,
}

impl<'a> BestOf<'a> {
    /// As the flags say.
    pub fn new(args: &'a InferArgs, best_of: u32, tokenizer: &Tokenizer) -> Result<Self, Failure> {
        let temperature = args.decoding.temperature.map_or(TEMPERATURE.get(), NotNegative::get);
        if temperature <= 0.0 {
            let message =
                "--temperature 0 draws the same reasoning each time; with --best-of use a number above 0";
            return Err(Failure::new(Exit::Usage, message));
        }
        let seed = args.decoding.seed.unwrap_or(0);
        Ok(Self {
            args,
            best_of,
            drawing: Drawing {
                sampler: Sampler { key: run_key(seed), temperature },
                max_tokens: args.max_tokens,
                cue: tokenizer.encode(&args.cue, Specials::Plain),
            },
            answers: Answers::new(&args.choices, true, &args.cue, tokenizer)?,
        })
    }

    /// Most tokens behind the question.
    pub fn tokens(&self) -> u32 {
        self.drawing.tokens()
    }

    /// Draws, judges and prints. `generator` has read the question, which is `prompt`.
    pub fn answer(
        &self,
        tokenizer: &Tokenizer,
        generator: &mut Generator<'_>,
        prompt: &[u32],
    ) -> Result<(), Failure> {
        let (texts, draws) = match self.args.conf_at {
            ConfidenceAt::Sample => (self.best_of, 1),
            ConfidenceAt::Token => (1, self.best_of),
        };
        let mut candidates = Vec::with_capacity(texts as usize);
        let (mut output, what) = (Output::new(self.args.model.json), "reasoning");
        output.begin(what, texts.into(), 0);
        for text in 0..texts {
            if text > 0 {
                again(generator, prompt)?;
            }
            candidates.push(self.candidate(tokenizer, generator, (text, draws))?);
            output.at(u64::from(text) + 1, || what.to_owned());
        }
        output.end();
        self.print(&candidates, prompt.len())
    }

    fn candidate(
        &self,
        tokenizer: &Tokenizer,
        generator: &mut Generator<'_>,
        (text, draws): (u32, u32),
    ) -> Result<Candidate, Failure> {
        let (written, tokens) = self.drawing.reason(tokenizer, generator, (text, draws))?;
        let shares = self.answers.probabilities(generator.logits())?;
        Ok(Candidate { text: written, tokens, shares })
    }

    fn print(&self, candidates: &[Candidate], prompt_tokens: usize) -> Result<(), Failure> {
        let shares: Vec<Vec<f64>> = candidates.iter().map(|candidate| candidate.shares.clone()).collect();
        let name = |place: usize| self.answers.each.get(place).map_or("", |(name, _)| name.as_str());
        let Some(vote) = Vote::of(&shares) else { return Ok(()) };
        if self.args.model.json {
            let each = candidates.iter().map(|candidate| {
                let (place, confidence) = answer(&candidate.shares);
                json!({
                    "answer": name(place), "confidence": confidence, "text": candidate.text,
                    "tokens": candidate.tokens,
                })
            });
            return line(json!({
                "chosen": name(vote.chosen), "candidates": each.collect::<Vec<_>>(), "single": name(vote.single),
                "majority": name(vote.majority), "soft_vote": name(vote.soft), "prompt_tokens": prompt_tokens,
                "peak_rss_bytes": process::status().peak_rss,
            }));
        }
        for (i, candidate) in candidates.iter().enumerate() {
            let (place, confidence) = answer(&candidate.shares);
            let mark = if i == vote.surest { "*" } else { " " };
            let text = candidate.text.split_whitespace().collect::<Vec<_>>().join(" ");
            line(format_args!("{mark} {:5.1} %  {}  {text}", 100.0 * confidence, name(place)))?;
        }
        let (majority, soft) = (name(vote.majority), name(vote.soft));
        line(format_args!("{}; most say {majority}, their probabilities together {soft}", name(vote.chosen)))
    }
}

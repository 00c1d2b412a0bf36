//! The one who answers: a model with what it wears, a question at a time.

use crate::desk::{Answer, Label, Piece, Seat, Waiting};
use crate::question::{Limits, Refusal, Task};
use sprig_budget::{BudgetError, alloc};
use sprig_engine::adapter::Adapter;
use sprig_engine::model::Generator;
use sprig_engine::tokenizer::{TextStream, Tokenizer};
use sprig_learn::calibration::probabilities;
use sprig_learn::data::{Asker, prompt};
use std::time::{Duration, Instant};

/// Longest wait for a question before the answerer looks around.
const GLANCE: Duration = Duration::from_millis(200);

/// What answers.
pub struct Answerer<'m> {
    /// Keys and values of the text under way, and the model.
    pub generator: Generator<'m>,
    /// Its words.
    pub tokenizer: &'m Tokenizer,
    /// What is worn over the model.
    pub adapter: Option<&'m Adapter>,
    /// Who asks for labels, where the adapter has some.
    pub labelling: Option<Asker<'m>>,
    /// How large questions may be.
    pub limits: Limits,
}

/// What became of a question, for whoever keeps count.
#[derive(Clone, Debug, PartialEq)]
pub struct Told {
    /// Tokens of the question.
    pub prompt_tokens: usize,
    /// Tokens written.
    pub completion_tokens: usize,
    /// Seconds it took.
    pub seconds: f64,
    /// Why there was no answer, or not all of one.
    pub problem: Option<String>,
}

impl Answerer<'_> {
    /// Answers until `stop` says so, or every door is gone.
    ///
    /// # Errors
    /// The budget does not hold: nobody is answered after that.
    pub fn serve(
        &mut self,
        seat: &Seat,
        stop: &dyn Fn() -> bool,
        told: &mut dyn FnMut(Told),
    ) -> Result<(), BudgetError> {
        while !stop() {
            let Ok(waiting) = seat.next(GLANCE) else { return Ok(()) };
            alloc::check()?;
            let Some(Waiting { question, to }) = waiting else { continue };
            if to.is_closed() {
                continue; // nobody waits for it any more
            }
            let start = Instant::now();
            // A full queue cannot be: it has as many places as there are pieces.
            let mut say = |piece: Piece| to.try_send(piece).is_ok();
            let found = match question.task {
                Task::Completion { prompt, raw, max_tokens } => {
                    self.complete(&prompt, raw, max_tokens, stop, &mut say)
                }
                Task::Class { text } => self.classify(&text),
            };
            let seconds = start.elapsed().as_secs_f64();
            let mut end = Told { prompt_tokens: 0, completion_tokens: 0, seconds, problem: None };
            match found {
                Ok(answer) => {
                    end = Told {
                        prompt_tokens: answer.prompt_tokens,
                        completion_tokens: answer.completion_tokens,
                        ..end
                    };
                    if !say(Piece::Done(answer)) {
                        end.problem = Some("whoever asked went away".to_owned());
                    }
                }
                Err(refusal) => {
                    end.problem = Some(refusal.to_string());
                    say(Piece::Refused(refusal));
                }
            }
            told(end);
        }
        Ok(())
    }

    fn complete(
        &mut self,
        text: &str,
        raw: bool,
        max_tokens: usize,
        stop: &dyn Fn() -> bool,
        say: &mut dyn FnMut(Piece) -> bool,
    ) -> Result<Answer, Refusal> {
        let tokens = prompt(self.tokenizer, raw, text).map_err(|e| Refusal::Bad(e.to_string()))?;
        let limit = self.limits.context;
        if tokens.len() + max_tokens > limit {
            let have = tokens.len();
            let text = format!(
                "`prompt` has {have} tokens, and with `max_tokens` {max_tokens} that is more than the {limit} served here"
            );
            return Err(Refusal::TooLarge(text));
        }
        let mut next = self.read(&tokens)?;
        let (gates, local_blocks) = self.routes();
        let mut answer = Answer { prompt_tokens: tokens.len(), gates, local_blocks, ..Answer::default() };
        answer.finish_reason = "length";
        let mut stream = TextStream::new();
        while answer.completion_tokens < max_tokens {
            if stop() {
                answer.finish_reason = "interrupted";
                break;
            }
            if Some(next) == self.tokenizer.eos() {
                answer.finish_reason = "stop";
                break;
            }
            let piece = stream.push(&self.tokenizer.token_bytes(next));
            answer.completion_tokens += 1;
            answer.text.push_str(&piece);
            if !piece.is_empty() && !say(Piece::Text(piece)) {
                break;
            }
            if answer.completion_tokens < max_tokens {
                next = best(self.generator.feed(&[next]).map_err(|e| Refusal::Failed(e.to_string()))?);
            }
        }
        let rest = stream.finish();
        answer.text.push_str(&rest);
        if !rest.is_empty() {
            say(Piece::Text(rest));
        }
        Ok(answer)
    }

    fn classify(&mut self, text: &str) -> Result<Answer, Refusal> {
        let Some(labelling) = &mut self.labelling else {
            let text =
                "what is served here has no labels; ask with `prompt`, or serve an adapter that learnt some";
            return Err(Refusal::Bad(text.to_owned()));
        };
        let asked = labelling.ask(text).map_err(|e| Refusal::Bad(e.to_string()))?;
        let each: Vec<(String, u32)> = labelling
            .labels()
            .names()
            .iter()
            .cloned()
            .zip(labelling.labels().tokens().iter().copied())
            .collect();
        self.read(&asked.tokens)?;
        let logits = self.generator.logits();
        let value = |(_, token): &(String, u32)| logits.get(*token as usize).copied().map(f64::from);
        let Some(values) = each.iter().map(value).collect::<Option<Vec<f64>>>() else {
            let text = "a label is a token that the model does not have; serve the adapter's own base model";
            return Err(Refusal::Failed(text.to_owned()));
        };
        let shares = probabilities(&values, 1.0);
        let pairs = each.into_iter().zip(shares);
        let mut labels: Vec<Label> =
            pairs.map(|((label, _), probability)| Label { label, probability }).collect();
        labels.sort_by(|a, b| b.probability.total_cmp(&a.probability));
        let (gates, local_blocks) = self.routes();
        Ok(Answer {
            text: labels.first().map(|label| label.label.clone()).unwrap_or_default(),
            finish_reason: "label",
            prompt_tokens: asked.tokens.len(),
            completion_tokens: 0,
            labels,
            cut: asked.cut,
            gates,
            local_blocks,
        })
    }

    /// Reads a question from its beginning; the likeliest token that follows.
    fn read(&mut self, tokens: &[u32]) -> Result<u32, Refusal> {
        if tokens.is_empty() {
            return Err(Refusal::Bad("`prompt` has no tokens; give a character or more".to_owned()));
        }
        self.generator.restart();
        Ok(best(self.generator.feed(tokens).map_err(|e| Refusal::Failed(e.to_string()))?))
    }

    /// How routers decided about the tokens read last.
    fn routes(&self) -> (Option<Vec<f64>>, Option<Vec<usize>>) {
        let Some(adapter) = self.adapter.filter(|adapter| adapter.routing().is_some()) else {
            return (None, None);
        };
        let shares = self.generator.shares();
        let local = adapter.routed().zip(shares).filter(|(_, share)| **share < 0.5).map(|(block, _)| block);
        (Some(shares.iter().map(|&share| f64::from(share)).collect()), Some(local.collect()))
    }
}

fn best(logits: &[f32]) -> u32 {
    let larger = |best: (usize, f32), (i, &l): (usize, &f32)| if l > best.1 { (i, l) } else { best };
    logits.iter().enumerate().fold((0, f32::NEG_INFINITY), larger).0 as u32
}

//! The one who answers: a model that wears what is asked for, a question at a time.

use crate::desk::{Answer, Label, Piece, Seat, Waiting};
use crate::question::{Limits, Refusal, Task};
use sprig_budget::{BudgetError, alloc};
use sprig_engine::model::{Generator, PREFILL};
use sprig_engine::tokenizer::Tokenizer;
use sprig_learn::calibration::probabilities;
use sprig_learn::data::Asker;
use sprig_learn::sampling::Chooser;
use std::time::{Duration, Instant};

/// Longest wait for a question before the answerer looks around.
const GLANCE: Duration = Duration::from_millis(200);

/// What answers.
pub struct Answerer<'m> {
    /// Keys and values of the text under way, and the model.
    pub generator: Generator<'m>,
    /// Its words.
    pub tokenizer: &'m Tokenizer,
    /// Chooses the tokens of answers.
    pub chooser: Chooser,
    /// What each of the desk's models wears, in their order.
    pub wardrobe: Vec<Outfit<'m>>,
    /// How large questions may be.
    pub limits: Limits,
}

/// What the model wears to answer under one name.
pub struct Outfit<'m> {
    /// Which of the generator's adapters.
    pub adapter: Option<usize>,
    /// Who asks for labels, where the adapter has some.
    pub labelling: Option<Asker<'m>>,
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
    /// Whether that is because whoever asked went away.
    pub left: bool,
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
            let Some(Waiting { question, model, to }) = waiting else { continue };
            let start = Instant::now();
            if to.is_closed() {
                let problem = Some("whoever asked went away before it was their turn".to_owned());
                told(Told { prompt_tokens: 0, completion_tokens: 0, seconds: 0.0, problem, left: true });
                continue;
            }
            // A full queue cannot be: it has as many places as there are pieces.
            let mut say = |piece: Piece| to.try_send(piece).is_ok();
            self.generator.wear(self.wardrobe.get(model).and_then(|outfit| outfit.adapter));
            let gone = || to.is_closed() || stop();
            let found = match question.task {
                Task::Completion(asked) => self.complete(*asked, &gone, &mut say),
                Task::Class { text } => self.classify(model, &text),
            };
            let seconds = start.elapsed().as_secs_f64();
            let mut end =
                Told { prompt_tokens: 0, completion_tokens: 0, seconds, problem: None, left: false };
            match found {
                Ok(answer) => {
                    end = Told {
                        prompt_tokens: answer.prompt_tokens,
                        completion_tokens: answer.completion_tokens,
                        ..end
                    };
                    if !say(Piece::Done(answer)) {
                        end.problem = Some("whoever asked went away".to_owned());
                        end.left = true;
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

    fn classify(&mut self, model: usize, text: &str) -> Result<Answer, Refusal> {
        let labelling = self.wardrobe.get_mut(model).and_then(|outfit| outfit.labelling.as_mut());
        let Some(labelling) = labelling else {
            let text =
                "what is served here has no labels; ask with `prompt`, or serve an adapter that learnt some";
            return Err(Refusal::Bad(text.to_owned()));
        };
        let temperature = labelling.temperature();
        let asked = labelling.ask(text).map_err(|e| Refusal::Bad(e.to_string()))?;
        let each: Vec<(String, u32)> = labelling
            .labels()
            .names()
            .iter()
            .cloned()
            .zip(labelling.labels().tokens().iter().copied())
            .collect();
        self.read(&asked.tokens, &|| false)?;
        let logits = self.generator.logits();
        let value = |(_, token): &(String, u32)| logits.get(*token as usize).copied().map(f64::from);
        let Some(values) = each.iter().map(value).collect::<Option<Vec<f64>>>() else {
            let text = "a label is a token that the model does not have; serve the adapter's own base model";
            return Err(Refusal::Failed(text.to_owned()));
        };
        let shares = probabilities(&values, temperature);
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

    /// Reads a question from its beginning, as long as nobody is `gone`: whether it came to its end.
    pub(crate) fn read(&mut self, tokens: &[u32], gone: &dyn Fn() -> bool) -> Result<bool, Refusal> {
        if tokens.is_empty() {
            return Err(Refusal::Bad("`prompt` has no tokens; give a character or more".to_owned()));
        }
        self.generator.restart();
        for part in tokens.chunks(PREFILL) {
            if gone() {
                return Ok(false);
            }
            self.generator.feed(part).map_err(|e| Refusal::Failed(e.to_string()))?;
        }
        Ok(true)
    }

    /// How routers decided about the tokens read last.
    pub(crate) fn routes(&self) -> (Option<Vec<f64>>, Option<Vec<usize>>) {
        let Some(adapter) = self.generator.worn().filter(|adapter| adapter.routing().is_some()) else {
            return (None, None);
        };
        let shares = self.generator.shares();
        let local = adapter.routed().zip(shares).filter(|(_, share)| **share < 0.5).map(|(block, _)| block);
        (Some(shares.iter().map(|&share| f64::from(share)).collect()), Some(local.collect()))
    }
}

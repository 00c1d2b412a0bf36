//! A model that answers questions line by line: the prompt is read once, and every answer goes on from its keys and values.

use sprig_budget::{BudgetError, Bytes};
use sprig_engine::adapter::Adapter;
use sprig_engine::dual::Rope;
use sprig_engine::kernels::Ctx;
use sprig_engine::model::{GenerateError, Generator, Geometry, KvCache, Transformer};
use sprig_engine::tokenizer::{Specials, TextStream, Tokenizer};
use sprig_learn::sampling::Sampler;

/// Who writes answers.
pub struct Scribe<'m> {
    generator: Generator<'m>,
    tokenizer: &'m Tokenizer,
    most: usize,
    /// Logits behind the prompt.
    behind: Vec<f32>,
    /// Tokens of the prompt.
    prompt: usize,
}

/// An answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Written {
    /// To the end of its line, that included, or as far as it went.
    pub text: String,
    /// Logarithm of its probability under the model, at temperature 1.
    pub log_probability: f64,
}

impl<'m> Scribe<'m> {
    /// One for texts of up to `capacity` tokens, of which an answer has at most `most`.
    ///
    /// # Errors
    /// The system has no memory for it.
    pub fn new(
        (model, ctx): (&'m Transformer<'m>, &'m Ctx),
        adapter: Option<&'m Adapter>,
        tokenizer: &'m Tokenizer,
        (capacity, most): (usize, usize),
    ) -> Result<Self, BudgetError> {
        // What was trained in f32 is asked in f32.
        let generator = Generator::new(model, adapter, ctx, capacity, false)?;
        let behind = Vec::with_capacity(model.geometry().vocabulary);
        Ok(Self { generator, tokenizer, most, behind, prompt: 0 })
    }

    /// Its heap bytes, arena included, with an adapter of that rank.
    pub fn bytes(g: &Geometry, rank: usize, (threads, panel_rows): (usize, usize), capacity: usize) -> Bytes {
        let layout = Generator::layout_of_rank(g, (rank, None), threads, panel_rows, capacity);
        let tables = 2 * 4 * g.vocabulary + Rope::table_bytes(capacity, g.rope_numbers());
        layout.bytes() + KvCache::bytes(g, capacity, None) + Bytes(tables as u64)
    }

    /// Reads a prompt. Answers follow it until another one is read.
    ///
    /// # Errors
    /// It is longer than was planned.
    pub fn read(&mut self, prompt: &str) -> Result<(), GenerateError> {
        let tokens = self.tokenizer.encode(prompt, Specials::Parse);
        self.generator.restart();
        let prefix = self.tokenizer.prefix();
        let tokens: Vec<u32> = prefix.into_iter().chain(tokens).collect();
        let logits = self.generator.feed(&tokens)?;
        self.behind.clear();
        self.behind.extend_from_slice(logits);
        self.prompt = tokens.len();
        Ok(())
    }

    /// The likeliest answer, token by token.
    ///
    /// # Errors
    /// The text has become longer than was planned.
    pub fn greedy(&mut self) -> Result<Written, GenerateError> {
        self.write(|logits, _| top(logits))
    }

    /// Answer `text` of those that `sampler` draws.
    ///
    /// # Errors
    /// As [`greedy`](Self::greedy).
    pub fn drawn(&mut self, sampler: &Sampler, text: u32) -> Result<Written, GenerateError> {
        self.write(|logits, token| sampler.draw(logits, [text, token], 1))
    }

    /// Probabilities of the `tokens` behind the prompt, among themselves.
    pub fn among(&self, tokens: &[u32]) -> Vec<f64> {
        let logits: Vec<f64> =
            tokens.iter().map(|&t| self.behind.get(t as usize).copied().unwrap_or(f32::MIN).into()).collect();
        let all = lse(logits.iter().copied());
        logits.iter().map(|l| libm::exp(l - all)).collect()
    }

    fn write(&mut self, mut next: impl FnMut(&[f32], u32) -> u32) -> Result<Written, GenerateError> {
        let Self { generator, tokenizer, most, behind, prompt } = self;
        generator.rewind(*prompt);
        let (mut stream, mut text, mut log_probability) = (TextStream::new(), String::new(), 0.0);
        for token in 0..*most {
            let logits = if token == 0 { &**behind } else { generator.logits() };
            let id = next(logits, token as u32);
            let of = |id: u32| logits.get(id as usize).map_or(f64::NEG_INFINITY, |&l| f64::from(l));
            log_probability += of(id) - lse(logits.iter().map(|&l| f64::from(l)));
            if tokenizer.is_end(id) {
                break;
            }
            text.push_str(&stream.push(&tokenizer.token_bytes(id)));
            if let Some(end) = text.find('\n') {
                text.truncate(end + 1);
                return Ok(Written { text, log_probability });
            }
            if token + 1 < *most {
                generator.feed(&[id])?;
            }
        }
        text.push_str(&stream.finish());
        Ok(Written { text, log_probability })
    }
}

fn top(logits: &[f32]) -> u32 {
    let first = (0, f32::NEG_INFINITY);
    logits.iter().enumerate().fold(first, |best, (i, &l)| if l > best.1 { (i, l) } else { best }).0 as u32
}

/// ln Σ eˡ.
fn lse(logits: impl Iterator<Item = f64> + Clone) -> f64 {
    let top = logits.clone().fold(f64::NEG_INFINITY, f64::max);
    top + libm::log(logits.map(|l| libm::exp(l - top)).sum())
}

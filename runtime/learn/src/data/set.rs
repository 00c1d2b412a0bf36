//! A data file as packed examples.

use super::collect::collect_labels;
use super::encode::{EncodeError, Encoded, Encoder, Kind};
use super::error::{DataError, Problem};
use super::files::files;
use super::labels::Labels;
use super::lines::Lines;
use super::options::LoadOptions;
use super::prompt::Prompt;
use super::record::{Record, Task};
use super::room::{Room, under_way};
use crate::setting::Setting;
use sha2::{Digest, Sha256};
use sprig_engine::tokenizer::Tokenizer;
use std::collections::BTreeMap;
use std::io::BufRead;
use std::path::Path;

/// One example, borrowed from its set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Example<'a> {
    /// At least one and at most [`LoadOptions::len`] ids, of a pair twice that; for [`Target::Lm`] at least two.
    pub tokens: &'a [u32],
    /// What is learnt.
    pub target: Target<'a>,
}

/// What is learnt from an example.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target<'a> {
    /// Each of `tokens[first..]` from the position before it; `first` is at least 1.
    Lm {
        /// Index of the first token that is a target.
        first: usize,
    },
    /// One of a few tokens as the next after position `row`.
    Label {
        /// The position whose next-token logits are read: the last.
        row: usize,
        /// Token ids, one a class, in the order of the classes.
        candidates: &'a [u32],
        /// Index of the right one in `candidates`.
        answer: usize,
    },
    /// One of two completions of a prompt, which stands before them.
    Pair {
        /// Tokens of the prompt: index of the first token of the preferred completion.
        first: usize,
        /// Index of the first token of the other completion.
        second: usize,
    },
}

/// Encoded examples, packed: 4 bytes a token and 16 an example, 20 where records have weights.
#[derive(Debug)]
pub struct DataSet {
    tokens: Vec<u32>,
    entries: Vec<Entry>,
    candidates: Vec<u32>,
    /// Of each example; none while all are 1.
    weights: Vec<f32>,
    /// Whether examples are pairs.
    pairs: bool,
    labels: Option<Labels>,
    cut: usize,
    /// Examples by their whole length, rounded up, had none been cut.
    lengths: BTreeMap<usize, usize>,
    longest: usize,
    reading: usize,
    digest: [u8; 32],
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    /// End of the example's tokens in [`DataSet::tokens`].
    end: u64,
    /// First target; or the right candidate.
    target: u32,
    /// Number of candidates; 0 where tokens are the targets. Of a pair, where the other completion begins.
    candidates: u32,
}

impl DataSet {
    /// Reads and encodes a JSONL file, or all of a [folder](files).
    ///
    /// # Errors
    /// The file cannot be read, a line of it is wrong, it holds no record, the examples pass the byte limit, or an
    /// option is wrong; nothing is left out silently.
    pub fn load(path: &Path, options: &LoadOptions, tokenizer: &Tokenizer) -> Result<Self, DataError> {
        if options.len < 2 {
            let found = format!("{} leaves nothing to predict", Setting::Len.to(options.len));
            return Err(DataError::Options(Problem::new(found, "use 2 or more")));
        }
        let mut encoder = match options.task {
            Task::Lm | Task::Pair => Encoder::lm(tokenizer, options),
            Task::Choice => Encoder::choice(tokenizer, options).map_err(option_error)?,
            Task::Label => label_encoder(path, options, tokenizer)?,
        };
        let mut set = Self { pairs: options.task == Task::Pair, ..Self::empty() };
        for file in files(path)? {
            set.take(Lines::open(&file)?, options, &mut encoder)?;
        }
        set.finish(path, encoder)?;
        Ok(set)
    }

    /// The same of records of task lm or pair that are in memory, JSON one a line; `named` is what errors call them.
    ///
    /// # Errors
    /// As [`load`](Self::load).
    pub fn read(
        records: &[u8],
        named: &Path,
        options: &LoadOptions,
        tokenizer: &Tokenizer,
    ) -> Result<Self, DataError> {
        let mut set = Self { pairs: options.task == Task::Pair, ..Self::empty() };
        let mut encoder = Encoder::lm(tokenizer, options);
        set.take(Lines::new(named, records), options, &mut encoder)?;
        set.finish(named, encoder)?;
        Ok(set)
    }

    /// A set of one example, which asks about `text` with the labels that `options` name; its answer means nothing.
    ///
    /// # Errors
    /// The labels, the words or the template cannot be used with this tokenizer.
    pub fn about(text: &str, options: &LoadOptions, tokenizer: &Tokenizer) -> Result<Self, DataError> {
        let mut encoder = label_encoder(Path::new(""), options, tokenizer)?;
        let mut set = Self { candidates: encoder.candidates().to_vec(), ..Self::empty() };
        let asked = encoder.ask(text).map_err(option_error)?;
        let kind = Kind::Pick { candidates: set.candidates.len(), answer: 0 };
        set.push(&Encoded { tokens: asked.tokens, kind, cut: asked.cut }, 1.0);
        set.labels = encoder.into_labels();
        set.digest = set.hash();
        Ok(set)
    }

    /// Number of examples, at least one.
    #[allow(clippy::len_without_is_empty, reason = "a set without examples cannot be made")]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Example `i` in the order of the file.
    ///
    /// # Panics
    /// `i` is not below [`len`](Self::len).
    pub fn example(&self, i: usize) -> Example<'_> {
        let entry = self.entries[i];
        let tokens = &self.tokens[self.tokens_before(i)..entry.end as usize];
        let target = entry.target as usize;
        let target = match entry.candidates as usize {
            second if self.pairs => Target::Pair { first: target, second },
            0 => Target::Lm { first: target },
            n => Target::Label { row: tokens.len() - 1, candidates: &self.candidates[..n], answer: target },
        };
        Example { tokens, target }
    }

    /// Tokens of all examples before example `i`, which is at most [`len`](Self::len).
    pub fn tokens_before(&self, i: usize) -> usize {
        i.checked_sub(1).map_or(0, |last| self.entries[last].end as usize)
    }

    /// Whether tokens are the targets (a language model), rather than one of a few candidates, or of two completions.
    pub fn is_lm(&self) -> bool {
        !self.pairs && self.candidates(0) == 0
    }

    /// Candidates of example `i`; 0 where completions are learnt.
    ///
    /// # Panics
    /// `i` is not below [`len`](Self::len).
    pub fn candidates(&self, i: usize) -> usize {
        if self.pairs { 0 } else { self.entries[i].candidates as usize }
    }

    /// What example `i` counts in a mean of losses, against 1 of others.
    pub fn weight(&self, i: usize) -> f32 {
        self.weights.get(i).copied().unwrap_or(1.0)
    }

    /// The labels, where the task has any: their names are the classes' names.
    pub fn labels(&self) -> Option<&Labels> {
        self.labels.as_ref()
    }

    /// Examples that were longer than the limit and were cut: a text lost its end, a prompt or question its
    /// beginning, a completion its end only where it does not fit without any prompt.
    pub fn cut(&self) -> usize {
        self.cut
    }

    /// A limit of tokens at which at least this share of the examples, from 0 to 1, would not be cut.
    pub fn len_for(&self, share: f64) -> usize {
        let wanted = (share * self.len() as f64).ceil() as usize;
        let mut whole = 0;
        let reached = self.lengths.iter().find(|(_, examples)| {
            whole += **examples;
            whole >= wanted
        });
        reached.or(self.lengths.last_key_value()).map_or(0, |(length, _)| *length)
    }

    /// Tokens of the longest example.
    pub fn longest(&self) -> usize {
        self.longest
    }

    /// Tokens of all examples.
    pub fn tokens(&self) -> usize {
        self.tokens.len()
    }

    /// Bytes the examples take.
    pub fn bytes(&self) -> usize {
        let entries =
            self.entries.capacity() * size_of::<Entry>() + self.weights.capacity() * size_of::<f32>();
        self.tokens.capacity() * size_of::<u32>() + entries
    }

    /// Most bytes that were held while they were read.
    pub fn reading(&self) -> usize {
        self.reading
    }

    /// SHA-256 over the encoded examples: two sets with the same digest train alike.
    pub fn digest(&self) -> [u8; 32] {
        self.digest
    }

    fn empty() -> Self {
        Self {
            tokens: Vec::new(),
            entries: Vec::new(),
            candidates: Vec::new(),
            weights: Vec::new(),
            pairs: false,
            labels: None,
            cut: 0,
            lengths: BTreeMap::new(),
            longest: 0,
            reading: 0,
            digest: [0; 32],
        }
    }

    fn take<R: BufRead>(
        &mut self,
        mut lines: Lines<'_, R>,
        options: &LoadOptions,
        encoder: &mut Encoder<'_>,
    ) -> Result<(), DataError> {
        self.candidates = encoder.candidates().to_vec();
        let path = lines.path();
        let room = Room { path, limit: options.max_bytes };
        while let Some((line, text)) = lines.next(room.line(self.bytes())).map_err(|e| room.refuse(e))? {
            let at = |e: EncodeError| match e {
                EncodeError::Record(problem) => problem.at(path, line),
                EncodeError::Tokenizer(e) => e.into(),
            };
            let length = text.len();
            let (record, weight) =
                Record::weighed(text, options.task).map_err(|problem| at(problem.into()))?;
            let need = self.bytes() + under_way(length, &record, encoder.words());
            room.check(line, need)?;
            self.reading = self.reading.max(need);
            let encoded = encoder.encode(&record).map_err(at)?;
            let (tokens, entries) = (self.tokens.len() + encoded.tokens.len(), self.entries.len() + 1);
            let weights = if weight != 1.0 || !self.weights.is_empty() { entries } else { 0 };
            room.check(line, (tokens + weights) * size_of::<u32>() + entries * size_of::<Entry>())?;
            self.push(&encoded, weight);
        }
        Ok(())
    }

    /// Ends with what came from `path`.
    fn finish(&mut self, path: &Path, encoder: Encoder<'_>) -> Result<(), DataError> {
        if self.entries.is_empty() {
            return Err(DataError::Empty { path: path.to_owned() });
        }
        self.tokens.shrink_to_fit();
        self.entries.shrink_to_fit();
        self.weights.shrink_to_fit();
        self.labels = encoder.into_labels();
        self.digest = self.hash();
        Ok(())
    }

    fn push(&mut self, example: &Encoded, weight: f32) {
        // An eighth more at a time, where doubling would hold up to twice the limit.
        if self.tokens.capacity() - self.tokens.len() < example.tokens.len() {
            self.tokens.reserve_exact(example.tokens.len().max(self.tokens.len() / 8));
        }
        if self.entries.capacity() == self.entries.len() {
            self.entries.reserve_exact((self.entries.len() / 8).max(64));
        }
        if weight != 1.0 || !self.weights.is_empty() {
            if self.weights.capacity() <= self.entries.len() {
                let more = self.entries.capacity() - self.weights.len();
                self.weights.reserve_exact(more);
            }
            self.weights.resize(self.entries.len(), 1.0);
            self.weights.push(weight);
        }
        self.tokens.extend_from_slice(&example.tokens);
        // Positions are below twice `len` and candidates below 64, so the narrowing is exact.
        let (target, candidates) = match example.kind {
            Kind::Lm { first } => (first as u32, 0),
            Kind::Pick { candidates, answer } => (answer as u32, candidates as u32),
            Kind::Pair { first, second } => (first as u32, second as u32),
        };
        self.entries.push(Entry { end: self.tokens.len() as u64, target, candidates });
        self.cut += usize::from(example.cut > 0);
        *self.lengths.entry(rounded(example.tokens.len() + example.cut)).or_default() += 1;
        self.longest = self.longest.max(example.tokens.len());
    }

    fn hash(&self) -> [u8; 32] {
        let mut hash = Sha256::new();
        for word in [self.tokens.len(), self.entries.len(), self.candidates.len()] {
            hash.update((word as u64).to_le_bytes());
        }
        for entry in &self.entries {
            hash.update(entry.end.to_le_bytes());
            hash.update(entry.target.to_le_bytes());
            hash.update(entry.candidates.to_le_bytes());
        }
        for token in self.candidates.iter().chain(&self.tokens) {
            hash.update(token.to_le_bytes());
        }
        // Nothing where all are 1: such sets have the digests they always had.
        self.weights.iter().for_each(|weight| hash.update(weight.to_le_bytes()));
        hash.finalize().into()
    }
}

/// A length as people give one, by an eighth larger at most or 8 tokens: of which there are few, however many examples.
fn rounded(length: usize) -> usize {
    length.next_multiple_of((length.next_power_of_two() / 16).max(8))
}

/// The encoder for texts with labels: the labels given, or those of a first pass over the file.
pub(super) fn label_encoder<'t>(
    path: &Path,
    options: &LoadOptions,
    tokenizer: &'t Tokenizer,
) -> Result<Encoder<'t>, DataError> {
    let template = options.template();
    let prompt = |listed: &str| {
        Prompt::from_template(tokenizer, options.raw, template, listed)?.map_err(DataError::Options)
    };
    if let Some(labels) = options.labels.clone() {
        return Ok(Encoder::label(tokenizer, options, prompt(&labels.listed())?, labels));
    }
    let wrong = |problem| DataError::Labels { path: path.to_owned(), problem };
    let names = match options.label_names.as_slice() {
        [] => collect_labels(&Room { path, limit: options.max_bytes })?,
        names => names.iter().cloned().collect(),
    };
    let words = Labels::words(&names, options.label_style, &options.label_words).map_err(wrong)?;
    let listed = Labels::options(names.iter(), &words, options.label_style);
    let prompt = prompt(&listed)?;
    let labels = Labels::resolve(names, words, options.label_style, &prompt, tokenizer, options.rows)?;
    let labels = labels.map_err(wrong)?;
    // Now, not when a trained adapter is to be written.
    options.asking(Some(&labels)).check()?;
    Ok(Encoder::label(tokenizer, options, prompt, labels))
}

pub(super) fn option_error(error: EncodeError) -> DataError {
    match error {
        EncodeError::Record(problem) => DataError::Options(problem),
        EncodeError::Tokenizer(error) => error.into(),
    }
}

#[cfg(test)]
#[path = "set_tests.rs"]
mod tests;

//! Data as packed examples.

use super::encode::Encoder;
use super::encoded::{EncodeError, Encoded, Kind};
use super::encoders::{encoder_for, label_encoder, option_error};
use super::error::{DataError, Problem};
use super::files::{files, first};
use super::labels::Labels;
use super::lengths::Lengths;
use super::options::{LoadOptions, TOLD_EVERY};
use super::packed::{Example, Packed};
use super::record::{Record, Task};
use super::room::{Room, under_way};
use super::rows::Rows;
use crate::setting::Setting;
use sprig_engine::tokenizer::Tokenizer;
use std::path::Path;

/// The examples of some data, encoded: 4 bytes a token and 16 an example, 20 where records have weights. They are in
/// memory, or in [files](super::Overflow).
#[derive(Debug, Default)]
pub struct DataSet {
    packed: Packed,
    candidates: Vec<u32>,
    /// Whether examples are pairs.
    pairs: bool,
    labels: Option<Labels>,
    cut: usize,
    empty: usize,
    lengths: Lengths,
    longest: usize,
    reading: usize,
    digest: [u8; 32],
}

impl DataSet {
    /// Reads and encodes files or [folders](files) of records, one after another.
    ///
    /// # Errors
    /// A file cannot be read, a row of it is wrong, they hold no record, the examples pass the byte limit, or an
    /// option is wrong; nothing is left out silently.
    pub fn load<P: AsRef<Path>>(
        paths: &[P],
        options: &LoadOptions,
        tokenizer: &Tokenizer,
    ) -> Result<Self, DataError> {
        let mut encoder = encoder_for(paths, options, tokenizer)?;
        let mut set = Self { pairs: options.task == Task::Pair, ..Self::default() };
        for path in paths {
            for file in files(path.as_ref())? {
                set.take(Rows::open(&file)?, options, &mut encoder)?;
            }
        }
        if let Some(part) = options.part.filter(|_| set.packed.len() == 0) {
            let which =
                if part.drawn { "holds none of the records out" } else { "leaves none of the records" };
            let found = format!("{} {which}", Setting::Split.to(format_args!("{}%", 100.0 * part.share)));
            return Err(DataError::Options(Problem::new(found, "use another share, or more records")));
        }
        set.finish(first(paths), encoder)?;
        Ok(set)
    }

    /// The same of records of task lm or pair that are in memory, as a file of them would be; `named` is what errors call it.
    ///
    /// # Errors
    /// As [`load`](Self::load).
    pub fn read(
        records: &[u8],
        named: &Path,
        options: &LoadOptions,
        tokenizer: &Tokenizer,
    ) -> Result<Self, DataError> {
        let mut set = Self { pairs: options.task == Task::Pair, ..Self::default() };
        let mut encoder = Encoder::lm(tokenizer, options);
        set.take(Rows::read(named, records)?, options, &mut encoder)?;
        set.finish(named, encoder)?;
        Ok(set)
    }

    /// A set of one example, which asks about `text` with the labels that `options` name; its answer means nothing.
    ///
    /// # Errors
    /// The labels, the words or the template cannot be used with this tokenizer.
    pub fn about(text: &str, options: &LoadOptions, tokenizer: &Tokenizer) -> Result<Self, DataError> {
        let mut encoder = label_encoder(&[Path::new("")], options, tokenizer)?;
        let (set, _) = Self::asked(&[text], &mut encoder)?;
        Ok(Self { labels: encoder.into_labels(), ..set })
    }

    /// The same about several texts, and whether each was cut.
    pub(super) fn asked<T: AsRef<str>>(
        texts: &[T],
        encoder: &mut Encoder<'_>,
    ) -> Result<(Self, Vec<bool>), DataError> {
        let mut set = Self { candidates: encoder.candidates().to_vec(), ..Self::default() };
        let mut cut = Vec::with_capacity(texts.len());
        for text in texts {
            let asked = encoder.ask(text.as_ref()).map_err(option_error)?;
            let kind = Kind::Pick { candidates: set.candidates.len(), answer: 0 };
            cut.push(asked.cut > 0);
            set.push(&Encoded { tokens: asked.tokens, kind, cut: asked.cut }, 1.0)?;
        }
        set.packed.finish()?;
        set.digest = set.packed.hash(&set.candidates);
        Ok((set, cut))
    }

    /// Number of examples, at least one.
    #[allow(clippy::len_without_is_empty, reason = "a set without examples cannot be made")]
    pub fn len(&self) -> usize {
        self.packed.len()
    }

    /// Example `i` in the order of the file.
    ///
    /// # Panics
    /// `i` is not below [`len`](Self::len).
    pub fn example(&self, i: usize) -> Example<'_> {
        self.packed.example(i, &self.candidates, self.pairs)
    }

    /// Tokens of all examples before example `i`, which is at most [`len`](Self::len).
    pub fn tokens_before(&self, i: usize) -> usize {
        self.packed.tokens_before(i)
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
        if self.pairs { 0 } else { self.packed.candidates(i) }
    }

    /// What example `i` counts in a mean of losses, against 1 of others.
    pub fn weight(&self, i: usize) -> f32 {
        self.packed.weight(i)
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

    /// Examples whose record has no text.
    pub fn empty(&self) -> usize {
        self.empty
    }

    /// A limit of tokens at which at least this share of the examples, from 0 to 1, would not be cut.
    pub fn len_for(&self, share: f64) -> usize {
        self.lengths.limit_for(share)
    }

    /// Tokens of the longest example.
    pub fn longest(&self) -> usize {
        self.longest
    }

    /// Tokens of all examples.
    pub fn tokens(&self) -> usize {
        self.packed.tokens()
    }

    /// Bytes of memory the examples take.
    pub fn bytes(&self) -> usize {
        self.packed.bytes()
    }

    /// Most bytes that were held while they were read.
    pub fn reading(&self) -> usize {
        self.reading
    }

    /// SHA-256 over the encoded examples: two sets with the same digest train alike.
    pub fn digest(&self) -> [u8; 32] {
        self.digest
    }

    fn take(
        &mut self,
        mut rows: Rows<'_>,
        options: &LoadOptions,
        encoder: &mut Encoder<'_>,
    ) -> Result<(), DataError> {
        self.candidates = encoder.candidates().to_vec();
        let path = rows.path();
        let room = Room { path, limit: options.max_bytes };
        loop {
            let held = self.bytes() + rows.held();
            let Some((line, row)) = rows.next(room.line(held)).map_err(|e| room.refuse(e))? else { break };
            let at = |e: EncodeError| match e {
                EncodeError::Record(problem) => problem.at(path, line),
                EncodeError::Tokenizer(e) => e.into(),
            };
            let length = row.len();
            let (record, weight) = Record::read(&row, options.task, options.columns.as_ref())
                .map_err(|problem| at(problem.into()))?;
            if options.part.is_some_and(|part| !part.has(&record)) {
                continue;
            }
            let need = held + under_way(length, &record, encoder.words());
            room.check(line, need)?;
            self.reading = self.reading.max(need);
            self.empty += usize::from(record.is_empty());
            let encoded = encoder.encode(&record).map_err(at)?;
            let with = self.packed.with(&encoded, weight);
            match &options.overflow {
                Some(overflow) if with > overflow.above => self.packed.file(&overflow.folder)?,
                _ => room.check(line, with)?,
            }
            self.push(&encoded, weight)?;
            if let Some(progress) = options.progress.filter(|_| self.packed.len().is_multiple_of(TOLD_EVERY))
            {
                progress(self.packed.len());
            }
        }
        Ok(())
    }

    /// Ends with what came from `path`.
    fn finish(&mut self, path: &Path, encoder: Encoder<'_>) -> Result<(), DataError> {
        if self.packed.len() == 0 {
            return Err(DataError::Empty { path: path.to_owned() });
        }
        self.packed.finish()?;
        self.labels = encoder.into_labels();
        self.digest = self.packed.hash(&self.candidates);
        Ok(())
    }

    fn push(&mut self, example: &Encoded, weight: f32) -> Result<(), DataError> {
        self.packed.push(example, weight)?;
        self.cut += usize::from(example.cut > 0);
        self.lengths.add(example.tokens.len() + example.cut);
        self.longest = self.longest.max(example.tokens.len());
        Ok(())
    }
}

#[cfg(test)]
#[path = "set_tests.rs"]
mod tests;

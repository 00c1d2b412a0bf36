//! What is in some data, before anything is learnt from them: for `sprig data check`.

use super::collect::variants;
use super::encode::Encoder;
use super::encoded::{EncodeError, Encoded, Kind};
use super::encoders::{encoder_for, option_error};
use super::error::DataError;
use super::files::{files, first};
use super::labels::Labels;
use super::lengths::Lengths;
use super::options::LoadOptions;
use super::record::{Record, Task};
use super::room::Room;
use super::rows::Rows;
use super::walk::walk;
use sprig_engine::tokenizer::Tokenizer;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::Path;
use xxhash_rust::xxh3::xxh3_64;

/// Problems that are kept to be shown.
const SHOWN: usize = 5;
/// Most names of labels that are counted: more hints at a field that is no class.
const NAMES: usize = 10_000;
/// Most records that are compared with each other, at some 30 bytes each and twice that while a table grows: 120 MB.
const COMPARED: usize = 1 << 21;
/// Records that are shown as the model sees them.
const SAMPLES: usize = 3;

/// What is in some data.
#[derive(Debug, Default)]
pub struct Survey {
    /// Records that can be read.
    pub records: u64,
    /// Rows that cannot.
    pub wrong: u64,
    /// What is wrong with the first of them.
    pub problems: Vec<DataError>,
    /// Records of each label; of 10,000 names at most.
    pub labels: BTreeMap<String, u64>,
    /// Labels that differ from another only in case or white space, each with that one.
    pub variants: Vec<(String, String)>,
    /// Records that are the same as one before.
    pub duplicates: u64,
    /// Records that have the text of one before and another label.
    pub contradictions: u64,
    /// Records without a text.
    pub empty: u64,
    /// Whether all records were compared with each other, rather than the first two million.
    pub compared: bool,
}

/// What is in some data for one model.
#[derive(Debug, Default)]
pub struct Tokens {
    /// How long examples are.
    pub lengths: Lengths,
    /// Tokens of the longest.
    pub longest: usize,
    /// Tokens of all of them.
    pub all: u64,
    /// Examples that are longer than the limit.
    pub cut: u64,
    /// Records that cannot be encoded, beside those that cannot be read.
    pub wrong: u64,
    /// What is wrong with the first of them.
    pub problems: Vec<DataError>,
    /// The first examples as the model sees them.
    pub samples: Vec<Sample>,
    /// The labels, each with what the model answers for it.
    pub labels: Option<Labels>,
}

/// An example as the model sees it.
#[derive(Debug)]
pub struct Sample {
    /// What it reads, and whether it learns to write it.
    pub parts: Vec<(String, bool)>,
}

impl Survey {
    /// Of the files at `paths`.
    ///
    /// # Errors
    /// A file that cannot be read to its end.
    pub fn of<P: AsRef<Path>>(paths: &[P], options: &LoadOptions) -> Result<Self, DataError> {
        let mut survey = Self { compared: true, ..Self::default() };
        let mut compared = Compared::default();
        walk(paths, options, |_, _, record| {
            match record {
                Ok(record) => survey.take(record, &mut compared),
                Err(problem) => {
                    survey.wrong += 1;
                    keep(&mut survey.problems, problem);
                }
            }
            Ok(true)
        })?;
        survey.variants = variants(survey.labels.keys());
        Ok(survey)
    }

    fn take(&mut self, record: Record, others: &mut Compared) {
        self.records += 1;
        self.empty += u64::from(record.is_empty());
        self.compared &= others.whole.len() < COMPARED;
        if self.compared {
            self.duplicates += u64::from(!others.whole.insert(record.hash()));
        }
        let Record::Labelled { text, label } = record else { return };
        if self.compared {
            let [text, name] = [&text, &label].map(|text| xxh3_64(text.as_bytes()));
            self.contradictions += u64::from(*others.labels.entry(text).or_insert(name) != name);
        }
        if self.labels.len() < NAMES || self.labels.contains_key(&label) {
            *self.labels.entry(label).or_default() += 1;
        }
    }

    /// The task that the first record is of: one that has a label, be it `null`, is to be labelled.
    ///
    /// # Errors
    /// A file that cannot be read, and what is wrong with the first record.
    pub fn task<P: AsRef<Path>>(paths: &[P], options: &LoadOptions) -> Result<Task, DataError> {
        if begins_labelled(paths, options)? {
            return Ok(Task::Label);
        }
        let mut wrong = None;
        for task in [Task::Label, Task::Choice, Task::Pair, Task::Lm] {
            let found = first_record(paths, &LoadOptions { task, ..options.clone() })?;
            match found {
                Some(Ok(())) => return Ok(task),
                Some(Err(problem)) => wrong = Some(problem),
                None => {}
            }
        }
        Err(wrong.unwrap_or(DataError::Empty { path: first(paths).to_owned() }))
    }
}

impl Tokens {
    /// Of the files at `paths`, whose labels are in `options`.
    ///
    /// # Errors
    /// Labels, words or a template that cannot be used with this tokenizer.
    pub fn of<P: AsRef<Path>>(
        paths: &[P],
        options: &LoadOptions,
        tokenizer: &Tokenizer,
    ) -> Result<Self, DataError> {
        let mut tokens = Self::default();
        let mut encoder = encoder_for(paths, options, tokenizer)?;
        walk(paths, options, |path, line, record| {
            let Ok(record) = record else { return Ok(true) };
            match encoder.encode(&record) {
                Ok(example) => tokens.take(&example, &encoder, tokenizer),
                Err(EncodeError::Record(problem)) => {
                    tokens.wrong += 1;
                    keep(&mut tokens.problems, problem.at(path, line));
                }
                Err(error) => return Err(option_error(error)),
            }
            Ok(true)
        })?;
        tokens.labels = encoder.into_labels();
        Ok(tokens)
    }

    fn take(&mut self, example: &Encoded, encoder: &Encoder<'_>, tokenizer: &Tokenizer) {
        let length = example.tokens.len() + example.cut;
        self.lengths.add(length);
        self.longest = self.longest.max(length);
        self.all += length as u64;
        self.cut += u64::from(example.cut > 0);
        if self.samples.len() < SAMPLES {
            self.samples.push(Sample::of(example, encoder, tokenizer));
        }
    }
}

impl Sample {
    fn of(example: &Encoded, encoder: &Encoder<'_>, tokenizer: &Tokenizer) -> Self {
        let tokens = &example.tokens;
        // Places at which learning begins or ends, in turn.
        let (turns, answer): (Vec<usize>, _) = match &example.kind {
            Kind::Lm { first } => (vec![*first], None),
            Kind::Chat { first, pauses } => {
                let pauses = pauses.iter().flat_map(|&(from, to)| [from as usize, to as usize]);
                (std::iter::once(*first).chain(pauses).collect(), None)
            }
            Kind::Pick { answer, .. } => {
                let answer = encoder.labels().map_or_else(
                    || char::from(b'A' + *answer as u8).to_string(),
                    |labels| labels.pairs().swap_remove(*answer).1,
                );
                (vec![tokens.len()], Some(answer))
            }
            Kind::Pair { first, second } => (vec![*first, *second], None),
        };
        let ends = turns.iter().copied().chain([tokens.len()]);
        let begins = std::iter::once(0).chain(turns.iter().copied());
        let parts = begins.zip(ends).enumerate();
        let mut parts: Vec<_> =
            parts.map(|(i, (from, to))| (tokenizer.decode(&tokens[from..to]), i % 2 == 1)).collect();
        parts.extend(answer.map(|answer| (answer, true)));
        parts.retain(|(text, _)| !text.is_empty());
        Self { parts }
    }
}

/// Records that were seen, by hashes.
#[derive(Default)]
struct Compared {
    whole: HashSet<u64>,
    /// Of each text its first label.
    labels: HashMap<u64, u64>,
}

/// Whether the first record of some files is of the task of `options`; `None` where there is none.
fn first_record<P: AsRef<Path>>(
    paths: &[P],
    options: &LoadOptions,
) -> Result<Option<Result<(), DataError>>, DataError> {
    let mut found = None;
    walk(paths, options, |_, _, record| {
        found = Some(record.map(drop));
        Ok(false)
    })?;
    Ok(found)
}

/// Whether the first row of some files has a text and a label.
fn begins_labelled<P: AsRef<Path>>(paths: &[P], options: &LoadOptions) -> Result<bool, DataError> {
    for path in paths {
        for file in files(path.as_ref())? {
            let room = Room { path: &file, limit: options.max_bytes };
            let mut rows = Rows::open(&file)?;
            if let Some((_, row)) = rows.next(room.line(rows.held())).map_err(|e| room.refuse(e))? {
                return Ok(Record::is_labelled(&row, options.columns.as_ref()).unwrap_or(false));
            }
        }
    }
    Ok(false)
}

fn keep(problems: &mut Vec<DataError>, problem: DataError) {
    if problems.len() < SHOWN {
        problems.push(problem);
    }
}

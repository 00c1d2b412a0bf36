//! The encoder that options ask for.

use super::collect::collect_labels;
use super::encode::Encoder;
use super::encoded::EncodeError;
use super::error::{DataError, Problem};
use super::files::first;
use super::labels::{LISTED_LABELS, LabelStyle, Labels, MAX_LABELS, too_many};
use super::options::LoadOptions;
use super::prompt::{Prompt, answer};
use super::record::Task;
use super::words::told_apart;
use crate::setting::Setting;
use sprig_engine::tokenizer::{Specials, Tokenizer};
use std::path::Path;

/// The encoder for the records at `paths`.
pub(super) fn encoder_for<'t, P: AsRef<Path>>(
    paths: &[P],
    options: &LoadOptions,
    tokenizer: &'t Tokenizer,
) -> Result<Encoder<'t>, DataError> {
    if options.len < 2 {
        let found = format!("{} leaves nothing to predict", Setting::Len.to(options.len));
        return Err(DataError::Options(Problem::new(found, "use 2 or more")));
    }
    match options.task {
        Task::Lm | Task::Pair => Ok(Encoder::lm(tokenizer, options)),
        Task::Choice => Encoder::choice(tokenizer, options).map_err(option_error),
        Task::Label => label_encoder(paths, options, tokenizer),
    }
}

/// The encoder for texts with labels: the labels given, or those of a first pass over the files.
pub(super) fn label_encoder<'t, P: AsRef<Path>>(
    paths: &[P],
    options: &LoadOptions,
    tokenizer: &'t Tokenizer,
) -> Result<Encoder<'t>, DataError> {
    let prompt = |listed: bool, list: &str| {
        Prompt::from_template(tokenizer, options.raw, options.template(listed), list)?
            .map_err(DataError::Options)
    };
    if let Some(labels) = options.labels.clone() {
        let prompt = prompt(labels.are_listed(), &labels.list())?;
        return Ok(Encoder::label(tokenizer, options, prompt, labels));
    }
    let wrong = |problem| DataError::Labels { path: first(paths).to_owned(), problem };
    let names = match options.label_names.as_slice() {
        [] => collect_labels(paths, options)?,
        names => names.iter().cloned().collect(),
    };
    if names.len() > MAX_LABELS {
        return Err(wrong(too_many(names.len())));
    }
    let mut words = Labels::words(&names, options.label_style, &options.label_words).map_err(wrong)?;
    if options.label_style == LabelStyle::Word {
        let all: Vec<String> = names.iter().cloned().collect();
        let given = |name: &str| options.label_words.iter().any(|(given, _)| given == name);
        let begins = |word: &str| {
            let answer = answer(options.raw, options.template(true), word);
            let first = tokenizer.encode_first(&answer, Specials::Plain, 1).0.first().copied();
            first.filter(|&token| (token as usize) < options.rows && !word.trim().is_empty())
        };
        words = told_apart(&all, words, given, begins);
    }
    let list = Labels::options(names.iter(), &words, options.label_style);
    let mut listed = names.len() <= LISTED_LABELS;
    let mut around = prompt(listed, &list)?;
    // Where a list leaves no room for a text, words are learnt without; letters would mean nothing.
    let usual = options.template.is_none() && options.label_style == LabelStyle::Word;
    if listed && usual && around.overhead() >= options.len {
        listed = false;
        around = prompt(listed, &list)?;
    }
    let prompt = around;
    let labels = Labels::resolve(names, words, options.label_style, &prompt, tokenizer, options.rows)?;
    let labels = labels.map_err(wrong)?.with_listed(listed);
    // Now, not when a trained adapter is to be written.
    options.asking(Some(&labels)).check()?;
    Ok(Encoder::label(tokenizer, options, prompt, labels))
}

/// What an error of the encoder means that is about no record.
pub(super) fn option_error(error: EncodeError) -> DataError {
    match error {
        EncodeError::Record(problem) => DataError::Options(problem),
        EncodeError::Tokenizer(error) => error.into(),
    }
}

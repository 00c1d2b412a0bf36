//! The words of a training: into an adapter's file, out of it again, and around a text of somebody who asks.

use super::encode::Encoder;
use super::encoders::{label_encoder, option_error};
use super::error::{DataError, Problem};
use super::labels::Labels;
use super::options::LoadOptions;
use super::prompt::Encoded;
use super::record::Task;
use super::set::DataSet;
use sprig_engine::adapter::Asking;
use sprig_engine::tokenizer::Tokenizer;
use std::path::Path;

/// The default words around a text to be labelled, as a chat message and raw.
pub const LABEL_TEMPLATE: &str = "{text}\n\nWhich label fits? Options: {options}.";
/// See [`LABEL_TEMPLATE`].
pub const RAW_LABEL_TEMPLATE: &str = "{text}\n\nOptions: {options}\nLabel:";
/// See [`LABEL_TEMPLATE`]; for labels that are not listed.
const LABEL_TEMPLATE_OF_MANY: &str = "{text}\n\nWhich label fits?";
/// See [`LABEL_TEMPLATE_OF_MANY`].
const RAW_LABEL_TEMPLATE_OF_MANY: &str = "{text}\n\nLabel:";

impl LoadOptions {
    /// What an adapter's file says of a training with these options on data with `labels`. The template is written out:
    /// the default of another version may be another one.
    pub fn asking(&self, labels: Option<&Labels>) -> Asking {
        Asking {
            task: self.task.name().to_owned(),
            raw: self.raw,
            template: labels.map(|labels| self.template(labels.are_listed()).to_owned()),
            style: labels.map(|labels| labels.style().name().to_owned()),
            labels: labels.map(Labels::pairs).unwrap_or_default(),
            temperature: None,
        }
    }

    /// Options that ask as `asking` says, for examples of up to `len` tokens.
    ///
    /// # Errors
    /// Another version's task or style.
    pub fn asked(asking: &Asking, len: usize) -> Result<Self, DataError> {
        let unknown = |found: String| {
            DataError::Options(Problem::new(found, "use the version that the adapter was trained with"))
        };
        let task: Task = asking.task.parse().map_err(|e| unknown(format!("the adapter's task: {e}")))?;
        let style = match asking.style.as_deref() {
            Some(name) => name.parse().map_err(|e| unknown(format!("the adapter's label style: {e}")))?,
            None => Default::default(),
        };
        Ok(Self {
            raw: asking.raw,
            template: asking.template.clone(),
            label_style: style,
            label_names: asking.labels.iter().map(|(name, _)| name.clone()).collect(),
            label_words: asking.labels.clone(),
            temperature: asking.temperature.map_or(1.0, f64::from),
            ..Self::new(task, len)
        })
    }

    /// The words around a text to be labelled: those given, or the default, with a list of the labels or without.
    pub(super) fn template(&self, listed: bool) -> &str {
        let default = match (self.raw, listed) {
            (false, true) => LABEL_TEMPLATE,
            (true, true) => RAW_LABEL_TEMPLATE,
            (false, false) => LABEL_TEMPLATE_OF_MANY,
            (true, false) => RAW_LABEL_TEMPLATE_OF_MANY,
        };
        self.template.as_deref().unwrap_or(default)
    }
}

/// Asks for the labels of texts as they were asked for in a training.
pub struct Asker<'t> {
    encoder: Encoder<'t>,
    labels: Labels,
    temperature: f64,
}

/// A text as the model is asked about it.
pub struct Asked {
    /// The prompt; the answer's token comes next.
    pub tokens: Vec<u32>,
    /// Whether the text was too long, and lost its end.
    pub cut: bool,
}

impl<'t> Asker<'t> {
    /// An asker by `options`, which name the labels or leave them to the data in the file `labels_of`.
    ///
    /// # Errors
    /// The labels, the words or the template cannot be used with this tokenizer.
    pub fn new(labels_of: &Path, options: &LoadOptions, tokenizer: &'t Tokenizer) -> Result<Self, DataError> {
        let encoder = label_encoder(&[labels_of], options, tokenizer)?;
        match encoder.labels().cloned() {
            Some(labels) => Ok(Self { encoder, labels, temperature: options.temperature }),
            None => Err(DataError::Empty { path: labels_of.to_owned() }),
        }
    }

    /// The labels, in the order of the candidates.
    pub fn labels(&self) -> &Labels {
        &self.labels
    }

    /// What their logits are divided by before they become shares: 1, unless that was fitted.
    pub fn temperature(&self) -> f64 {
        self.temperature
    }

    /// A set of one example for each of `texts`, whose answers mean nothing, and whether each text lost its end.
    ///
    /// # Errors
    /// As [`ask`](Self::ask).
    pub fn set(&mut self, texts: &[String]) -> Result<(DataSet, Vec<bool>), DataError> {
        DataSet::asked(texts, &mut self.encoder)
    }

    /// The prompt about `text`.
    ///
    /// # Errors
    /// The words around the text leave no room for it.
    pub fn ask(&mut self, text: &str) -> Result<Asked, DataError> {
        let Encoded { tokens, cut } = self.encoder.ask(text).map_err(option_error)?;
        Ok(Asked { tokens, cut: cut > 0 })
    }
}

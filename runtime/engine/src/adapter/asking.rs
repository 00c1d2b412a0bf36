//! How an adapter was asked while it learnt: the words that whoever asks it later has to use again.
//!
//! | key | value | |
//! |---|---|---|
//! | `sprig.asking.task` | string | name of the task; without it a file says nothing of how it was asked |
//! | `sprig.asking.raw` | boolean | whether the model's chat template was left out |
//! | `sprig.asking.template` | string | the words around a text, where the task has such |
//! | `sprig.asking.style` | string | name of the way in which labels are answered |
//! | `sprig.asking.labels` | strings | the labels, in the order of the candidates |
//! | `sprig.asking.words` | strings | what the model answers for each |
//! | `sprig.asking.temperature` | f32 | what the labels' logits are divided by before they become shares, where that was fitted |
//!
//! Programs that do not know the keys pass over them, as this one passes over keys of others.

use crate::gguf::{Elements, Gguf, GgufError, Writer};
use thiserror::Error;

/// Most bytes of all texts together.
const MAX_TEXT: usize = 128 << 10;
/// Most labels.
const MAX_LABELS: usize = 1024;

/// How an adapter was asked. The names of task and style belong to whoever trains: here they are texts.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Asking {
    /// Name of the task.
    pub task: String,
    /// Whether the model's chat template was left out.
    pub raw: bool,
    /// The words around a text.
    pub template: Option<String>,
    /// Name of the way in which labels are answered.
    pub style: Option<String>,
    /// Label and answer, in the order of the candidates; none where the task has no labels.
    pub labels: Vec<(String, String)>,
    /// What the labels' logits are divided by before they become shares, above 0; `None` where nobody fitted it.
    pub temperature: Option<f32>,
}

/// More than an adapter's file may say.
#[derive(Debug, Clone, PartialEq, Error)]
pub enum AskingError {
    /// The texts are too long.
    #[error("template, labels and their words take more than {MAX_TEXT} bytes; shorten them")]
    TooLong,
    /// There are too many labels.
    #[error("there are {0} labels; an adapter's file holds up to {MAX_LABELS}")]
    TooMany(usize),
    /// No number that anything could be divided by.
    #[error("the temperature is {0}; it has to be a number above 0")]
    Temperature(f32),
    /// Labels and words do not belong together.
    #[error("there are {labels} labels, but {words} words to answer with")]
    Unpaired {
        /// Number of labels.
        labels: usize,
        /// Number of words.
        words: usize,
    },
}

const TASK: &str = "sprig.asking.task";
const RAW: &str = "sprig.asking.raw";
const TEMPLATE: &str = "sprig.asking.template";
const STYLE: &str = "sprig.asking.style";
const LABELS: &str = "sprig.asking.labels";
const WORDS: &str = "sprig.asking.words";
const TEMPERATURE: &str = "sprig.asking.temperature";

impl Asking {
    /// Whether a file can hold it: to be asked before a long training, not after.
    ///
    /// # Errors
    /// Too many labels, too long texts, or a temperature that is none.
    pub fn check(&self) -> Result<(), AskingError> {
        if self.labels.len() > MAX_LABELS {
            return Err(AskingError::TooMany(self.labels.len()));
        }
        if let Some(temperature) = self.temperature.filter(|t| !is_temperature(*t)) {
            return Err(AskingError::Temperature(temperature));
        }
        let whole = [Some(&self.task), self.template.as_ref(), self.style.as_ref()].into_iter().flatten();
        let pairs = self.labels.iter().flat_map(|(label, word)| [label, word]);
        let bytes: usize = whole.chain(pairs).map(String::len).sum();
        if bytes > MAX_TEXT { Err(AskingError::TooLong) } else { Ok(()) }
    }

    /// What `gguf` says; `None` where it says nothing. Nothing is copied that passes the limits.
    pub(super) fn read(gguf: &Gguf<'_>) -> Result<Result<Option<Self>, AskingError>, GgufError> {
        let Some(task) = gguf.str(TASK)? else { return Ok(Ok(None)) };
        let (template, style) = (gguf.str(TEMPLATE)?, gguf.str(STYLE)?);
        let (labels, words) = (gguf.array_str(LABELS)?, gguf.array_str(WORDS)?);
        let count = |list: &Option<Elements<'_, &str>>| list.as_ref().map_or(0, ExactSizeIterator::len);
        let (n, answers) = (count(&labels), count(&words));
        if n.max(answers) > MAX_LABELS {
            return Ok(Err(AskingError::TooMany(n.max(answers))));
        }
        if n != answers {
            return Ok(Err(AskingError::Unpaired { labels: n, words: answers }));
        }
        let pairs = || labels.clone().into_iter().flatten().zip(words.clone().into_iter().flatten());
        let whole = [Some(task), template, style].into_iter().flatten().map(str::len).sum::<usize>();
        if pairs().fold(whole, |sum, (label, word)| sum + label.len() + word.len()) > MAX_TEXT {
            return Ok(Err(AskingError::TooLong));
        }
        let temperature = gguf.f32(TEMPERATURE)?;
        if let Some(temperature) = temperature.filter(|t| !is_temperature(*t)) {
            return Ok(Err(AskingError::Temperature(temperature)));
        }
        Ok(Ok(Some(Self {
            task: task.to_owned(),
            raw: gguf.bool(RAW)?.unwrap_or(false),
            template: template.map(str::to_owned),
            style: style.map(str::to_owned),
            labels: pairs().map(|(label, word)| (label.to_owned(), word.to_owned())).collect(),
            temperature,
        })))
    }

    /// Adds it to a file.
    pub(super) fn write<'s>(&self, writer: Writer<'s>) -> Writer<'s> {
        let mut writer = writer.metadata(TASK, self.task.as_str()).metadata(RAW, self.raw);
        for (key, text) in [(TEMPLATE, &self.template), (STYLE, &self.style)] {
            if let Some(text) = text {
                writer = writer.metadata(key, text.as_str());
            }
        }
        if let Some(temperature) = self.temperature {
            writer = writer.metadata(TEMPERATURE, temperature);
        }
        if !self.labels.is_empty() {
            let (labels, words): (Vec<&str>, Vec<&str>) =
                self.labels.iter().map(|(label, word)| (label.as_str(), word.as_str())).unzip();
            writer = writer.metadata(LABELS, &labels[..]).metadata(WORDS, &words[..]);
        }
        writer
    }
}

fn is_temperature(t: f32) -> bool {
    t.is_finite() && t > 0.0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asking() -> Asking {
        Asking {
            task: "label".into(),
            raw: true,
            template: Some("{text}\nLabel:".into()),
            style: Some("word".into()),
            labels: vec![("bad".into(), "no".into()), ("good".into(), "yes".into())],
            temperature: Some(1.5),
        }
    }

    fn read(writer: Writer<'_>) -> Result<Option<Asking>, AskingError> {
        let mut bytes = Vec::new();
        writer.metadata("other.key", 1u32).write_to(&mut bytes).unwrap();
        Asking::read(&Gguf::parse(&bytes).unwrap()).unwrap()
    }

    #[test]
    fn what_is_written_is_read() {
        let plain = Asking { task: "lm".into(), ..Asking::default() };
        for asking in [asking(), plain] {
            asking.check().unwrap();
            assert_eq!(read(asking.write(Writer::new())), Ok(Some(asking)));
        }
        assert_eq!(read(Writer::new()), Ok(None));
    }

    #[test]
    fn what_passes_the_limits_is_refused_both_ways() {
        let refused = |change: fn(&mut Asking), want: AskingError| {
            let mut bad = asking();
            change(&mut bad);
            assert_eq!(bad.check(), Err(want.clone()));
            assert_eq!(read(bad.write(Writer::new())), Err(want));
        };
        refused(|a| a.template = Some("x".repeat(MAX_TEXT)), AskingError::TooLong);
        refused(|a| a.labels[1].1 = "x".repeat(MAX_TEXT), AskingError::TooLong);
        refused(|a| a.labels = vec![Default::default(); 1025], AskingError::TooMany(1025));
        refused(|a| a.temperature = Some(0.0), AskingError::Temperature(0.0));
        refused(|a| a.temperature = Some(f32::INFINITY), AskingError::Temperature(f32::INFINITY));
        let one = Writer::new().metadata(TASK, "label").metadata(LABELS, &["a", "b"][..]);
        assert_eq!(read(one), Err(AskingError::Unpaired { labels: 2, words: 0 }));
        let mut bytes = Vec::new();
        Writer::new().metadata(TASK, 1u32).write_to(&mut bytes).unwrap();
        assert!(Asking::read(&Gguf::parse(&bytes).unwrap()).is_err());
    }
}

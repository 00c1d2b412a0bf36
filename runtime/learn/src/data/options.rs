//! How a data file is read.

use super::fields::Columns;
use super::labels::{LabelStyle, Labels};
use super::part::Part;
use super::record::Task;
use std::path::PathBuf;

/// Default limit of what reading a data set takes, and most bytes of examples in memory: about 100,000 of 160 tokens.
pub const MAX_DATA_BYTES: usize = 64 << 20;

/// Records after which [`LoadOptions::progress`] is told of them.
pub const TOLD_EVERY: usize = 4096;

/// Where encoded examples go that are too many for memory.
#[derive(Clone, Debug)]
pub struct Overflow {
    /// The folder of the files that they are written to, which have no names. It takes 4 bytes a token and 16 an example.
    pub folder: PathBuf,
    /// Most bytes of them in memory.
    pub above: usize,
}

impl Overflow {
    /// Into `folder`, what is above [`MAX_DATA_BYTES`].
    pub fn into(folder: impl Into<PathBuf>) -> Self {
        Self { folder: folder.into(), above: MAX_DATA_BYTES }
    }

    /// With no more than `bytes` of them in memory.
    pub fn above_at_most(self, bytes: usize) -> Self {
        Self { above: self.above.min(bytes), ..self }
    }
}

/// How a data file is read.
#[derive(Clone, Debug)]
pub struct LoadOptions {
    /// What is learnt from each record.
    pub task: Task,
    /// The part of the records that is read; `None` reads all of them. Labels are those of all.
    pub part: Option<Part>,
    /// What the data call text and label; `None` where nobody can say: they then have to have these names.
    pub columns: Option<Columns>,
    /// Most tokens of an example; longer ones are cut, and counted in [`super::DataSet::cut`].
    pub len: usize,
    /// Leave the model's chat template out: prompt and completion are joined as they are.
    pub raw: bool,
    /// The words around a text to be labelled, with one [`super::TEXT`] and, where wanted, [`super::OPTIONS`].
    pub template: Option<String>,
    /// How labels become tokens.
    pub label_style: LabelStyle,
    /// (label, word) pairs: the word to answer with for a label.
    pub label_words: Vec<(String, String)>,
    /// Names of all labels, when one file may lack some of them: a device of a fleet. Empty: those of the file.
    pub label_names: Vec<String>,
    /// The labels to use; `None` collects them from the file. Give held-out data the training set's.
    pub labels: Option<Labels>,
    /// Most bytes that reading may take: the encoded examples and, at any time, the record under way.
    pub max_bytes: usize,
    /// Where examples go that are more than memory should hold; `None` refuses those beyond `max_bytes`.
    pub overflow: Option<Overflow>,
    /// Told every [`TOLD_EVERY`](super::TOLD_EVERY) records how many have become examples.
    pub progress: Option<fn(usize)>,
    /// What labels' logits are divided by before they become shares, above 0; 1 where nobody fitted it.
    pub temperature: f64,
    /// Rows of the model's head: a label must not be answered by a token beyond them.
    pub rows: usize,
}

impl LoadOptions {
    /// The defaults: chat template, labels by their own words, [`MAX_DATA_BYTES`], a head of any number of rows.
    pub fn new(task: Task, len: usize) -> Self {
        Self {
            task,
            part: None,
            columns: None,
            len,
            raw: false,
            template: None,
            label_style: LabelStyle::default(),
            label_words: Vec::new(),
            label_names: Vec::new(),
            labels: None,
            max_bytes: MAX_DATA_BYTES,
            overflow: None,
            progress: None,
            temperature: 1.0,
            rows: usize::MAX,
        }
    }
}

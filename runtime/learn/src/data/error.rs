//! Why data cannot be used: the file, the line, what was found, and what to do about it.

use crate::setting::Setting;
use sprig_engine::adapter::AskingError;
use sprig_engine::tokenizer::TokenizerError;
use sprig_ground::PathError;
use std::path::{Path, PathBuf};

/// Why a data file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DataError {
    /// The file cannot be opened or read.
    #[error(transparent)]
    Io(#[from] PathError),
    /// One line is wrong.
    #[error("{}:{line}: {problem}", path.display())]
    Line {
        /// The file.
        path: PathBuf,
        /// Counted from 1, blank lines included.
        line: u64,
        /// What is wrong, and the remedy.
        problem: Problem,
    },
    /// There is no record in the file.
    #[error("{}: no records; write one JSON object a line", path.display())]
    Empty {
        /// The file.
        path: PathBuf,
    },
    /// A folder without files of records, or with more than are read.
    #[error(
        "{}: {} in this folder have names that end in .jsonl; use 1 to {limit}", path.display(),
        if *found == 0 { "no files".to_owned() } else { format!("more than {limit} files") }
    )]
    Folder {
        /// The folder.
        path: PathBuf,
        /// Such files, as far as they were counted.
        found: usize,
        /// Files that are read, at most.
        limit: usize,
    },
    /// The encoded examples and the record under way pass the byte limit.
    #[error(
        "{}:{line}: the examples up to here, and this record while it is read, take more than the {limit} bytes that \
         there are for data; use fewer or shorter examples, or a larger {}", path.display(), Setting::Budget
    )]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// The line that did not fit.
        line: u64,
        /// The limit in bytes.
        limit: usize,
    },
    /// The labels of a file cannot be told apart by one token each.
    #[error("{}: {problem}", path.display())]
    Labels {
        /// The file.
        path: PathBuf,
        /// What is wrong, and the remedy.
        problem: Problem,
    },
    /// An option is wrong, whatever the file holds.
    #[error("{0}")]
    Options(Problem),
    /// Template and labels are more than an adapter's file can hold.
    #[error(transparent)]
    Asking(#[from] AskingError),
    /// The model's tokenizer or its chat template refuses.
    #[error("{}{}", .0, way_on(.0))]
    Tokenizer(#[from] TokenizerError),
}

/// The setting that does without what failed.
fn way_on(error: &TokenizerError) -> String {
    match error {
        TokenizerError::NoChatTemplate | TokenizerError::ChatTemplate { .. } => {
            format!(" ({})", Setting::Raw)
        }
        _ => String::new(),
    }
}

/// What was found, where, and what to do about it.
#[derive(Debug)]
pub struct Problem {
    /// The field of the record, where it is about one.
    pub field: Option<&'static str>,
    /// What was found.
    pub found: String,
    /// What to do.
    pub remedy: String,
}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if let Some(field) = self.field {
            write!(f, "field \"{field}\": ")?;
        }
        write!(f, "{}; {}", self.found, self.remedy)
    }
}

impl Problem {
    pub(super) fn new(found: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { field: None, found: found.into(), remedy: remedy.into() }
    }

    pub(super) fn field(field: &'static str, found: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { field: Some(field), ..Self::new(found, remedy) }
    }

    pub(super) fn at(self, path: &Path, line: u64) -> DataError {
        DataError::Line { path: path.to_owned(), line, problem: self }
    }
}

/// The beginning of a text from a file, quoted, for a message.
pub(super) fn short(text: &str) -> String {
    let mut cut: String = text.chars().take(40).collect();
    if cut.len() < text.len() {
        cut.push('…');
    }
    format!("{cut:?}")
}

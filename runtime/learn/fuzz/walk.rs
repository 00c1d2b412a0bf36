//! Reads any bytes as a file of data of every task; shared by the fuzz targets and the ordinary tests.

use sprig_learn::data::{Columns, LoadOptions, Survey, Task};
use std::path::PathBuf;

/// A file of data that is written over for each input, in memory where the system has a place there.
pub struct Input {
    path: PathBuf,
}

impl Input {
    /// One whose name has this ending, which says what it holds.
    pub fn new(ending: &str) -> Self {
        let shared = PathBuf::from("/dev/shm");
        let folder = if shared.is_dir() { shared } else { std::env::temp_dir() };
        Self { path: folder.join(format!("sprig-{}{ending}", std::process::id())) }
    }

    /// Reads `bytes`, of which the first chooses task and columns. How many records they are; none where they cannot be read to
    /// their end.
    pub fn walk(&self, bytes: &[u8]) -> u64 {
        let (&how, content) = bytes.split_first().unwrap_or((&0, &[]));
        std::fs::write(&self.path, content).expect("the input is written");
        let task = [Task::Label, Task::Choice, Task::Pair, Task::Lm][usize::from(how & 3)];
        let named = Columns { text: Some("a".into()), label: Some("b".into()) };
        let columns = [None, Some(Columns::default()), Some(named.clone()), Some(named)]
            [usize::from(how >> 2 & 3)]
        .clone();
        let options = LoadOptions { columns, ..LoadOptions::new(task, 16) };
        let Ok(survey) = Survey::of(&[&self.path], &options) else { return 0 };
        assert!(survey.duplicates <= survey.records && survey.empty <= survey.records);
        assert!(survey.labels.values().sum::<u64>() <= survey.records);
        survey.records
    }
}

impl Drop for Input {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

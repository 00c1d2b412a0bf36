//! Answers as they are written, one a line, in a file beside the one that they will be: what a run that was stopped has
//! answered stays, and the next goes on from there.

use crate::exit::{Exit, Failure};
use crate::output::Output;
use serde::Deserialize;
use serde_json::{Value, json};
use sprig_ground::file;
use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, BufWriter, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

/// Longest answer that is read again: a text of the longest row, all of it escaped.
const MAX_ANSWER: u64 = 1 << 20;

/// Answers under way.
pub struct Answers {
    path: PathBuf,
    file: BufWriter<File>,
    rows: u64,
    /// The last that was there.
    last: String,
    /// Of each label how many.
    labels: BTreeMap<String, u64>,
    cut: u64,
}

/// What of an answer is counted: of one that is a label, which.
#[derive(Deserialize)]
struct Counted {
    row: u64,
    label: Option<String>,
    #[serde(default)]
    cut: bool,
}

impl Answers {
    /// Opens those at `path`, if there are any, and takes off one that was not written whole.
    pub fn open(path: &Path) -> Result<Self, Failure> {
        let wrong = |e| Failure::io("write to", path, e);
        let file = OpenOptions::new().read(true).append(true).create(true).open(path).map_err(wrong)?;
        let mut reader = BufReader::new(&file);
        let (mut labels, mut cut) = (BTreeMap::new(), 0);
        let (mut rows, mut whole, mut last, mut next) = (0, 0, Vec::new(), Vec::new());
        loop {
            next.clear();
            let read = (&mut reader).take(MAX_ANSWER).read_until(b'\n', &mut next).map_err(wrong)?;
            if read == 0 || !next.ends_with(b"\n") {
                break;
            }
            let counted = serde_json::from_slice::<Counted>(&next).map_err(|_| others(path))?;
            if counted.row != rows + 1 {
                return Err(others(path));
            }
            counted.label.into_iter().for_each(|label| *labels.entry(label).or_default() += 1);
            cut += u64::from(counted.cut);
            (rows, whole) = (rows + 1, whole + read as u64);
            std::mem::swap(&mut last, &mut next);
        }
        drop(reader);
        file.set_len(whole).map_err(wrong)?;
        let mut file = file;
        file.seek(SeekFrom::End(0)).map_err(wrong)?;
        let last = String::from_utf8_lossy(&last).trim_end().to_owned();
        Ok(Self { path: path.to_owned(), file: BufWriter::new(file), rows, last, labels, cut })
    }

    /// Of each label how many, and how many texts were cut.
    pub fn counts(&self) -> (&BTreeMap<String, u64>, u64) {
        (&self.labels, self.cut)
    }

    /// How many there are.
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// Says where they are gone on from, if they are.
    pub fn tell(&self, output: &Output) {
        let known = self.rows;
        if known > 0 {
            output.event(json!({ "event": "resumed", "rows": known }), || {
                Some(format!("going on after {known} answers"))
            });
        }
    }

    /// That somebody asked to stop.
    pub fn interrupted(&self) -> Failure {
        let message = format!("interrupted after {} answers; the same command goes on from them", self.rows);
        Failure::new(Exit::Interrupted, message)
    }

    /// Takes the answer to row `row`, which names it: the next, or the last that was there, which it has to be.
    pub fn take(&mut self, row: u64, answer: &Value) -> Result<(), Failure> {
        let (label, cut) = (answer["label"].as_str(), answer["cut"] == true);
        let label = label.map(str::to_owned);
        let answer = answer.to_string();
        if row == self.rows {
            return if answer == self.last { Ok(()) } else { Err(others(&self.path)) };
        }
        writeln!(self.file, "{answer}").map_err(|e| Failure::io("write to", &self.path, e))?;
        self.rows = row;
        label.into_iter().for_each(|label| *self.labels.entry(label).or_default() += 1);
        self.cut += u64::from(cut);
        Ok(())
    }

    /// Hands what was taken to the system.
    pub fn flush(&mut self) -> Result<(), Failure> {
        self.file.flush().map_err(|e| Failure::io("write to", &self.path, e))
    }

    /// Ends with the answers to `rows` rows, which become the file `out`.
    pub fn finish(mut self, rows: u64, out: &Path) -> Result<(), Failure> {
        if rows < self.rows {
            return Err(others(&self.path));
        }
        self.flush()?;
        self.file.get_ref().sync_all().map_err(|e| Failure::io("write to", &self.path, e))?;
        Ok(file::move_into_place(&self.path, out)?)
    }
}

fn others(path: &Path) -> Failure {
    let message = format!(
        "{} holds answers about other texts, or of another adapter or by other settings; remove it, or name another --out",
        path.display()
    );
    Failure::new(Exit::Usage, message)
}

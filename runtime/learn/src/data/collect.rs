//! The labels of a file, by a pass over it.

use super::error::{DataError, Problem, short};
use super::files::files;
use super::labels::MAX_LABELS;
use super::lines::Lines;
use super::record::{Record, Task};
use super::room::Room;
use crate::setting::Setting;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// Names of the labels that the file has, at least two.
pub(super) fn collect_labels(room: &Room<'_>) -> Result<BTreeSet<String>, DataError> {
    let mut names = BTreeSet::new();
    for file in files(room.path)? {
        collect(&Room { path: &file, ..*room }, &mut names)?;
    }
    told_apart(names, room.path)
}

/// Adds the names that one file has.
fn collect(room: &Room<'_>, names: &mut BTreeSet<String>) -> Result<(), DataError> {
    let path = room.path;
    let mut lines = Lines::open(path)?;
    while let Some((line, text)) = lines.next(room.line(0)).map_err(|e| room.refuse(e))? {
        let record = Record::parse(text, Task::Label).map_err(|problem| problem.at(path, line))?;
        if let Record::Labelled { label, .. } = record {
            names.insert(label);
        }
        if names.len() > MAX_LABELS {
            let found = format!("found more than {MAX_LABELS} different labels up to here");
            let lm = Setting::Task.to(Task::Lm);
            let remedy = format!("use a field that names a class, or {lm} for free answers");
            return Err(Problem::field("label", found, remedy).at(path, line));
        }
    }
    Ok(())
}

fn told_apart(names: BTreeSet<String>, path: &Path) -> Result<BTreeSet<String>, DataError> {
    match names.len() {
        0 => Err(DataError::Empty { path: path.to_owned() }),
        1 => {
            let found = format!("every record has the label {}", short(names.first().map_or("", |n| n)));
            let problem = Problem::field("label", found, "use records of at least two labels");
            Err(DataError::Labels { path: path.to_owned(), problem })
        }
        _ => match alike(&names) {
            Some(problem) => Err(DataError::Labels { path: path.to_owned(), problem }),
            None => Ok(names),
        },
    }
}

/// Two names that differ only in case or white space: hardly two classes.
fn alike(names: &BTreeSet<String>) -> Option<Problem> {
    let plain = |name: &str| name.split_whitespace().collect::<Vec<_>>().join(" ").to_lowercase();
    let mut seen = BTreeMap::new();
    names.iter().find_map(|name| {
        let other = seen.insert(plain(name), name)?;
        let found = format!("labels {} and {} differ only in case or white space", short(other), short(name));
        let remedy = format!("write them alike, or name all in {} if they are two", Setting::Labels);
        Some(Problem::new(found, remedy))
    })
}

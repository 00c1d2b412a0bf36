//! The labels of a file, by a pass over it.

use super::error::{DataError, Problem, short};
use super::files::first;
use super::labels::{MAX_LABELS, a_class};
use super::options::LoadOptions;
use super::record::Record;
use super::walk::walk;
use crate::setting::Setting;
use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// Names of the labels that the files at `paths` have, at least two.
pub(super) fn collect_labels<P: AsRef<Path>>(
    paths: &[P],
    options: &LoadOptions,
) -> Result<BTreeSet<String>, DataError> {
    let mut names = BTreeSet::new();
    walk(paths, options, |path, line, record| {
        if let Record::Labelled { label, .. } = record? {
            names.insert(label);
        }
        if names.len() <= MAX_LABELS {
            return Ok(true);
        }
        let found = format!("found more than {MAX_LABELS} different labels up to here");
        Err(Problem::field("label", found, a_class()).at(path, line))
    })?;
    told_apart(names, first(paths))
}

fn told_apart(names: BTreeSet<String>, path: &Path) -> Result<BTreeSet<String>, DataError> {
    match names.len() {
        0 => Err(DataError::Empty { path: path.to_owned() }),
        1 => {
            let found = format!("every record has the label {}", short(names.first().map_or("", |n| n)));
            let problem = Problem::field("label", found, "use records of at least two labels");
            Err(DataError::Labels { path: path.to_owned(), problem })
        }
        _ => match variants(&names).into_iter().next() {
            Some((one, other)) => {
                let found = format!(
                    "labels {} and {} differ only in case or white space",
                    short(&one),
                    short(&other)
                );
                let remedy = format!("write them alike, or name all in {} if they are two", Setting::Labels);
                Err(DataError::Labels { path: path.to_owned(), problem: Problem::new(found, remedy) })
            }
            None => Ok(names),
        },
    }
}

/// Names that differ from an earlier one only in case or white space, each behind that one: hardly two classes.
pub(super) fn variants<'n>(names: impl IntoIterator<Item = &'n String>) -> Vec<(String, String)> {
    let plain = |name: &str| name.split_whitespace().collect::<Vec<_>>().join(" ").to_lowercase();
    let mut seen = BTreeMap::new();
    let mut found = Vec::new();
    for name in names {
        match seen.entry(plain(name)) {
            Entry::Occupied(other) => found.push((String::clone(other.get()), name.clone())),
            Entry::Vacant(place) => drop(place.insert(name.clone())),
        }
    }
    found
}

//! The probabilities of each item, a line of JSON each: for another program, and to compare two models by.

use crate::exit::{Exit, Failure};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use sprig_ground::{PathError, file};
use sprig_learn::calibration::Item;
use sprig_learn::data::DataSet;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;

/// What candidates are called.
pub struct Options(Vec<String>);

impl Options {
    /// Labels by their names, choices by their letters.
    pub fn of(data: &DataSet) -> Self {
        Self(match data.labels() {
            Some(labels) => labels.names().to_vec(),
            None => ('A'..='Z').map(String::from).collect(),
        })
    }

    /// What candidate `i` is called.
    pub fn name(&self, i: usize) -> String {
        self.0.get(i).cloned().unwrap_or_else(|| i.to_string())
    }
}

/// Writes `items` to `path`.
///
/// # Errors
/// What the disk says.
pub fn write(path: &Path, items: &[Item], options: &Options) -> Result<(), Failure> {
    let written = file::replace(path, |out| {
        for (id, item) in items.iter().enumerate() {
            let shares = item.probabilities(1.0).into_iter().enumerate();
            let probabilities: Map<String, Value> =
                shares.map(|(i, p)| (options.name(i), p.into())).collect();
            let line =
                json!({ "id": id, "probabilities": probabilities, "answer": options.name(item.answer) });
            writeln!(out, "{line}").map_err(PathError::at("write", path))?;
        }
        Ok::<_, PathError>(())
    });
    Ok(written?)
}

/// A line.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    #[allow(dead_code, reason = "lines are in the order of the data")]
    id: Value,
    probabilities: BTreeMap<String, f64>,
    answer: String,
}

/// Reads what [`write`] wrote of up to `most` items, candidates in the order of `options`.
///
/// # Errors
/// A line that is no such, by its number, or more of them.
pub fn read(path: &Path, options: &Options, most: usize) -> Result<Vec<Item>, Failure> {
    let io = |e| Failure::io("read", path, e);
    let lines = BufReader::new(File::open(path).map_err(io)?).lines();
    let mut items = Vec::new();
    for (i, line) in lines.enumerate() {
        let line = line.map_err(io)?;
        let bad = |problem: String| {
            let message = format!("{}, line {}: {problem}; give what --dump wrote", path.display(), i + 1);
            Failure::new(Exit::BadFile, message)
        };
        let Line { probabilities, answer, .. } =
            serde_json::from_str(&line).map_err(|e| bad(e.to_string()))?;
        if let Some((name, p)) = probabilities.iter().find(|(_, p)| !(0.0..=1.0).contains(*p)) {
            return Err(bad(format!("{name} has a probability of {p}")));
        }
        if let Some(other) = probabilities.keys().find(|name| !options.0.contains(name)) {
            return Err(bad(format!("{other:?} is no option of the data judged here")));
        }
        let named: Vec<&String> = options.0.iter().filter(|name| probabilities.contains_key(*name)).collect();
        let place = named.iter().position(|name| **name == answer);
        let answer = place.ok_or_else(|| bad(format!("the answer {answer:?} is none of the options")))?;
        let logits = named.into_iter().map(|name| probabilities[name].max(f64::MIN_POSITIVE).ln()).collect();
        if items.len() == most {
            return Err(bad(format!("there are more items than the {most} judged here")));
        }
        items.push(Item { logits, answer });
    }
    Ok(items)
}

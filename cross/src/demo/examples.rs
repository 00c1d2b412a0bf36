//! What an adapter answers to texts that were held out: the first of each label.

use crate::sprig::Sprig;
use anyhow::{Context, Result};
use serde_json::Value;
use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::path::Path;

/// Characters of a text that are shown.
const SHOWN: usize = 60;

/// A line for each label: its first text, what the adapter takes it for, and how sure it is.
pub fn answers(sprig: &Sprig, model: &Path, adapter: &Path, held_out: &Path) -> Result<String> {
    let text = fs::read_to_string(held_out).with_context(|| format!("cannot read {}", held_out.display()))?;
    let (mut lines, mut met) = (String::new(), BTreeSet::new());
    for record in text.lines() {
        let record: Value =
            serde_json::from_str(record).with_context(|| format!("{} is no JSONL", held_out.display()))?;
        let field = |name: &str| record[name].as_str().with_context(|| format!("a record has no {name}"));
        let (text, label) = (field("text")?, field("label")?);
        if !met.insert(label.to_owned()) {
            continue;
        }
        let asked = [
            OsStr::new("classify"),
            "--model".as_ref(),
            model.as_ref(),
            "--adapter".as_ref(),
            adapter.as_ref(),
            "--text".as_ref(),
            text.as_ref(),
        ];
        let answer = sprig.json(&asked)?;
        let share = 100.0 * answer["share"].as_f64().unwrap_or(f64::NAN);
        let (found, shown) = (answer["label"].as_str().unwrap_or("?"), shortened(text));
        let right = if found == label { "rightly".to_owned() } else { format!("it is {label}") };
        lines += &format!("example     {shown:SHOWN$}  {found}, {share:.0} %, {right}\n");
    }
    Ok(lines)
}

fn shortened(text: &str) -> String {
    match text.char_indices().nth(SHOWN - 1) {
        Some((at, _)) if text.chars().count() > SHOWN => format!("{}…", &text[..at]),
        _ => text.to_owned(),
    }
}

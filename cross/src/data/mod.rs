//! `cargo xtask data`: the data sets of the demo and the benchmarks, made on the spot from a fixed seed.
//!
//! Each is a pair of JSONL files, `train.jsonl` and `held_out.jsonl`, whose records are
//! `{"text", "label", "domain"}`. `domain` says which of several natural sources a record is from, so that
//! records can be dealt to devices that differ. Every label occurs equally often in each file.

mod desks;
mod split;
mod vader;

use crate::sys;
use anyhow::{Context, Result};
use clap::ValueEnum;
use serde::Serialize;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// Arguments of `cargo xtask data`.
#[derive(clap::Args)]
pub struct Args {
    /// Which data set
    name: Name,
    /// Folder to write into [default: target/demo/NAME]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Seed of the choice and order of records
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// The data sets.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub enum Name {
    /// Where a sentence is from: tweet, product, film, news (VADER ratings)
    Where,
    /// Its sentiment: negative, positive (VADER ratings)
    Sentiment,
    /// Its sentiment in five steps (VADER ratings)
    Strength,
    /// Which of six desks, named by colours, handles a building's fault report (generated)
    Desks,
    /// Sentences of film reviews, to be written on: free text (VADER ratings)
    Films,
}

impl Name {
    /// The question around a text, for `sprig --raw --template`; the answer is a space and the label.
    pub fn template(self) -> &'static str {
        match self {
            Self::Where => "{text}\n\nOptions: film, news, product, tweet\nLabel:",
            Self::Sentiment => "Text: {text}\nSentiment:",
            Self::Strength => "Text: {text}\nRating:",
            Self::Desks => "Report: {text}\nDesk:",
            Self::Films => "{text}",
        }
    }

    /// What is learnt of it, for `sprig --task`.
    pub fn task(self) -> &'static str {
        if self == Self::Films { "lm" } else { "label" }
    }
}

/// One record.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Record {
    /// What is to be labelled.
    pub text: String,
    /// Its label, a single token of SmolLM2 after a space.
    pub label: &'static str,
    /// Which source it is from.
    pub domain: &'static str,
}

/// A data set on disk.
#[derive(Debug, Serialize)]
pub struct Files {
    /// The records to train on.
    pub train: PathBuf,
    /// The records to judge by, which share no document or template with the former.
    pub held_out: PathBuf,
    /// How many records the former has.
    pub train_records: usize,
    /// How many records the latter has.
    pub held_out_records: usize,
    /// The label words.
    pub labels: Vec<&'static str>,
    /// The question to put around each text.
    pub template: &'static str,
    /// What is learnt.
    pub task: &'static str,
}

/// Runs the command.
pub fn run(args: &Args) -> Result<()> {
    let files = write(args.name, args.out.as_deref(), args.seed)?;
    if args.json {
        println!("{}", serde_json::to_string(&files)?);
    } else {
        let Files { train, held_out, train_records, held_out_records, labels, template, task } = &files;
        println!("{}: {train_records} records", train.display());
        println!("{}: {held_out_records} records", held_out.display());
        println!("task: {task}\nlabels: {}\ntemplate: {template:?}", labels.join(", "));
    }
    Ok(())
}

/// Writes the data set called `name` into `out`, or its usual place. The same seed gives the same bytes.
pub fn write(name: Name, out: Option<&Path>, seed: u64) -> Result<Files> {
    let value = name.to_possible_value().context("every data set has a name")?;
    let folder = match out {
        Some(out) => out.to_path_buf(),
        None => sys::target_dir().join("demo").join(value.get_name()),
    };
    let (train, held_out) = match name {
        Name::Where => vader::origin(&vader::ratings()?, seed),
        Name::Sentiment => vader::sentiment(&vader::ratings()?, seed),
        Name::Strength => vader::strength(&vader::ratings()?, seed),
        Name::Desks => desks::records(seed),
        Name::Films => vader::films(&vader::ratings()?, seed),
    };
    fs::create_dir_all(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
    let mut labels: BTreeMap<&'static str, usize> = BTreeMap::new();
    for record in &train {
        *labels.entry(record.label).or_default() += 1;
    }
    Ok(Files {
        train: write_lines(&folder.join("train.jsonl"), &train)?,
        held_out: write_lines(&folder.join("held_out.jsonl"), &held_out)?,
        train_records: train.len(),
        held_out_records: held_out.len(),
        labels: labels.into_keys().collect(),
        template: name.template(),
        task: name.task(),
    })
}

fn write_lines(path: &Path, records: &[Record]) -> Result<PathBuf> {
    let mut text = String::new();
    for record in records {
        text.push_str(&serde_json::to_string(record)?);
        text.push('\n');
    }
    fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))?;
    Ok(path.to_path_buf())
}

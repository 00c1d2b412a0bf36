//! Tasks to learn: data sets that this project makes, and folders of somebody else's records.

use crate::data::{self, Name};
use crate::sprig::flags;
use anyhow::{Context, Result};
use clap::ValueEnum;
use serde::Deserialize;
use std::fs;
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// Tokens of an example of the data sets that this project makes.
const LEN: u32 = 96;

/// Where a task is from.
#[derive(Clone, Debug)]
pub enum Source {
    /// A data set of `cargo xtask data`, drawn anew for each seed.
    Made(Name),
    /// A folder with train.jsonl, held_out.jsonl and task.json; or of such folders, 1, 2 and so on, one for each seed.
    Folder(PathBuf),
}

/// A task on disk.
#[derive(Clone, Debug)]
pub struct Task {
    /// What tables call it.
    pub name: String,
    /// Records to learn from.
    pub train: PathBuf,
    /// Records to judge by.
    pub held_out: PathBuf,
    /// How many the former are.
    pub examples: usize,
    shape: Shape,
}

/// How records become examples: what task.json says.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Shape {
    task: String,
    #[serde(default)]
    template: Option<String>,
    #[serde(default)]
    raw: bool,
    len: u32,
}

impl FromStr for Source {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match Name::from_str(text, false) {
            Ok(name) => Ok(Self::Made(name)),
            Err(_) if Path::new(text).is_dir() => Ok(Self::Folder(text.into())),
            Err(_) => Err(format!("{text} is neither a data set of `cargo xtask data` nor a folder")),
        }
    }
}

impl Source {
    /// The task, its records written below `out` where they have to be made.
    pub fn task(&self, out: &Path, seed: u64) -> Result<Task> {
        match self {
            Self::Made(name) => {
                let value = name.to_possible_value().context("every data set has a name")?;
                let files = data::write(*name, Some(&out.join("data").join(value.get_name())), seed)?;
                let template = Some(files.template.to_owned());
                Ok(Task {
                    name: value.get_name().to_owned(),
                    train: files.train,
                    held_out: files.held_out,
                    examples: files.train_records,
                    shape: Shape { task: "label".to_owned(), template, raw: true, len: LEN },
                })
            }
            Self::Folder(folder) => {
                let folder = std::path::absolute(folder)?;
                let own = folder.join(seed.to_string());
                let drawn = if own.is_dir() { own } else { folder.clone() };
                let read = |name: &str| {
                    let path = drawn.join(name);
                    fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))
                };
                let shape = serde_json::from_str(&read("task.json")?).with_context(|| {
                    format!("{} is no description of a task", drawn.join("task.json").display())
                })?;
                Ok(Task {
                    name: folder.file_name().unwrap_or_default().to_string_lossy().into_owned(),
                    train: drawn.join("train.jsonl"),
                    held_out: drawn.join("held_out.jsonl"),
                    examples: read("train.jsonl")?.lines().count(),
                    shape,
                })
            }
        }
    }
}

impl Task {
    /// The same with the first `examples` training records alone.
    pub fn first(&self, examples: usize, out: &Path) -> Result<Self> {
        if examples == self.examples {
            return Ok(self.clone());
        }
        let all = fs::read_to_string(&self.train)?;
        let train = out.join("some.jsonl");
        fs::write(&train, all.lines().take(examples).map(|line| format!("{line}\n")).collect::<String>())?;
        Ok(Self { train, examples, ..self.clone() })
    }

    /// Whether its answers are labels.
    pub fn is_labelled(&self) -> bool {
        self.shape.is_labelled()
    }

    /// Words around a text; `{text}` where there are none.
    pub fn template(&self) -> &str {
        self.shape.template.as_deref().unwrap_or("{text}")
    }

    /// Flags of `sprig train` that say how records become examples.
    pub fn flags(&self) -> Vec<String> {
        self.shape.flags()
    }
}

impl Shape {
    /// Questions with choices, of up to `len` tokens.
    pub fn choice(len: u32) -> Self {
        Self { task: "choice".to_owned(), template: None, raw: false, len }
    }

    /// Whether answers are labels.
    pub fn is_labelled(&self) -> bool {
        self.task == "label"
    }

    /// The same as flags of `sprig train`.
    pub fn flags(&self) -> Vec<String> {
        let Self { task, template, raw, len } = self;
        let mut words = flags(&[("task", task), ("len", &len.to_string())]);
        if let Some(template) = template {
            words.extend(flags(&[("template", template)]));
        }
        if *raw {
            words.push("--raw".to_owned());
        }
        words
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_of_records_is_a_task() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::write(at("train.jsonl"), "{}\n{}\n{}\n").unwrap();
        fs::write(at("held_out.jsonl"), "{}\n").unwrap();
        fs::write(at("task.json"), r#"{"task": "label", "template": "{text}:", "raw": true, "len": 64}"#)
            .unwrap();
        let source: Source = folder.path().to_str().unwrap().parse().unwrap();
        let task = source.task(folder.path(), 1).unwrap();
        assert!(task.is_labelled() && task.examples == 3);
        let words = task.flags().join(" ");
        for word in ["--task=label", "--len=64", "--template={text}:", "--raw"] {
            assert!(words.replace(' ', "=").contains(word), "{word} in {words}");
        }
        let part = task.first(2, folder.path()).unwrap();
        assert_eq!(fs::read_to_string(part.train).unwrap().lines().count(), 2);
        let own = at("7");
        fs::create_dir(&own).unwrap();
        fs::write(own.join("train.jsonl"), "{}\n").unwrap();
        fs::copy(at("task.json"), own.join("task.json")).unwrap();
        assert_eq!(source.task(folder.path(), 7).unwrap().examples, 1);
        assert!("nowhere".parse::<Source>().unwrap_err().contains("nowhere"));
        fs::write(at("task.json"), r#"{"task": "label", "length": 64}"#).unwrap();
        assert!(source.task(folder.path(), 1).is_err());
    }
}

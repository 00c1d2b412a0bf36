//! Sets of questions to learn from and to be judged by, as files of records, cut anew for each seed.

mod quiz;

use crate::learning::task::Shape;
use crate::sprig::{Sprig, flags};
use anyhow::{Context, Result, bail};
use quiz::Question;
use serde_json::Value;
use sprig_ground::{file, random::SplitMix64};
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Seed of the order of the records to judge by: the same ones under all seeds.
const ORDER: u64 = 13;
/// Items that are generated of each family.
const ITEMS: u32 = 2000;
/// Tokens that the words around a question take, from above.
const AROUND: usize = 60;

/// How much of a set is taken.
#[derive(Clone, Copy, Debug, clap::Args)]
pub struct Sizes {
    /// Records to learn from, at most
    #[arg(long, value_name = "N", default_value_t = 800)]
    pub examples: usize,
    /// Records of these that are kept for the choice of steps and temperatures
    #[arg(long, value_name = "N", default_value_t = 200)]
    pub validation: usize,
    /// Records to judge by, at most
    #[arg(long, value_name = "N", default_value_t = 500)]
    pub judged: usize,
    /// Most tokens of a record; longer questions are left out
    #[arg(long, value_name = "T", default_value_t = 160)]
    pub len: u32,
}

/// All records of a set.
#[derive(Clone, Debug)]
pub struct Set {
    /// What tables call it.
    pub name: String,
    shape: Shape,
    learnt: Vec<Value>,
    judged: Vec<Value>,
}

/// Files of a set, for one seed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cut {
    /// Records to learn from,
    pub train: PathBuf,
    /// and those kept back of them.
    pub validation: PathBuf,
    /// Records to judge by, of any seed.
    pub test: PathBuf,
}

impl Cut {
    /// Files of the set called `name`, below `out`.
    pub fn of(name: &str, seed: u64, out: &Path) -> Self {
        let (all, own) = (out.join(name), out.join(name).join(seed.to_string()));
        Self {
            train: own.join("train.jsonl"),
            validation: own.join("validation.jsonl"),
            test: all.join("test.jsonl"),
        }
    }
}

impl Set {
    /// The set in `folder`: questions in one text (train.json, test.json), MMLU-Redux (its tables, to be judged by alone), or
    /// records of label or choice as `cargo xtask learn` takes them (train.jsonl, held_out.jsonl, task.json).
    pub fn read(folder: &Path, sizes: &Sizes) -> Result<Self> {
        let name = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let at = |file: &str| folder.join(file);
        let set = if at("task.json").is_file() {
            let shape = serde_json::from_str(&text(&at("task.json"))?)
                .with_context(|| format!("{} describes no task", at("task.json").display()))?;
            Self { name, shape, learnt: lines(&at("train.jsonl"))?, judged: lines(&at("held_out.jsonl"))? }
        } else if at("test.json").is_file() {
            let read = |file: &str| questions(&at(file), sizes.len);
            Self {
                name,
                shape: Shape::choice(sizes.len),
                learnt: read("train.json")?,
                judged: read("test.json")?,
            }
        } else {
            let judged = tables(folder, sizes.len)?;
            Self { name, shape: Shape::choice(sizes.len), learnt: Vec::new(), judged }
        };
        if set.judged.is_empty() {
            bail!(
                "{} holds no questions; see `cargo xtask prefer --help` for what is read",
                folder.display()
            );
        }
        Ok(set.ordered())
    }

    /// Generated questions of a family, their wrong answers those of student errors.
    pub fn generated(family: &str, sprig: &Sprig, out: &Path, sizes: &Sizes) -> Result<Self> {
        let items = out.join(format!("{family}.jsonl"));
        let n = ITEMS.to_string();
        let mut words = ["mcq", "generate"].map(str::to_owned).to_vec();
        words.extend(flags(&[
            ("family", family),
            ("n", &n),
            ("seed", "7"),
            ("out", &items.to_string_lossy()),
        ]));
        sprig.json(&words)?;
        let mut random = SplitMix64::new(ORDER);
        let all = lines(&items)?.iter().filter_map(|item| Question::item(item, &mut random)).collect();
        let mut set = Self {
            name: family.to_owned(),
            shape: Shape::choice(sizes.len),
            learnt: distinct(all),
            judged: Vec::new(),
        };
        set = set.ordered();
        // A question is for learning or for judging, never both.
        set.judged =
            set.learnt.split_off(set.learnt.len().saturating_sub(sizes.judged.min(set.learnt.len() / 4)));
        Ok(set)
    }

    /// Whether there is something to learn from.
    pub fn teaches(&self) -> bool {
        !self.learnt.is_empty()
    }

    /// Whether what learnt from this set can answer the questions of `other`: choices all, labels where they are the same.
    pub fn asks_like(&self, other: &Self) -> bool {
        let labels =
            |set: &Self| set.judged.iter().map(|record| record["label"].to_string()).collect::<BTreeSet<_>>();
        self.shape.is_labelled() == other.shape.is_labelled() && labels(self) == labels(other)
    }

    /// Flags of `sprig train` and `sprig calibrate` that say how records become examples.
    pub fn flags(&self) -> Vec<String> {
        self.shape.flags()
    }

    /// Writes its files for `seed`.
    pub fn write(&self, cut: &Cut, seed: u64, sizes: &Sizes) -> Result<()> {
        let folder = file::folder_of(&cut.train);
        fs::create_dir_all(folder).with_context(|| format!("cannot create {}", folder.display()))?;
        let mut learnt = self.learnt.clone();
        SplitMix64::new(seed).shuffle(&mut learnt);
        let kept = sizes.validation.min(learnt.len() / 2);
        let train = &learnt[kept..learnt.len().min(kept + sizes.examples)];
        let judged = &self.judged[..self.judged.len().min(sizes.judged)];
        for (path, records) in [(&cut.train, train), (&cut.validation, &learnt[..kept]), (&cut.test, judged)]
        {
            let lines: String = records.iter().map(|record| format!("{record}\n")).collect();
            file::write(path, lines.as_bytes())?;
        }
        Ok(())
    }

    /// Records to judge by in an order that says nothing.
    fn ordered(mut self) -> Self {
        SplitMix64::new(ORDER).shuffle(&mut self.judged);
        self
    }
}

fn text(path: &Path) -> Result<String> {
    let bytes = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    // One of MMLU's tables is in Latin-1, whose bytes are the first characters.
    Ok(String::from_utf8(bytes).unwrap_or_else(|e| e.into_bytes().into_iter().map(char::from).collect()))
}

fn lines(path: &Path) -> Result<Vec<Value>> {
    let bad = || format!("{} holds a line that is no record", path.display());
    text(path)?.lines().map(|line| serde_json::from_str(line).with_context(bad)).collect()
}

/// Questions in one text, those that fit into `len` tokens.
fn questions(path: &Path, len: u32) -> Result<Vec<Value>> {
    let records: Vec<Value> = serde_json::from_str(&text(path)?)
        .with_context(|| format!("{} is no list of questions", path.display()))?;
    Ok(distinct(records.iter().filter_map(Question::told).filter(|question| fits(question, len)).collect()))
}

fn tables(folder: &Path, len: u32) -> Result<Vec<Value>> {
    let entries = fs::read_dir(folder).with_context(|| format!("cannot list {}", folder.display()))?;
    let mut files: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    files.retain(|path| path.extension().is_some_and(|e| e == "csv"));
    files.sort();
    let mut all = Vec::new();
    for path in files {
        all.extend(Question::redux(&text(&path)?).into_iter().filter(|question| fits(question, len)));
    }
    Ok(distinct(all))
}

fn fits(question: &Question, len: u32) -> bool {
    question.tokens() + AROUND <= len as usize
}

/// Each question once, as a record.
fn distinct(questions: Vec<Question>) -> Vec<Value> {
    let mut seen = BTreeSet::new();
    let first = questions.into_iter().filter(|question| seen.insert(question.question.clone()));
    first.filter_map(|question| question.record()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const SIZES: Sizes = Sizes { examples: 5, validation: 3, judged: 4, len: 160 };

    fn questions(n: usize) -> String {
        let question = |i: usize| {
            let text = format!(
                "Please choose the correct answer to the question: What is {i}?\n\nAnswer1: this Answer2: that\n\nAnswer format: \
                 answer1/answer2"
            );
            json!({ "instruction": text, "answer": "answer2" })
        };
        json!((0..n).map(question).collect::<Vec<_>>()).to_string()
    }

    #[test]
    fn a_set_is_cut_by_its_seed_and_judged_by_the_same_questions() {
        let folder = tempfile::tempdir().unwrap();
        let quiz = folder.path().join("quiz");
        fs::create_dir(&quiz).unwrap();
        fs::write(quiz.join("train.json"), questions(20)).unwrap();
        fs::write(quiz.join("test.json"), questions(10)).unwrap();
        let set = Set::read(&quiz, &SIZES).unwrap();
        let cut = |seed| {
            let cut = Cut::of("quiz", seed, folder.path());
            set.write(&cut, seed, &SIZES).unwrap();
            [cut.train, cut.validation, cut.test].map(|path| fs::read_to_string(path).unwrap())
        };
        let (first, second) = (cut(1), cut(2));
        assert_eq!(first.each_ref().map(|text| text.lines().count()), [5, 3, 4]);
        assert!(first[0] != second[0] && first[1] != second[1] && first[2] == second[2]);
        assert!(first[1].lines().all(|line| !first[0].contains(line)), "what is kept back is not learnt");
        assert_eq!(first, cut(1));
        assert!(first[0].contains(r#""choices":["this","that"]"#) && set.teaches());
        let error = Set::read(folder.path(), &SIZES).unwrap_err().to_string();
        assert!(error.contains("holds no questions"), "{error}");
    }

    #[test]
    fn labels_are_asked_alike_where_they_are_the_same() {
        let folder = tempfile::tempdir().unwrap();
        let labelled = |name: &str, labels: [&str; 2]| {
            let at = folder.path().join(name);
            fs::create_dir(&at).unwrap();
            let lines: String =
                labels.iter().map(|label| format!("{{\"text\": \"x\", \"label\": \"{label}\"}}\n")).collect();
            fs::write(at.join("train.jsonl"), &lines).unwrap();
            fs::write(at.join("held_out.jsonl"), &lines).unwrap();
            fs::write(at.join("task.json"), r#"{"task": "label", "len": 64}"#).unwrap();
            Set::read(&at, &SIZES).unwrap()
        };
        let (tweets, films) = (labelled("tweets", ["good", "bad"]), labelled("films", ["bad", "good"]));
        let desks = labelled("desks", ["red", "blue"]);
        assert!(tweets.asks_like(&films) && !tweets.asks_like(&desks));
        let tables = folder.path().join("tables");
        fs::create_dir(&tables).unwrap();
        fs::write(tables.join("a.csv"), "question,choices,answer,error_type\nWhat?,\"['a', 'b']\",1,ok\n")
            .unwrap();
        let redux = Set::read(&tables, &SIZES).unwrap();
        assert!(!redux.teaches() && !redux.asks_like(&films) && redux.flags().contains(&"choice".to_owned()));
    }

    #[test]
    fn too_long_questions_are_left_out() {
        let question = |n| Question {
            question: "x".repeat(n),
            choices: vec!["a".to_owned(), "b".to_owned()],
            answer: 0,
        };
        assert!(fits(&question(400), 160) && !fits(&question(500), 160));
    }
}

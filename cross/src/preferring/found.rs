//! What was measured, now or earlier, and the file that keeps it.

use super::best_of::BestOf;
use super::score::{Judged, Judgements, scaled};
use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// A way on a set, under a seed.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Key {
    /// What it learnt from.
    pub set: String,
    /// The seed.
    pub seed: u64,
    /// The way's name.
    pub arm: String,
}

/// Something measured of it.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "what", rename_all = "kebab-case")]
pub enum Fact {
    /// It was trained.
    Trained(Trained),
    /// It was judged.
    Judged(Verdict),
    /// It answered by the surest of several.
    BestOf(BestOf),
}

/// A training.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Trained {
    /// Steps taken.
    pub steps: u64,
    /// Median milliseconds of one.
    pub step_ms: f64,
    /// Whether nothing else was run beside it: only then times mean something.
    pub alone: bool,
    /// Seconds of learning.
    pub seconds: f64,
    /// Most bytes the process held.
    pub peak_bytes: u64,
}

/// What `sprig calibrate` says of it on a set.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Verdict {
    /// The set.
    pub on: String,
    /// Its scores.
    pub scores: Scores,
    /// The temperature fitted to the validation part of the set that was learnt from,
    pub fitted: f64,
    /// and the calibration error with it.
    pub scaled: f64,
}

/// Scores in `sprig calibrate`'s names.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Scores {
    /// Items.
    pub n: u64,
    /// Share answered rightly.
    pub accuracy: f64,
    /// Calibration error over 15 bins of equal width,
    pub ece15: f64,
    /// over 10,
    pub ece10: f64,
    /// over 15 of as many items each,
    pub ece15_mass: f64,
    /// and what a calibrated model of these confidences would show.
    pub floor15: f64,
    /// Mean confidence less accuracy.
    pub gap: f64,
    /// Brier score.
    pub brier: f64,
    /// Negative log-likelihood.
    pub nll: f64,
    /// How often a right answer is surer than a wrong one.
    pub auroc: Option<f64>,
    /// The temperature that fits best.
    pub temperature: f64,
}

/// A fact and whose it is.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Entry {
    #[serde(flatten)]
    key: Key,
    #[serde(flatten)]
    fact: Fact,
}

/// All of it.
pub struct Found {
    file: PathBuf,
    entries: Vec<Entry>,
}

impl Key {
    /// A name for its files.
    pub fn file(&self) -> String {
        let plain = |c: char| if c.is_ascii_alphanumeric() || "+-.".contains(c) { c } else { '_' };
        format!("{}-{}-{}", self.set, self.seed, self.arm).chars().map(plain).collect()
    }
}

impl Found {
    /// What earlier calls left in `out`; nothing if there is no file.
    pub fn read(out: &Path) -> Result<Self> {
        let file = out.join("preferring.json");
        let entries = match fs::read_to_string(&file) {
            Ok(text) => serde_json::from_str(&text).with_context(|| {
                format!("{} holds no results; move it away, or give --out another folder", file.display())
            })?,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(error).with_context(|| format!("cannot read {}", file.display())),
        };
        Ok(Self { file, entries })
    }

    /// Adds a fact, and keeps it whatever becomes of the rest.
    pub fn push(&mut self, key: &Key, fact: Fact) -> Result<()> {
        self.entries.push(Entry { key: key.clone(), fact });
        sprig_ground::file::write(&self.file, serde_json::to_string_pretty(&self.entries)?.as_bytes())?;
        Ok(())
    }

    /// Everyone there is a fact of, in the order in which they came.
    pub fn keys(&self) -> Vec<&Key> {
        let mut keys: Vec<&Key> = Vec::new();
        for entry in &self.entries {
            if !keys.contains(&&entry.key) {
                keys.push(&entry.key);
            }
        }
        keys
    }

    /// How `key` was trained.
    pub fn trained(&self, key: &Key) -> Option<&Trained> {
        self.facts(key).find_map(|fact| if let Fact::Trained(trained) = fact { Some(trained) } else { None })
    }

    /// What it was found to be on a set.
    pub fn verdict(&self, key: &Key, on: &str) -> Option<&Verdict> {
        self.verdicts(key).find(|verdict| verdict.on == on)
    }

    /// The same of all sets.
    pub fn verdicts(&self, key: &Key) -> impl Iterator<Item = &Verdict> {
        self.facts(key).filter_map(|fact| if let Fact::Judged(verdict) = fact { Some(verdict) } else { None })
    }

    /// Its answers by the surest of several.
    pub fn best_of(&self, key: &Key) -> Option<&BestOf> {
        self.facts(key).find_map(|fact| if let Fact::BestOf(found) = fact { Some(found) } else { None })
    }

    /// All facts as JSON.
    pub fn json(&self) -> serde_json::Value {
        serde_json::json!(self.entries)
    }

    fn facts(&self, key: &Key) -> impl Iterator<Item = &Fact> {
        self.entries.iter().filter(move |entry| entry.key == *key).map(|entry| &entry.fact)
    }
}

/// Ways that learnt from one set and were judged on one, by their names.
pub struct Cell {
    /// What was learnt from.
    pub set: String,
    /// What it was judged on.
    pub on: String,
    /// Each way's judgements.
    pub ways: BTreeMap<String, Judgements>,
}

impl Cell {
    /// All cells, from the dumps in `folder`; those on the set that was learnt from come first.
    pub fn all(found: &Found, folder: &Path) -> Result<Vec<Self>> {
        let mut cells: Vec<Self> = Vec::new();
        for key in found.keys() {
            for verdict in found.verdicts(key) {
                let items = judged(&dump(folder, key, &verdict.on), verdict.fitted)?;
                let same = |cell: &Self| (&cell.set, &cell.on) == (&key.set, &verdict.on);
                if !cells.iter().any(same) {
                    let (set, on) = (key.set.clone(), verdict.on.clone());
                    cells.push(Self { set, on, ways: BTreeMap::new() });
                }
                let cell = cells.iter_mut().find(|cell| same(cell)).context("a cell for each verdict")?;
                cell.ways.entry(key.arm.clone()).or_default().insert(key.seed, items);
            }
        }
        cells.sort_by_key(|cell| (!cell.is_own(), cell.set.clone(), cell.on.clone()));
        Ok(cells)
    }

    /// Whether it was judged on what it learnt from.
    pub fn is_own(&self) -> bool {
        self.set == self.on
    }
}

/// The file of the probabilities that `key` gave the items of a set.
pub fn dump(folder: &Path, key: &Key, on: &str) -> PathBuf {
    folder.join(format!("{}-on-{on}.jsonl", key.file()))
}

/// Items of a dump, with their confidences at a `temperature` as well.
pub fn judged(path: &Path, temperature: f64) -> Result<Vec<Judged>> {
    #[derive(Deserialize)]
    struct Line {
        probabilities: BTreeMap<String, f64>,
        answer: String,
    }
    let text = fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    let item = |line: &str| {
        let Line { probabilities, answer } = serde_json::from_str(line)
            .with_context(|| format!("{} holds a line that is no item", path.display()))?;
        // Of equals the first, as `sprig` has it: letters are in order.
        let best = probabilities
            .iter()
            .rev()
            .max_by(|a, b| a.1.total_cmp(b.1))
            .context("an item without candidates")?;
        let shares: Vec<f64> = probabilities.values().copied().collect();
        Ok(Judged { confidence: *best.1, scaled: scaled(&shares, temperature), right: *best.0 == answer })
    };
    text.lines().map(item).collect()
}

#[cfg(test)]
pub mod tests {
    use super::super::arm::Arm;
    use super::super::score::{Metric, metric};
    use super::*;

    /// Ways with a confidence each, right on two items of three, under two seeds; judged on what they learnt and on another set.
    pub fn measured(ways: &[(Arm, f64)]) -> (tempfile::TempDir, Found) {
        let folder = tempfile::tempdir().unwrap();
        let mut found = Found::read(folder.path()).unwrap();
        for (arm, confidence) in ways {
            for seed in [1, 2] {
                let key = Key { set: "<quiz>".to_owned(), seed, arm: arm.name().to_owned() };
                for on in ["<quiz>", "other"] {
                    let path = dump(folder.path(), &key, on);
                    let line = |i: usize| {
                        let answer = if i.is_multiple_of(3) { "B" } else { "A" };
                        let probabilities = format!(r#"{{"A": {confidence}, "B": {}}}"#, 1.0 - confidence);
                        format!(r#"{{"id": {i}, "probabilities": {probabilities}, "answer": "{answer}"}}"#)
                            + "\n"
                    };
                    fs::write(&path, (0..30).map(line).collect::<String>()).unwrap();
                    let items = judged(&path, 2.0).unwrap();
                    let error = metric(&items, Metric::Ece);
                    let scores = Scores {
                        n: 30,
                        accuracy: 2.0 / 3.0,
                        ece15: error,
                        ece10: error,
                        ece15_mass: error,
                        floor15: 0.05,
                        gap: confidence - 2.0 / 3.0,
                        brier: 0.4,
                        nll: 0.6,
                        auroc: Some(0.5),
                        temperature: 2.0,
                    };
                    let scaled = metric(&items, Metric::ScaledEce);
                    found
                        .push(&key, Fact::Judged(Verdict { on: on.to_owned(), scores, fitted: 2.0, scaled }))
                        .unwrap();
                }
            }
        }
        (folder, found)
    }

    #[test]
    fn what_was_found_is_found_again() {
        let (folder, mut found) = measured(&[(Arm::Dpo, 0.9)]);
        let key = Key { set: "<quiz>".to_owned(), seed: 1, arm: "DPO".to_owned() };
        let trained = Trained { steps: 7, step_ms: 1.5, alone: true, seconds: 2.0, peak_bytes: 9 };
        found.push(&key, Fact::Trained(trained)).unwrap();
        let again = Found::read(folder.path()).unwrap();
        assert_eq!(again.json(), found.json());
        assert_eq!((again.keys().len(), again.verdicts(&key).count()), (2, 2));
        assert_eq!(again.trained(&key).map(|trained| trained.steps), Some(7));
        assert!(again.verdict(&key, "third").is_none() && again.best_of(&key).is_none());
        assert!(again.trained(&Key { seed: 2, ..key }).is_none());
        fs::write(folder.path().join("preferring.json"), "{}").unwrap();
        assert!(Found::read(folder.path()).is_err_and(|error| error.to_string().contains("--out")));
    }

    #[test]
    fn dumps_become_cells_their_own_first() {
        let (folder, found) = measured(&[(Arm::Dpo, 0.9), (Arm::Catto, 0.7)]);
        let cells = Cell::all(&found, folder.path()).unwrap();
        assert_eq!(cells.iter().map(Cell::is_own).collect::<Vec<_>>(), [true, false]);
        let dpo = &cells[0].ways["DPO"][&2];
        assert_eq!((dpo.len(), dpo[0].right, dpo[1].right), (30, false, true));
        // A temperature of 2 takes roots: 3 to 1.
        assert!(
            (dpo[0].confidence - 0.9).abs() < 1e-12 && (dpo[0].scaled - 0.75).abs() < 1e-12,
            "{:?}",
            dpo[0]
        );
    }
}

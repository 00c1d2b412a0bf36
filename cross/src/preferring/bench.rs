//! The commands of `sprig` that a run is made of.

use super::arm::Arm;
use super::best_of::BestOf;
use super::found::{Key, Scores, Trained, Verdict, dump, judged};
use super::score::{Metric, metric};
use super::sets::{Cut, Set, Sizes};
use crate::sprig::{Sprig, flags};
use anyhow::{Context, Result, bail};
use std::fs;
use std::path::{Path, PathBuf};

/// How trainings are made.
#[derive(Clone, Debug, clap::Args)]
pub struct Course {
    /// Most steps of a base, which ends earlier when its validation finds nothing better
    #[arg(long, value_name = "N", default_value_t = 200)]
    pub base_steps: u64,
    /// Steps of each way from it
    #[arg(long, value_name = "N", default_value_t = 100)]
    pub steps: u64,
    /// Learning rate of a base [default: that of `sprig train`]
    #[arg(long, value_name = "X")]
    pub base_lr: Option<String>,
    /// Learning rate of the ways [default: that of `sprig train`]
    #[arg(long, value_name = "X")]
    pub lr: Option<String>,
    /// Blocks and linear layers that are adapted [default: those of `sprig train`]
    #[arg(long, value_name = "FROM..TO")]
    pub layers: Option<String>,
    /// The latter
    #[arg(long, value_name = "LIST")]
    pub targets: Option<String>,
    /// What confidences and losses count: the labels or the full vocabulary
    #[arg(long, value_name = "labels|full", default_value = "labels")]
    pub label_loss: String,
    /// Most bytes of each process
    #[arg(long, value_name = "SIZE", default_value = "1GiB")]
    pub budget: String,
    /// Threads of each process
    #[arg(long, value_name = "T", default_value_t = 1)]
    pub threads: usize,
    /// Processes side by side; with one alone steps are timed
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub jobs: usize,
    /// Begin no part of a run after so many minutes; another call goes on
    #[arg(long, value_name = "M")]
    pub minutes: Option<f64>,
    /// Also answer by the surest of so many candidates, DPO's and CATTO's models
    #[arg(long, value_name = "K")]
    pub best_of: Option<u64>,
    /// Questions that are answered so
    #[arg(long, value_name = "N", default_value_t = 100)]
    pub best_of_judged: usize,
}

/// Everything a run needs.
pub struct Bench<'a> {
    /// The program,
    pub sprig: &'a Sprig,
    /// and the model.
    pub model: &'a Path,
    /// Where files go.
    pub out: &'a Path,
    /// How trainings are made.
    pub course: &'a Course,
    /// How much of a set is taken.
    pub sizes: &'a Sizes,
    /// All sets.
    pub sets: &'a [Set],
    /// The ways.
    pub arms: &'a [Arm],
}

impl Bench<'_> {
    /// Files of a set, for one seed.
    pub fn cut(&self, seed: u64, set: &Set) -> Cut {
        Cut::of(&set.name, seed, &self.out.join("sets"))
    }

    /// Trains a way from its base, or a base.
    pub fn trained(&self, key: &Key, set: &Set, arm: Option<Arm>) -> Result<Trained> {
        let Course { base_steps, steps, base_lr, lr, layers, targets, label_loss, jobs, .. } = self.course;
        let (cut, out) = (self.cut(key.seed, set), self.adapter(key)?);
        let mut words = self.words("train", set);
        words.remove(0);
        // A call that was cut off goes on from its checkpoint; one that was over and not noted begins anew.
        if !out.exists() {
            words.push("--resume".to_owned());
        }
        words.extend(flags(&[
            ("estimator", "reverse"),
            ("label-loss", label_loss),
            ("data", &cut.train.to_string_lossy()),
            ("seed", &key.seed.to_string()),
            ("out", &out.to_string_lossy()),
            ("checkpoint-every", "20"),
        ]));
        let base = self.adapter(&Key { arm: super::arm::BASE.to_owned(), ..key.clone() })?;
        let shape = [("layers", layers), ("targets", targets)];
        match arm {
            Some(arm) => {
                words.extend(flags(arm.flags()));
                words.extend(flags(&[("from", &base.to_string_lossy()), ("steps", &steps.to_string())]));
            }
            None => words.extend(flags(&[("steps", &base_steps.to_string()), ("held-back", "100")])),
        }
        let rate = [("lr", if arm.is_some() { lr } else { base_lr })];
        for (name, value) in shape.into_iter().chain(rate) {
            words.extend(value.iter().flat_map(|value| flags(&[(name, value)])));
        }
        let done = self.sprig.train(&words, |_| ())?;
        Ok(Trained {
            steps: done.steps,
            step_ms: done.step_ms_median,
            alone: *jobs == 1,
            seconds: done.train_seconds.unwrap_or(0.0),
            peak_bytes: done.peak(),
        })
    }

    /// Judges what learnt `own` on `set`, with the temperature that was `fitted` on the former, which is done with that one itself.
    pub fn judged(&self, key: &Key, (own, set): (&Set, &Set), fitted: Option<f64>) -> Result<Verdict> {
        let dump = dump(&self.dumps()?, key, &set.name);
        let mut words = self.words("calibrate", set);
        words.extend(flags(&[
            ("adapter", &self.adapter(key)?.to_string_lossy()),
            ("data", &self.cut(key.seed, set).test.to_string_lossy()),
            ("dump", &dump.to_string_lossy()),
        ]));
        if fitted.is_none() {
            words.extend(flags(&[("validation", &self.cut(key.seed, own).validation.to_string_lossy())]));
        }
        let scores: Scores =
            serde_json::from_value(self.sprig.json(&words)?).context("what sprig calibrate printed")?;
        let fitted = fitted.unwrap_or(scores.temperature);
        let items = judged(&dump, fitted)?;
        // What is compared later is what was printed.
        let own = metric(&items, Metric::Ece);
        if (own - scores.ece15).abs() > 1e-3 {
            bail!(
                "{} has an error of {own:.4}, and sprig calibrate says {:.4}",
                dump.display(),
                scores.ece15
            );
        }
        Ok(Verdict { on: set.name.clone(), scores, fitted, scaled: metric(&items, Metric::ScaledEce) })
    }

    /// Has the surest of `k` candidates answer some questions.
    pub fn best_of(&self, key: &Key, set: &Set, k: u64) -> Result<BestOf> {
        let test = fs::read_to_string(self.cut(key.seed, set).test)?;
        let some = self.out.join("sets").join(format!("{}-some.jsonl", key.file()));
        let lines = test.lines().take(self.course.best_of_judged);
        fs::write(&some, lines.map(|line| format!("{line}\n")).collect::<String>())?;
        let mut words = self.words("calibrate", set);
        words.extend(flags(&[
            ("adapter", &self.adapter(key)?.to_string_lossy()),
            ("data", &some.to_string_lossy()),
            ("best-of", &k.to_string()),
        ]));
        BestOf::read(&self.sprig.json(&words)?)
    }

    /// Where dumps lie.
    pub fn dumps(&self) -> Result<PathBuf> {
        self.folder("dumps")
    }

    fn adapter(&self, key: &Key) -> Result<PathBuf> {
        Ok(self.folder("adapters")?.join(format!("{}.gguf", key.file())))
    }

    fn folder(&self, name: &str) -> Result<PathBuf> {
        let folder = self.out.join(name);
        fs::create_dir_all(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
        Ok(folder)
    }

    /// What every command begins with.
    fn words(&self, command: &str, set: &Set) -> Vec<String> {
        let mut words = vec![command.to_owned()];
        words.extend(set.flags());
        let (model, threads) = (self.model.to_string_lossy(), self.course.threads.to_string());
        words.extend(flags(&[("model", &model), ("budget", &self.course.budget), ("threads", &threads)]));
        words
    }
}

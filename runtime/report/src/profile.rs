//! `profile.json`: what a board held and how fast it went at each of several settings of one training.

use crate::record::{self, Machine, Measured, RecordError};
use serde::{Deserialize, Serialize};
use sprig_budget::{Bytes, Plan, Sample};
use sprig_ground::{PathError, file};
use std::fmt::{self, Display};
use std::path::Path;

/// The version written, and the only one read.
pub const VERSION: u32 = 1;

/// What messages call it.
const WHAT: &str = "profile";

/// A model on a board, at every setting that was tried.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Profile {
    /// [`VERSION`]; by this field a profile is told from a run record.
    pub profile_version: u32,
    /// Version of the program.
    pub sprig_version: String,
    /// The commit it was built from, where the build said so.
    #[serde(default)]
    pub commit: Option<String>,
    /// The command line, as it could be typed again.
    pub command: String,
    /// Start, in seconds since 1970 (UTC).
    pub started: u64,
    /// When the newest point was done, likewise.
    pub ended: u64,
    /// The budget that every setting was given.
    pub budget: Bytes,
    /// What was learnt: `lm`, `label`, `choice` or `pair`.
    pub task: String,
    /// Optimiser steps of a setting.
    pub steps: u64,
    /// The file of the model; what it is, once a setting ran.
    pub model_file: String,
    /// The model.
    #[serde(default)]
    pub model: Option<record::Model>,
    /// The board.
    pub board: Board,
    /// Further flags that every setting was given.
    #[serde(default)]
    pub also: Vec<String>,
    /// What was seen, in the order in which it was tried.
    pub points: Vec<Point>,
}

/// The machine, as its profile and its kernel describe it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Board {
    /// Name of its profile: `raspberry-pi-4b-4gb`, `generic-x86-64`.
    pub name: String,
    /// What its maker calls it.
    pub title: String,
    /// Temperature in °C from which on it slows down, where that is known.
    pub throttles_at: Option<u32>,
    /// Processor, cores, memory and kernel.
    pub machine: Machine,
}

/// A setting and what came of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Point {
    /// As it was asked for.
    pub setting: Setting,
    /// What came of it.
    #[serde(flatten)]
    pub outcome: Outcome,
    /// Seconds since the profile began at which it was started.
    pub at_s: f64,
    /// Seconds that its process took, loading and plain passes included.
    pub took_s: f64,
    /// The board before it, after it, and the hottest in between.
    pub heat: Heat,
    /// Resident memory of its process over time; `heap` and `step` are 0.
    #[serde(default)]
    pub timeline: Vec<Sample>,
}

/// One place of the grid. What is none was left to the defaults.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct Setting {
    /// `forward`, `reverse`, … or `auto`.
    pub estimator: String,
    /// Most tokens of an example.
    pub len: u32,
    /// Examples of a step.
    pub batch: u32,
    /// Directions (K); none of an estimator that takes none.
    pub tangents: Option<u32>,
    /// Rank of the adapter.
    pub rank: Option<u32>,
    /// `resident`, `streamed` or `auto`.
    pub weights: String,
}

/// What came of a setting.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "lowercase")]
pub enum Outcome {
    /// It ran.
    Ran(Box<Ran>),
    /// The planner refused it for the budget.
    Refused {
        /// The smallest budget that would do.
        smallest_budget: Bytes,
    },
    /// It ended in another way.
    Failed {
        /// Exit code of its process; none where a signal ended it.
        exit: Option<i32>,
        /// What it said.
        why: String,
    },
}

/// The measurements of a setting that ran.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Ran {
    /// How it learnt, where that was left to the program.
    pub estimator: String,
    /// Rank of the adapter.
    pub rank: u32,
    /// Regions planned, and the rungs taken.
    pub plan: Plan,
    /// What its process held.
    pub measured: Measured,
    /// Times of its steps.
    pub speed: record::Speed,
    /// Steps taken.
    pub steps: u64,
    /// Worker threads.
    pub threads: u32,
    /// Kernels chosen.
    pub isa: String,
}

/// The board around a setting.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Heat {
    /// Just before.
    pub before: Condition,
    /// Just after.
    pub after: Condition,
    /// Highest temperature seen while it ran, in °C.
    pub hottest: Option<f64>,
}

/// What the board said of itself at one moment; none where it does not tell.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Condition {
    /// The hottest sensor, in °C.
    pub celsius: Option<f64>,
    /// Clock of the slowest core, in kHz.
    pub clock_khz: Option<u64>,
    /// The most it can have, in kHz.
    pub clock_most_khz: Option<u64>,
    /// What held it back then; empty: nothing did.
    pub held_back: Option<Vec<String>>,
    /// What held it back at some time since it was started.
    pub was_held_back: Option<Vec<String>>,
}

impl Profile {
    /// Reads a profile from a file.
    ///
    /// # Errors
    /// [`RecordError`], naming the file and where in it.
    pub fn read(path: &Path) -> Result<Profile, RecordError> {
        Profile::parse(&record::content(path, WHAT)?, path)
    }

    /// Writes `profile.json`, whole or not at all.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn write(&self, path: &Path) -> Result<(), PathError> {
        let text = serde_json::to_vec_pretty(self).map_err(|e| PathError::new("write", path, e.into()))?;
        file::write(path, &text)
    }

    /// Reads a profile from memory; `path` only names it in errors.
    pub(crate) fn parse(bytes: &[u8], path: &Path) -> Result<Profile, RecordError> {
        #[derive(Deserialize)]
        struct Head {
            profile_version: u64,
        }
        let bad =
            |e: serde_json::Error| RecordError::Bad { path: path.into(), what: WHAT, why: e.to_string() };
        let head: Head = serde_json::from_slice(bytes).map_err(bad)?;
        if head.profile_version != u64::from(VERSION) {
            return Err(RecordError::Version { path: path.into(), what: WHAT, found: head.profile_version });
        }
        serde_json::from_slice(bytes).map_err(bad)
    }

    /// The settings that ran, with their measurements.
    pub fn ran(&self) -> impl Iterator<Item = (&Point, &Ran)> {
        self.points.iter().filter_map(|point| Some((point, point.ran()?)))
    }
}

impl Point {
    /// The measurements, if it ran.
    pub fn ran(&self) -> Option<&Ran> {
        match &self.outcome {
            Outcome::Ran(ran) => Some(ran),
            Outcome::Refused { .. } | Outcome::Failed { .. } => None,
        }
    }
}

impl Setting {
    /// Tokens of a step, all examples of it as long as they may be.
    pub fn tokens(&self) -> u64 {
        u64::from(self.len) * u64::from(self.batch)
    }

    /// All of it but length and batch.
    pub fn way(&self) -> String {
        let mut way = self.estimator.clone();
        let parts = [("K", self.tangents), ("r", self.rank)];
        for (name, value) in parts.into_iter().filter_map(|(name, value)| Some((name, value?))) {
            way += &format!(", {name} = {value}");
        }
        if self.weights != "auto" {
            way += &format!(", {}", self.weights);
        }
        way
    }
}

impl Display for Setting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("{} × {}, {}", self.batch, self.len, self.way()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::page::profiled;
    use serde_json::{Value, json};

    fn parse(value: &Value) -> Result<Profile, RecordError> {
        Profile::parse(&serde_json::to_vec(value).unwrap(), Path::new("p.json"))
    }

    #[test]
    fn reads_back_what_it_wrote() {
        let folder = std::env::temp_dir().join(format!("sprig-profile-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let (path, profile) = (folder.join("p.json"), profiled::profile());
        profile.write(&path).unwrap();
        let back = Profile::read(&path);
        std::fs::remove_dir_all(&folder).unwrap();
        assert!(back.unwrap() == profile);
    }

    #[test]
    fn another_version_is_refused_by_name_and_a_lost_field_too() {
        let whole = serde_json::to_value(profiled::profile()).unwrap();
        let mut value = whole.clone();
        value["profile_version"] = json!(7);
        let err = parse(&value).unwrap_err().to_string();
        assert!(err.contains("p.json is a profile of version 7, this program reads version 1"), "{err}");
        for field in ["budget", "points", "profile_version"] {
            let mut value = whole.clone();
            value.as_object_mut().unwrap().remove(field);
            let err = parse(&value).unwrap_err().to_string();
            assert!(err.contains(&format!("p.json is not a profile: missing field `{field}`")), "{err}");
        }
        let mut value = whole;
        value["points"][0]["outcome"] = json!("dreamt");
        assert!(matches!(parse(&value), Err(RecordError::Bad { .. })));
    }

    #[test]
    fn a_setting_is_called_by_what_was_asked_of_it() {
        let mut setting = profiled::profile().points[0].setting.clone();
        assert_eq!(setting.to_string(), "4 × 128, forward, K = 4, r = 8, resident");
        (setting.tangents, setting.rank, setting.weights) = (None, None, "auto".into());
        assert_eq!((setting.to_string(), setting.tokens()), ("4 × 128, forward".to_owned(), 512));
    }
}

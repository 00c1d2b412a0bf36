//! What a job announcement carries.

use super::{SettingsError, Train, explained};
use serde::{Deserialize, Serialize};

/// The training, and the model it starts from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JobSettings {
    /// SHA-256 of the base model's file, hexadecimal.
    pub model: String,
    /// What is trained.
    pub train: Train,
}

impl JobSettings {
    /// Reads an announcement.
    pub fn from_text(text: &str) -> Result<Self, SettingsError> {
        toml::from_str(text).map_err(|e| SettingsError::Parse {
            path: "the fleet's job".into(),
            problem: format!("{}; coordinator and device may be of different versions", explained(text, &e)),
        })
    }

    /// The text to announce.
    pub fn to_text(&self) -> String {
        // Plain fields of numbers, words and lists always have a form in TOML.
        toml::to_string(self).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::{Mode, TrainTable};

    #[test]
    fn a_job_travels_as_text() {
        let labels = vec!["a".to_owned(), "b".to_owned()];
        let layers = Some("22..30".parse().unwrap());
        let table = TrainTable { labels, layers, mode: Mode::PerEpoch, ..TrainTable::default() };
        let job = JobSettings { model: "ab".repeat(32), train: Train::new(table).unwrap() };
        assert_eq!(JobSettings::from_text(&job.to_text()).unwrap(), job);
        // Where the coordinator has its first adapter is not for others to know.
        let warm = TrainTable { init: Some("secret.gguf".into()), ..TrainTable::from(job.train.clone()) };
        let warm = JobSettings { train: Train::new(warm).unwrap(), ..job.clone() };
        assert_eq!(warm.to_text(), job.to_text());
        assert!(JobSettings::from_text("model = 1").unwrap_err().to_string().contains("the fleet's job"));
    }
}

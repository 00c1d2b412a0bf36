//! The `[train.readout]` table: labels learnt in closed form, from sums that every device sends once.

use super::secure::Sharers;
use serde::de::{Error, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use sprig_engine::model::Geometry;
use sprig_ground::names::NameVisitor;
use sprig_learn::data::Task;
use sprig_learn::estimator::Method;
use sprig_learn::privacy::Epsilon;
use sprig_learn::readout::fleet::Shape;
use sprig_learn::recipe::Whole;
use sprig_learn::setting::{Setting, SettingError};
use std::fmt::{self, Formatter};

/// A read-out instead of steps. With this table, all keys of `[train]` count that say what is asked and how many examples
/// are a pass; those of steps do not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ReadOut {
    /// Directions of the last block that are summed up: more of them tell more, in bytes that grow with their square.
    pub directions: Whole<2, 2048>,
    /// Fewest examples of a device: sums of fewer tell too much of each, and are neither sent nor taken.
    pub min_examples: Whole<1, 1_000_000>,
    /// Every device adds noise to its sums: no more than this ε of differential privacy is spent of an example. None is
    /// added if absent, but by devices that ask for it themselves (`[data] dp`).
    #[serde(skip_serializing_if = "Option::is_none")] // so that the text of a job stays what it was
    pub dp: Option<Epsilon>,
    /// Sums are aggregated securely: of each round the coordinator learns their total, and of no device its own; 3 to 512
    /// devices a round, two in three of which have to stay to its end. Nothing then holds a single device's sums to a limit.
    /// False if absent.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub secure_aggregation: bool,
    /// With `dp` and `secure_aggregation`, each device adds one of so many parts of the noise, and the total of so many devices has
    /// all of it: `dp` then holds of totals, which are all that anybody sees, and against any so many devices less one. Each adds
    /// all of it if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub noise_among: Option<Sharers>,
}

impl ReadOut {
    /// Refuses a read-out of anything but labels, and noise that is shared by devices which do not hide.
    pub(super) fn check(readout: Option<Self>, task: Task) -> Result<(), SettingError> {
        if let Some(Self { noise_among: Some(among), dp, secure_aggregation, .. }) = readout
            && !(dp.is_some() && secure_aggregation)
        {
            let problem = "a part of the noise hides nothing in sums that are seen by themselves; set dp and secure_aggregation \
                           too, or leave it out";
            return Err(Setting::ReadOutNoiseAmong.error(among, problem));
        }
        if readout.is_none() || task == Task::Label {
            return Ok(());
        }
        let remedy = Setting::Task.to(Task::Label);
        Err(Setting::Task.error(task, format!("[train.readout] learns labels; use {remedy}")))
    }

    /// What devices of a model of shape `g` sum up, for `classes` labels.
    pub fn shape(&self, g: &Geometry, classes: usize) -> Shape {
        Shape { inputs: g.ffn, kept: (self.directions.get() as usize).min(g.ffn), classes }
    }
}

/// Reads `estimator`, and says where a read-out is asked for instead.
pub(super) fn estimator<'de, D: Deserializer<'de>>(from: D) -> Result<Method, D::Error> {
    from.deserialize_str(StepsAlone)
}

/// The estimators that take steps, by their names.
struct StepsAlone;

impl Visitor<'_> for StepsAlone {
    type Value = Method;

    fn expecting(&self, f: &mut Formatter<'_>) -> fmt::Result {
        NameVisitor::<Method>::new().expecting(f)
    }

    fn visit_str<E: Error>(self, name: &str) -> Result<Method, E> {
        if name == "readout" {
            let remedy = "leave out `estimator` and write a table [train.readout]";
            return Err(E::custom(format_args!("a read-out takes no steps; {remedy}")));
        }
        NameVisitor::new().visit_str(name)
    }
}

impl Default for ReadOut {
    fn default() -> Self {
        Self {
            directions: Whole::of::<128>(),
            min_examples: Whole::of::<20>(),
            dp: None,
            secure_aggregation: false,
            noise_among: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{JobSettings, Train};

    /// A device that does not know what it means would send its sums as they are: it refuses the job.
    #[test]
    fn devices_that_cannot_hide_their_sums_refuse_to_send_them() {
        let train = |secure: bool| {
            let text = format!("labels = [\"a\", \"b\"]\n[readout]\nsecure_aggregation = {secure}");
            JobSettings::new("x".to_owned(), toml::from_str::<Train>(&text).unwrap()).to_text()
        };
        assert!(train(true).starts_with("format = 3\nleast = 3\n"), "{}", train(true));
        assert!(!train(false).contains("format") && !train(false).contains("secure"), "{}", train(false));
    }

    #[test]
    fn a_read_out_is_of_labels_and_travels_with_the_job() {
        let train = |task: &str| {
            let text = format!("{task}\nlabels = [\"a\", \"b\"]\n[readout]\ndirections = 64");
            toml::from_str::<Train>(&text).map_err(|e| e.to_string())
        };
        let error = train("task = \"lm\"").unwrap_err();
        assert!(error.contains("[train.readout] learns labels") && error.contains("label"), "{error}");
        let error = train("estimator = \"readout\"").unwrap_err();
        assert!(error.contains("takes no steps") && error.contains("a table [train.readout]"), "{error}");
        let error = train("estimator = \"reverze\"").unwrap_err();
        assert!(error.contains("there is no estimator \"reverze\"; use forward, reverse"), "{error}");
        let set = train("").unwrap().readout.unwrap();
        assert_eq!((set.directions.get(), set.min_examples.get()), (64, 20));
    }
}

//! What a job announcement carries, and how devices of other versions read it.
//!
//! A job says what differs from the defaults of its format, and the defaults of a format never change: what it leaves out
//! means the same to every reader. A key that a later format adds is written only where it has another value than its
//! default, so that a fleet which does not use it is understood by older devices. Where it is used, `format` says whose
//! readers know every key, and `least` whose readers may follow without those that they do not know. Both are 1 where a text
//! leaves them out.

use super::known::{self, Known};
use super::{
    Flow, NoiseTable, ReadOut, Rounds, Seconds, Server, SettingsError, Train, TrainTable, explained,
};
use serde::{Deserialize, Serialize};
use sprig_learn::recipe::AdamW;
use toml::{Table, Value};

/// Format of the jobs that this program writes, and the last of which it knows every key.
pub const JOB_FORMAT: u32 = 4;

/// A key that format 1 does not have, after its tables; the format that has it first; whether a device that left it out
/// would train something else.
type Later = (&'static str, u32, bool);

/// All keys that later formats have added.
const LATER: &[Later] = &[
    ("train.noise", 2, true),
    ("by_task", 2, false),
    ("train.readout.secure_aggregation", 3, true),
    ("train.secure_aggregation", 4, true),
    ("train.readout.noise_among", 4, true),
    ("train.noise.noise_among", 4, true),
];

/// The training, and the model it starts from.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct JobSettings {
    /// SHA-256 of the base model's file, hexadecimal.
    pub model: String,
    /// Devices act on their tasks alone, instead of following the rounds, and say every so many seconds that they are here; they
    /// follow if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub by_task: Option<Seconds<604_800>>,
    /// What is trained.
    pub train: Train,
}

impl JobSettings {
    /// `train` on the model whose file has the SHA-256 `model`, hexadecimal; every device follows the rounds.
    pub fn new(model: String, train: Train) -> Self {
        Self { model, by_task: None, train }
    }

    /// The same of a fleet whose rounds go as `rounds` says.
    #[must_use]
    pub fn following(self, rounds: &Rounds) -> Self {
        Self { by_task: rounds.tell(), ..self }
    }

    /// Reads a text that must have no key but those known here.
    ///
    /// # Errors
    /// [`SettingsError::Parse`], with the line and the key.
    pub fn from_text(text: &str) -> Result<Self, SettingsError> {
        let text_of = |e| unreadable(format!("{}; the older side is to be upgraded", explained(text, &e)));
        let Written { model, by_task, train, .. } = toml::from_str(text).map_err(text_of)?;
        Ok(Self { model, by_task, train })
    }

    /// Reads an announcement, perhaps of a later program: what it says, and the keys that are not known here, which may be
    /// left out.
    ///
    /// # Errors
    /// [`SettingsError::Parse`] where a key that is not known here changes what is trained, with its name and the remedy, and
    /// where the text is none.
    pub fn announced(text: &str) -> Result<(Self, Vec<String>), SettingsError> {
        Self::announced_to(text, JOB_FORMAT)
    }

    /// The text to announce.
    pub fn to_text(&self) -> String {
        // Plain fields of numbers, words and lists always have a form in TOML.
        let table = Table::try_from(self).unwrap_or_default();
        let form = form(&table, LATER);
        let lines = [("format", form.format), ("least", form.least)];
        let said = |(key, value): (&str, u32)| {
            if value > 1 { format!("{key} = {value}\n") } else { String::new() }
        };
        lines.map(said).concat() + &toml::to_string(self).unwrap_or_default()
    }

    /// The same to a program that knows the formats up to `known`.
    fn announced_to(text: &str, known: u32) -> Result<(Self, Vec<String>), SettingsError> {
        let mut table: Table = match text.parse() {
            Ok(table) => table,
            Err(_) => return Self::from_text(text).map(|job| (job, Vec::new())),
        };
        let Form { format, least } = Form::of(&table);
        if format <= known {
            return Self::from_text(text).map(|job| (job, Vec::new()));
        }
        let unknown = known::take_unknown(&mut table, "", &tables());
        if least > known {
            return Err(unreadable(format!(
                "it is of format {least}, and sprig {} reads jobs up to format {known}{}; upgrade sprig on this device",
                env!("CARGO_PKG_VERSION"),
                named(&unknown)
            )));
        }
        let Written { model, by_task, train, .. } = table.try_into().map_err(|e: toml::de::Error| {
            unreadable(format!("{}; upgrade sprig on this device", e.message().replace('\n', " ")))
        })?;
        Ok((Self { model, by_task, train }, unknown))
    }
}

/// A job as a text has it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "who can read it is looked at before the rest is")]
struct Written {
    #[serde(default)]
    format: u32,
    #[serde(default)]
    least: u32,
    model: String,
    by_task: Option<Seconds<604_800>>,
    train: Train,
}

/// Who can read a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Form {
    /// The first format that has all its keys.
    format: u32,
    /// The first format whose readers may leave out what they do not know.
    least: u32,
}

impl Form {
    /// What a text says; whatever is no number there is refused as the rest is read.
    fn of(table: &Table) -> Self {
        let number = |key| table.get(key).and_then(Value::as_integer).and_then(|n| u32::try_from(n).ok());
        Self { format: number("format").unwrap_or(1), least: number("least").unwrap_or(1) }
    }
}

/// Who can read a job that says what `table` does, if `later` are the keys that format 1 does not have.
fn form(table: &Table, later: &[Later]) -> Form {
    let says = |path: &str| {
        let mut keys = path.split('.');
        let first = keys.next().and_then(|key| table.get(key));
        keys.fold(first, |value, key| value?.get(key)).is_some()
    };
    let said: Vec<&Later> = later.iter().filter(|(path, ..)| says(path)).collect();
    Form {
        format: said.iter().map(|(_, format, _)| *format).max().unwrap_or(1),
        least: said.iter().filter(|(.., matters)| *matters).map(|(_, format, _)| *format).max().unwrap_or(1),
    }
}

/// All tables of a job.
fn tables() -> [Known; 7] {
    [
        ("", known::fields::<Written>()),
        ("train", known::fields::<TrainTable>()),
        ("train.adamw", known::fields::<AdamW>()),
        ("train.server", known::fields::<Server>()),
        ("train.readout", known::fields::<ReadOut>()),
        ("train.noise", known::fields::<NoiseTable>()),
        ("train.flow", known::fields::<Flow>()),
    ]
}

fn unreadable(problem: String) -> SettingsError {
    SettingsError::Parse { path: "the fleet's job".into(), problem }
}

/// The keys, if there are any.
fn named(unknown: &[String]) -> String {
    if unknown.is_empty() { String::new() } else { format!(", which do not have {}", unknown.join(", ")) }
}

#[cfg(test)]
#[path = "job_tests.rs"]
mod tests;

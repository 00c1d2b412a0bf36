//! The `[train]` table: what every device trains, and how the coordinator puts it together.

use super::{AdamW, Preset, Server, SettingsError};
use serde::{Deserialize, Serialize};
use sprig_engine::adapter::{AdapterSpec, Kind};
use sprig_engine::model::{Geometry, Module};
use sprig_ground::names;
use sprig_learn::data::{LabelStyle, LoadOptions, Task};
use sprig_learn::directions::{Family, Sharing, run_key};
use sprig_learn::estimator::Forward;
use sprig_learn::spry::{Dealing, Exchange, Mode, Rules, Seeds, Terms};
use std::ops::Range;

/// What devices send.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Upload {
    /// Scalars, which everybody replays.
    #[default]
    Scalars,
    /// The weights of their share; per epoch only.
    Weights,
}

names!(Upload, "way up", [Scalars = "scalars", Weights = "weights"]);

/// Settings every device and the coordinator share.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Train {
    /// An algorithm by its name, whose values are those of all keys that are not given.
    #[serde(skip_serializing)]
    pub preset: Option<Preset>,
    /// `lm`, `label` or `choice`.
    pub task: String,
    /// Leave the model's chat template out.
    pub raw: bool,
    /// Words around a text to be labelled.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub template: Option<String>,
    /// All labels of the fleet, whether or not a device has each.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub labels: Vec<String>,
    /// `word` or `letter`.
    pub label_style: String,
    /// Most tokens of an example.
    pub len: usize,
    /// Examples of a step.
    pub batch: usize,
    /// K.
    pub tangents: usize,
    /// `lora-xs`, `lora` or `b-only`.
    pub adapter: String,
    /// r.
    pub rank: usize,
    /// alpha; the rank if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub alpha: Option<f32>,
    /// Adapted linears.
    pub targets: String,
    /// Adapted blocks, `FROM..TO`; the top quarter for lora-xs, all otherwise, if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub layers: Option<String>,
    /// `rademacher`, `walsh` or `gaussian`; if absent rademacher for one tangent, walsh for more.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub family: Option<String>,
    /// One direction an example, or one for its whole batch.
    pub directions: String,
    /// Own directions on every device, or the same (the paper's).
    pub seeds: String,
    /// Seed of directions, start values, assignment and data order.
    pub seed: u64,
    /// When to exchange.
    pub mode: Mode,
    /// Optimiser steps on the device in per-epoch mode.
    pub local_steps: u32,
    /// Optimiser on the device in per-epoch mode: `adamw` or `sgd`.
    pub local_optimizer: String,
    /// Constants of `adamw`.
    pub adamw: AdamW,
    /// Learning rate: of the local optimiser in per-epoch mode, of the averaged gradient in per-iteration mode. What
    /// follows for a file that leaves it out depends on both.
    pub lr: f32,
    /// What steps the global weights.
    pub server: Server,
    /// How groups are dealt to devices: `contiguous`, `cyclic` or `device-aware`.
    pub dealing: String,
    /// What devices send.
    pub up: Upload,
}

impl Default for Train {
    fn default() -> Self {
        Self {
            preset: None,
            task: "label".to_owned(),
            raw: false,
            template: None,
            labels: Vec::new(),
            label_style: "word".to_owned(),
            len: 128,
            batch: 8,
            tangents: 4,
            adapter: "lora-xs".to_owned(),
            rank: 8,
            alpha: None,
            targets: "q,v,o".to_owned(),
            layers: None,
            family: None,
            directions: "per-example".to_owned(),
            seeds: "own".to_owned(),
            seed: 0,
            mode: Mode::PerIteration,
            local_steps: 10,
            local_optimizer: "adamw".to_owned(),
            adamw: AdamW::default(),
            lr: Self::usual_lr(Mode::PerIteration, "adamw"),
            server: Server::default(),
            dealing: "contiguous".to_owned(),
            up: Upload::Scalars,
        }
    }
}

impl Train {
    /// Checks every value that needs no model.
    pub fn check(&self) -> Result<(), SettingsError> {
        let range = |field, found: usize, low: usize, high: usize| match (low..=high).contains(&found) {
            true => Ok(()),
            false => Err(wrong(field, found, format!("use {low} to {high}"))),
        };
        range("len", self.len, 2, 131_072)?;
        range("batch", self.batch, 1, 4096)?;
        range("tangents", self.tangents, 1, 64)?;
        range("rank", self.rank, 1, 1024)?;
        range("local_steps", self.local_steps as usize, 1, 100_000)?;
        self.check_optimisers()?;
        if self.task()? == Task::Label && self.labels.len() < 2 {
            let remedy = "name all labels of the fleet: a single device need not have each";
            return Err(wrong("labels", format_args!("{:?}", self.labels), remedy));
        }
        if self.up == Upload::Weights && self.mode == Mode::PerIteration {
            return Err(wrong(
                "up",
                "\"weights\"",
                "use mode = \"per-epoch\": an iteration has scalars alone",
            ));
        }
        self.kind()?;
        self.modules()?;
        self.blocks()?;
        self.dealing()?;
        self.label_style()?;
        self.rules().map(drop)
    }

    /// What is learnt from a record.
    pub fn task(&self) -> Result<Task, SettingsError> {
        choose("task", &self.task, &[("lm", Task::Lm), ("label", Task::Label), ("choice", Task::Choice)])
    }

    /// How records become tokens.
    pub fn load_options(&self) -> Result<LoadOptions, SettingsError> {
        Ok(LoadOptions {
            raw: self.raw,
            template: self.template.clone(),
            label_style: self.label_style()?,
            label_names: self.labels.clone(),
            ..LoadOptions::new(self.task()?, self.len)
        })
    }

    /// The adapter, checked against the model.
    pub fn adapter(&self, g: &Geometry) -> Result<AdapterSpec, SettingsError> {
        let kind = self.kind()?;
        let layers = self.blocks()?.unwrap_or(match kind {
            Kind::Xs => g.blocks - g.blocks.div_ceil(4)..g.blocks,
            _ => 0..g.blocks,
        });
        let alpha = self.alpha.unwrap_or(self.rank as f32);
        let spec = AdapterSpec { kind, rank: self.rank, alpha, targets: self.modules()?, layers };
        spec.check(g).map_err(|e| wrong("adapter", &self.adapter, e.to_string()))?;
        Ok(spec)
    }

    /// How a round's updates are made and put together.
    pub fn rules(&self) -> Result<Rules, SettingsError> {
        let family = match &self.family {
            None if self.tangents > 1 => Family::Walsh,
            None => Family::Rademacher,
            Some(name) => choose(
                "family",
                name,
                &[
                    ("rademacher", Family::Rademacher),
                    ("walsh", Family::Walsh),
                    ("gaussian", Family::Gaussian),
                ],
            )?,
        };
        let sharing = [("per-example", Sharing::PerExample), ("shared", Sharing::Shared)];
        let terms = Terms {
            exchange: match self.mode {
                Mode::PerIteration => Exchange::PerIteration,
                Mode::PerEpoch => Exchange::PerEpoch { steps: self.local_steps },
            },
            batch: self.batch,
            forward: Forward {
                family,
                sharing: choose("directions", &self.directions, &sharing)?,
                tangents: self.tangents,
                run_key: run_key(self.seed),
            },
            seeds: choose("seeds", &self.seeds, &[("own", Seeds::Own), ("shared", Seeds::Shared)])?,
            local: self.local()?,
            lr: self.lr,
            server: self.server.rule()?,
            decay: self.server.decay_rounds,
        };
        Rules::new(terms).map_err(|e| wrong(e.setting.key(), e.found, e.problem))
    }

    /// How groups are dealt to devices.
    pub fn dealing(&self) -> Result<Dealing, SettingsError> {
        let known = [
            ("contiguous", Dealing::Contiguous),
            ("cyclic", Dealing::Cyclic),
            ("device-aware", Dealing::DeviceAware),
        ];
        choose("dealing", &self.dealing, &known)
    }

    fn kind(&self) -> Result<Kind, SettingsError> {
        let known = [("lora-xs", Kind::Xs), ("lora", Kind::Lora), ("b-only", Kind::BOnly)];
        choose("adapter", &self.adapter, &known)
    }

    fn label_style(&self) -> Result<LabelStyle, SettingsError> {
        choose(
            "label_style",
            &self.label_style,
            &[("word", LabelStyle::Word), ("letter", LabelStyle::Letter)],
        )
    }

    fn modules(&self) -> Result<Vec<Module>, SettingsError> {
        if self.targets == "all" {
            return Ok(Module::ALL.to_vec());
        }
        let mut found = Vec::new();
        for name in self.targets.split(',').map(str::trim) {
            let known = Module::ALL.map(|m| (m.name(), m));
            found.push(choose("targets", name, &known)?);
        }
        found.sort();
        found.dedup();
        Ok(found)
    }

    fn blocks(&self) -> Result<Option<Range<usize>>, SettingsError> {
        let Some(text) = &self.layers else { return Ok(None) };
        let parsed =
            text.split_once("..").and_then(|(a, b)| Some(a.trim().parse().ok()?..b.trim().parse().ok()?));
        match parsed {
            Some(range) if !range.is_empty() => Ok(Some(range)),
            _ => Err(wrong("layers", text, "write FROM..TO, such as 22..30 for blocks 22 to 29")),
        }
    }
}

pub(super) fn wrong(
    field: &'static str,
    found: impl std::fmt::Display,
    remedy: impl Into<String>,
) -> SettingsError {
    SettingsError::value("train", field, found, remedy)
}

pub(super) fn choose<T: Copy>(
    field: &'static str,
    name: &str,
    known: &[(&str, T)],
) -> Result<T, SettingsError> {
    known.iter().find(|(n, _)| *n == name).map(|(_, value)| *value).ok_or_else(|| {
        let names: Vec<_> = known.iter().map(|(n, _)| *n).collect();
        wrong(field, format_args!("{name:?}"), format!("use one of {}", names.join(", ")))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labelled() -> Train {
        Train { labels: vec!["a".to_owned(), "b".to_owned()], ..Train::default() }
    }

    #[test]
    fn wrong_values_name_the_field_and_the_remedy() {
        let cases = [
            (Train { batch: 0, ..labelled() }, "[train] batch = 0: use 1 to 4096"),
            (Train { task: "poetry".to_owned(), ..labelled() }, "[train] task = \"poetry\": use one of lm"),
            (Train { labels: Vec::new(), ..labelled() }, "name all labels"),
            (Train { layers: Some("9".to_owned()), ..labelled() }, "write FROM..TO"),
            (Train { lr: f32::NAN, ..labelled() }, "[train] lr = NaN"),
            (Train { targets: "q,x".to_owned(), ..labelled() }, "\"x\""),
            (
                Train { server: Server { beta1: 1.0, ..Server::default() }, ..labelled() },
                "[train] server.beta1 = 1",
            ),
        ];
        for (train, expected) in cases {
            let message = train.check().unwrap_err().to_string();
            assert!(message.contains(expected), "{message} has no {expected}");
        }
    }
}

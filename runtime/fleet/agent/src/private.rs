//! A device whose scalars leave with noise: how much of it, what was told so far, and when it has told enough.

use super::randomness::System;
use serde::{Deserialize, Serialize};
use sprig_budget::Bytes;
use sprig_learn::privacy::{Account, Epsilon, Noise, Visits};
use sprig_learn::spry::{LocalUpdate, Rules};
use sprig_protocol::settings::{DeviceSettings, SettingsError, Train};
use sprig_transport::messages::Task;

/// What a device spends of its records in a run.
#[derive(Clone, Debug)]
pub(crate) struct Private {
    epsilon: Epsilon,
    visits: Visits,
    /// `None` where what was told before a restart cannot be read: then nobody knows what is left.
    told: Option<Told>,
}

/// What was told; part of the note that is committed with each update.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Told {
    account: Account,
    /// The last update, which goes out again, whatever came of it: a second draw for its round would tell more.
    last: Option<Last>,
}

/// An update with its noise.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Last {
    round: u32,
    number: u32,
    groups: [u16; 3],
    examples: u32,
    scalars: Vec<f32>,
    #[serde(default)]
    sums: Vec<i64>,
}

/// What a device that spends an ε does about a task.
pub(crate) enum Answer {
    /// It trains, with noise.
    Trains(Noise),
    /// It says again what it said.
    Again(LocalUpdate),
    /// It takes no part, for that reason.
    Declines(String),
}

impl Private {
    /// What `train` and the device ask for, with `records` records; `None` where neither does.
    ///
    /// # Errors
    /// The fleet's scalars get no noise, and the device asks for some; or more than can be drawn.
    pub(crate) fn of(
        train: &Train,
        settings: &DeviceSettings,
        records: usize,
    ) -> Result<Option<Self>, SettingsError> {
        let asked = settings.data.dp;
        let Some(set) = &train.noise else {
            let Some(epsilon) = asked else { return Ok(None) };
            let remedy = "this fleet trains in steps, and what devices send of those gets no noise; have its coordinator use \
                          [train.noise] or [train.readout], or leave dp out";
            return Err(SettingsError::value("data", "dp", epsilon, remedy));
        };
        let epsilon = asked.map_or(set.dp, |asked| asked.least(set.dp));
        let visits = set.visits(epsilon, records, &train.rules())?;
        // Who asks for more than the fleet gives adds all of that by itself.
        let visits = if epsilon == set.dp { visits } else { visits.among(1) };
        Ok(Some(Self { epsilon, visits, told: Some(Told::default()) }))
    }

    /// What the run spends of a record, at most.
    pub(crate) fn epsilon(&self) -> Epsilon {
        self.epsilon
    }

    /// Devices that share the noise.
    pub(crate) fn sharers(&self) -> u32 {
        self.visits.among
    }

    /// ε spent so far.
    pub(crate) fn spent(&self) -> f64 {
        self.told.as_ref().map_or(f64::INFINITY, |told| told.account.spent())
    }

    /// Takes up what was told before a restart.
    pub(crate) fn remember(&mut self, memory: &[u8]) {
        self.told = serde_json::from_slice(memory).ok();
    }

    /// What must survive until the next round.
    pub(crate) fn memory(&self) -> Vec<u8> {
        // Plain numbers always have a form in JSON.
        serde_json::to_vec(&self.told).unwrap_or_default()
    }

    /// What to do about `task`.
    pub(crate) fn answer(&self, task: &Task) -> Answer {
        let Some(told) = &self.told else {
            return Answer::Declines(
                "what was told of the data in this run before cannot be read".to_owned(),
            );
        };
        if let Some(last) = told.last.as_ref().filter(|last| last.round == task.round) {
            if (last.number, last.groups) == (task.number, groups(task)) {
                return Answer::Again(last.update());
            }
            return Answer::Declines(
                "this round was answered already, for another share of the adapter".to_owned(),
            );
        }
        match told.account.with(task.round, self.visits) {
            None => Answer::Declines("a later round was answered already".to_owned()),
            Some(account) if !account.is_within(self.epsilon) => Answer::Declines(format!(
                "{:.2} of ε = {} is spent, and this round would spend more; a new run, or more `rounds` under [train.noise] \
                 from its beginning, has noise for more",
                self.spent(),
                self.epsilon
            )),
            Some(_) => Answer::Trains(Noise::new(self.visits.part(), Box::new(System))),
        }
    }

    /// Counts what is about to be told, and leaves out of it what has no noise.
    pub(crate) fn tell(&mut self, task: &Task, update: &mut LocalUpdate) {
        (update.loss, update.bins) = (0.0, None);
        // One that goes out again is counted.
        let Some(told) = &self.told else { return };
        if let Some(account) = told.account.with(task.round, self.visits) {
            let last = Last {
                round: task.round,
                number: task.number,
                groups: groups(task),
                examples: update.examples,
                scalars: update.scalars.clone(),
                sums: update.sums.clone(),
            };
            self.told = Some(Told { account, last: Some(last) });
        }
    }

    /// Heap bytes of the last update, as it is kept and as it is written down.
    pub(crate) fn heap_bytes(rules: &Rules) -> Bytes {
        // Scalars, and the sums that they are of.
        let (kept, written) = (size_of::<f32>() + size_of::<i64>(), 16 + 20);
        Bytes((rules.sent_count(rules.examples()) * (kept + written)) as u64 + 1024)
    }
}

impl Last {
    fn update(&self) -> LocalUpdate {
        LocalUpdate {
            examples: self.examples,
            tokens: 0,
            loss: 0.0,
            scalars: self.scalars.clone(),
            sums: self.sums.clone(),
            bins: None,
            weights: Vec::new(),
        }
    }
}

fn groups(task: &Task) -> [u16; 3] {
    [task.groups.first, task.groups.step, task.groups.count]
}

#[cfg(test)]
#[path = "private_tests.rs"]
mod tests;

//! What must hold whatever happens: an update that was accepted is applied once or not at all for a reason that is told,
//! everybody has the same adapter, and no device takes more memory than is planned.

use sprig_budget::Bytes;
use sprig_coordinator::{Notice, RoundRow};
use sprig_learn::spry::Rules;
use sprig_simulate as simulate;
use sprig_transport::messages::{Body, Contribution, Digest, GroupSet, Record, RunId, Task};
use std::collections::{BTreeMap, BTreeSet};

/// What was seen of a world's course.
#[derive(Debug, Default)]
pub(crate) struct Judge {
    /// Under which number a device last worked on a round.
    numbers: BTreeMap<(RunId, u32, String), u32>,
    /// Devices that hold a receipt of acceptance, by round.
    accepted: BTreeMap<(RunId, u32), BTreeSet<u32>>,
    /// Devices whose updates a round was made of.
    records: BTreeMap<(RunId, u32), BTreeSet<u32>>,
    /// Updates of a round that the coordinator said it had, as far as this world's coordinator got to say so.
    said: BTreeMap<(RunId, u32), u32>,
    /// Rounds from which on an older copy of the ledger took a run's place.
    put_back: BTreeMap<RunId, u32>,
    /// The most that a device's process had at once.
    pub(crate) most: Bytes,
    /// What does not hold.
    pub(crate) wrong: Option<String>,
}

impl Judge {
    /// A device has begun its part of a round.
    pub(crate) fn begun(&mut self, run: RunId, round: u32, device: &str, number: u32) {
        self.numbers.insert((run, round, device.to_owned()), number);
    }

    /// A device has a receipt of acceptance.
    pub(crate) fn accepted(&mut self, run: RunId, round: u32, device: &str) {
        match self.numbers.get(&(run, round, device.to_owned())) {
            Some(number) => drop(self.accepted.entry((run, round)).or_default().insert(*number)),
            None => self.fail(format!("{device} has a receipt for round {round}, which it never began")),
        }
    }

    /// A device's process has ended, and had at most so much at once.
    pub(crate) fn held(&mut self, device: &str, most: Result<Bytes, String>) {
        match most {
            Ok(most) => self.most = self.most.max(most),
            Err(more) => self.fail(format!("{device} did not keep to its plan: {more}")),
        }
    }

    /// A device follows a round.
    pub(crate) fn replayed(&mut self, record: &Record, rules: &Rules) {
        let of: Vec<u32> = record.contributions.iter().map(|c| c.number).collect();
        if of.windows(2).any(|pair| pair[0] >= pair[1]) {
            self.fail(format!("round {} counts a device twice: {of:?}", record.round));
        }
        for part in &record.contributions {
            let sent = sent(record.run, record.round, part.number, part.groups, rules);
            if !is_share(part, &sent) {
                self.fail(format!("round {} has of device {} what it never sent", record.round, part.number));
            }
        }
        let key = (record.run, record.round);
        let of: BTreeSet<u32> = of.into_iter().collect();
        if self.records.get(&key).is_some_and(|before| *before != of) && !self.is_put_back(key) {
            self.fail(format!("round {} was of {:?} and is of {of:?}", record.round, self.records[&key]));
        }
        self.records.insert(key, of);
    }

    /// The coordinator tells.
    pub(crate) fn told(&mut self, run: RunId, notice: &Notice) {
        match notice {
            Notice::Accepted { round, reported, .. } => {
                self.said.insert((run, round.0), *reported);
            }
            Notice::Closed(row) => self.closed(run, row),
            _ => {}
        }
    }

    /// An older copy, of a run in this round, takes the ledger's place. Later epochs never were: where the broker has
    /// forgotten them, the next one has their name, and begins anew.
    pub(crate) fn put_back(&mut self, run: RunId, round: u32) {
        let first = self.put_back.entry(run).or_insert(round);
        *first = round.min(*first);
        let later = |other: RunId| other.is_epoch_of(run) && other.epoch() > run.epoch();
        self.said.retain(|(other, at), _| !later(*other) && (*other != run || *at < round));
        self.records.retain(|(other, _), _| !later(*other));
        self.accepted.retain(|(other, _), _| !later(*other));
    }

    /// Once all is over: every accepted update is in its round's record, if anybody saw that.
    pub(crate) fn conclude(&mut self) {
        for (key, accepted) in std::mem::take(&mut self.accepted) {
            let Some(of) = self.records.get(&key) else { continue };
            if let Some(lost) = accepted.iter().find(|number| !of.contains(number))
                && !self.is_put_back(key)
            {
                let round = key.1;
                self.fail(format!("round {round} is of {of:?}, but device {lost} has a receipt for it"));
            }
        }
    }

    fn closed(&mut self, run: RunId, row: &RoundRow) {
        let (round, said) = (row.round, self.said.get(&(run, row.round.0)).copied().unwrap_or(0));
        if row.reported > row.selected || (row.state == "abandoned") != (row.reported == 0) {
            self.fail(format!("round {round} cannot be: {row:?}"));
        }
        if row.reported != said && row.reported < said {
            self.fail(format!("round {round} had {said} updates and closed with {}", row.reported));
        }
    }

    fn is_put_back(&self, (run, round): (RunId, u32)) -> bool {
        self.put_back.get(&run).is_some_and(|first| round >= *first)
    }

    pub(crate) fn fail(&mut self, what: String) {
        self.wrong.get_or_insert(what);
    }
}

/// What the device of this number answers a task of the round with.
fn sent(run: RunId, round: u32, number: u32, groups: GroupSet, rules: &Rules) -> Vec<f32> {
    let task =
        Task { run, round, attempt: 0, number, groups, base: Digest([0; 32]), seconds: 0, word: Vec::new() };
    match simulate::answer(&task, rules).body {
        Body::Scalars(scalars) => scalars,
        _ => Vec::new(),
    }
}

/// Whether what counted is what was sent, or that cut down as a whole.
fn is_share(part: &Contribution, sent: &[f32]) -> bool {
    if part.scalars == sent {
        return true;
    }
    let largest = |values: &[f32]| values.iter().fold(0.0f32, |most, v| most.max(v.abs()));
    let share = largest(&part.scalars) / largest(sent);
    let near = |(counted, sent): (&f32, &f32)| (counted - share * sent).abs() <= 1e-5;
    share < 1.0 && part.scalars.len() == sent.len() && part.scalars.iter().zip(sent).all(near)
}

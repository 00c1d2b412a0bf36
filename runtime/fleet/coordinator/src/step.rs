//! The step of a round: its updates, one after another from the ledger, put together and counted up.

use crate::aliases::Aliases;
use crate::error::CoordinatorError;
use crate::ids::{DeviceNumber, RoundId};
use crate::ledger::Ledger;
use crate::norms::Bounds;
use sprig_learn::LearnError;
use sprig_learn::calibration::{Bins, FLEET_BINS};
use sprig_learn::estimator::mix;
use sprig_learn::spry::{self, CLIP, Robust, Server, Share, Step, Team};
use sprig_protocol::settings::Downlink;
use sprig_protocol::{dense, share_of};
use sprig_transport::messages::{
    Body, Contribution, GroupSet, MAX_CONTRIBUTIONS, MAX_SCALARS, Record, Update,
};
use std::collections::BTreeMap;

/// The updates of a round.
pub trait Updates {
    /// What reading them may fail with.
    type Error: From<LearnError>;

    /// Calls `each` with the number, norm and update of each device that `which` names, those numbers ascending that the updates
    /// say.
    ///
    /// # Errors
    /// When they cannot be read, or what `each` returns.
    fn each(
        &self,
        which: impl Fn(DeviceNumber) -> bool,
        each: impl FnMut(DeviceNumber, f32, Update) -> Result<(), Self::Error>,
    ) -> Result<(), Self::Error>;

    /// The numbers that came in pieces beside the update of device `number`.
    ///
    /// # Errors
    /// When they cannot be read.
    fn numbers(&self, number: DeviceNumber) -> Result<Vec<f32>, Self::Error>;
}

/// Those of a round in the ledger, and which numbers devices go by.
pub(super) struct Kept<'l>(pub &'l Ledger, pub RoundId, pub &'l Aliases);

/// How contributions are put together.
#[derive(Clone, Copy, Debug)]
pub struct How<'a> {
    /// What is done about those that are far from the others.
    pub robust: Robust,
    /// What the parts of the loss weigh, where they come one by one.
    pub weights: &'a [f64],
    /// Which those are.
    pub bounds: &'a Bounds,
    /// Whether numbers that come in pieces are weights; else they are scalars.
    pub takes_weights: bool,
}

/// A contribution as it counts.
struct Given {
    /// Its scalars are those that count.
    update: Update,
    /// Weights of its share, where it came as such.
    weights: Vec<f32>,
}

/// What is added up over a round.
#[derive(Debug)]
pub struct Sum {
    /// Updates that were applied.
    pub applied: u32,
    /// Devices of other fleets whose numbers were applied with them, where fleets are folded.
    pub others: Option<u32>,
    /// How sure the devices' models were, and whether rightly.
    pub bins: Bins,
    /// Whose they were, of which groups, over how many examples.
    pub covered: Vec<(DeviceNumber, Share, u32)>,
    /// Losses that devices claim, and of how many examples.
    losses: Vec<(f32, u32)>,
    /// Parts of the record, while it may still be worth it.
    pub(super) parts: Option<Vec<Contribution>>,
    bytes: usize,
    limit: usize,
}

/// Has `server` take the step of `round`; a record of it may have `limit` bytes.
///
/// # Errors
/// When the updates cannot be read.
pub fn step<U: Updates>(
    server: &mut Server,
    how: &How<'_>,
    limit: usize,
    updates: &U,
    round: RoundId,
) -> Result<Sum, U::Error> {
    let mut sum = Sum::new(limit);
    let mut step = server.begin(round.0);
    if how.robust.has_teams() {
        for (groups, members) in how.teams(updates)? {
            let mut team = Team::new(how.robust, step.rules(), share_of(groups));
            how.each(
                updates,
                |number| members.binary_search(&number).is_ok(),
                |number, norm, update| {
                    let given = how.given(updates, &step, (number, norm), update)?;
                    let (said, examples) = (given.update.number, given.update.examples);
                    if is_sound(team.take(&mut step, said, examples, given.body()))? {
                        sum.count(number, &given.update);
                    }
                    Ok(())
                },
            )?;
            match team.join(&mut step) {
                Ok(Some((number, examples, scalars))) => {
                    sum.record_part(Contribution { number, groups, examples, scalars });
                }
                Ok(None) => sum.parts = None,
                Err(LearnError::Update { .. }) => {} // what it came to leads nowhere finite
                Err(other) => return Err(other.into()),
            }
        }
    } else {
        how.each(
            updates,
            |_| true,
            |number, norm, update| {
                let given = how.given(updates, &step, (number, norm), update)?;
                let (share, examples) = (share_of(given.update.groups), given.update.examples);
                if is_sound(step.add(given.update.number, share, examples, given.body()))? {
                    sum.take(number, given.update);
                }
                Ok(())
            },
        )?;
    }
    step.finish();
    Ok(sum)
}

impl Updates for Kept<'_> {
    type Error = CoordinatorError;

    fn each(
        &self,
        which: impl Fn(DeviceNumber) -> bool,
        mut each: impl FnMut(DeviceNumber, f32, Update) -> Result<(), CoordinatorError>,
    ) -> Result<(), CoordinatorError> {
        let &Self(ledger, round, aliases) = self;
        let mut take = |number, norm, frame: &[u8]| {
            if which(number) { each(number, norm, decoded(ledger, round, number, frame)?) } else { Ok(()) }
        };
        if !aliases.are_drawn() {
            return ledger.updates(round, take);
        }
        let mut numbers = Vec::new();
        ledger.updates(round, |number, _, _| {
            numbers.push((aliases.of(round, number), number));
            Ok::<_, CoordinatorError>(())
        })?;
        numbers.sort_unstable();
        numbers.into_iter().try_for_each(|(_, number)| ledger.update(round, number, &mut take))
    }

    fn numbers(&self, number: DeviceNumber) -> Result<Vec<f32>, CoordinatorError> {
        let mut numbers = Vec::new();
        self.0.chunks(number, |bytes| {
            numbers.extend(dense::numbers(bytes));
            Ok(())
        })?;
        Ok(numbers)
    }
}

impl How<'_> {
    /// Calls `each` with the updates that count of the devices that `which` names.
    fn each<U: Updates>(
        &self,
        updates: &U,
        which: impl Fn(DeviceNumber) -> bool,
        each: impl FnMut(DeviceNumber, f32, Update) -> Result<(), U::Error>,
    ) -> Result<(), U::Error> {
        let aside = |number| self.bounds.aside.binary_search(&number).is_ok();
        updates.each(|number| which(number) && !aside(number), each)
    }

    /// Who has the same groups, in the order of each team's lowest number.
    fn teams<U: Updates>(&self, updates: &U) -> Result<Vec<(GroupSet, Vec<DeviceNumber>)>, U::Error> {
        let (mut teams, mut places) = (Vec::<(GroupSet, Vec<DeviceNumber>)>::new(), BTreeMap::new());
        self.each(
            updates,
            |_| true,
            |number, _, update| {
                let GroupSet { first, step, count } = update.groups;
                let place = *places.entry((first, step, count)).or_insert(teams.len());
                if place == teams.len() {
                    teams.push((update.groups, Vec::new()));
                }
                teams[place].1.push(number);
                Ok(())
            },
        )?;
        Ok(teams)
    }

    /// An update as it counts: weighed, and cut down where it is too large.
    fn given<U: Updates>(
        &self,
        updates: &U,
        step: &Step<'_>,
        (number, norm): (DeviceNumber, f32),
        mut update: Update,
    ) -> Result<Given, U::Error> {
        let most = self.bounds.most[usize::from(norm.is_sign_negative())];
        let factor = self.robust.factor(norm.abs(), most);
        let mut weights = Vec::new();
        if let Body::Dense { .. } = update.body {
            let numbers = updates.numbers(number)?;
            if self.takes_weights {
                weights = numbers;
            } else {
                update.body = Body::Scalars(numbers);
            }
        }
        match &mut update.body {
            Body::Scalars(scalars) => {
                if !self.weights.is_empty() {
                    *scalars = mix(scalars, self.weights);
                }
                scale(scalars, factor);
            }
            Body::Dense { .. } if factor < 1.0 => {
                let base = step.part(share_of(update.groups));
                weights.iter_mut().zip(base).for_each(|(w, base)| *w = base + factor * (*w - base));
            }
            Body::Dense { .. } | Body::Word(_) => {}
        }
        Ok(Given { update, weights })
    }
}

impl Given {
    fn body(&self) -> spry::Body<'_> {
        match &self.update.body {
            Body::Scalars(scalars) => spry::Body::Scalars(scalars),
            // A word is none of a round of steps, and is not in the ledger as an update.
            Body::Dense { .. } | Body::Word(_) => spry::Body::Dense(&self.weights),
        }
    }
}

impl Sum {
    /// With a record of at most `limit` bytes.
    pub(super) fn new(limit: usize) -> Self {
        Sum {
            applied: 0,
            others: None,
            bins: Bins::new(FLEET_BINS),
            covered: Vec::new(),
            losses: Vec::new(),
            parts: Some(Vec::new()),
            bytes: 0,
            limit,
        }
    }

    fn take(&mut self, number: DeviceNumber, update: Update) {
        self.count(number, &update);
        let Update { number, groups, examples, body, .. } = update;
        match body {
            Body::Scalars(scalars) => {
                self.record_part(Contribution { number, groups, examples, scalars });
            }
            Body::Dense { .. } | Body::Word(_) => self.parts = None,
        }
    }

    pub(super) fn record_part(&mut self, part: Contribution) {
        self.bytes += 4 * part.scalars.len();
        let full = self.parts.as_ref().is_some_and(|parts| parts.len() >= MAX_CONTRIBUTIONS);
        if full || self.bytes > self.limit || part.scalars.len() > MAX_SCALARS {
            self.parts = None;
        }
        if let Some(parts) = &mut self.parts {
            parts.push(part);
        }
    }

    pub(super) fn count(&mut self, number: DeviceNumber, update: &Update) {
        self.covered.push((number, share_of(update.groups), update.examples));
        self.applied += 1;
        self.losses.push((update.loss, update.examples));
        if let Some(own) = Bins::of_rows(&update.bins) {
            self.bins.merge(&own);
        }
    }

    /// Mean loss over all examples, of claims up to [`CLIP`] times their median, unless they are taken as they are; NaN without
    /// any. Of one or two nobody knows which is too large.
    pub fn loss(&self, robust: Robust) -> f64 {
        let mut claims: Vec<f32> = self.losses.iter().map(|(loss, _)| *loss).collect();
        claims.sort_unstable_by(f32::total_cmp);
        let most = match claims.get(claims.len() / 2) {
            Some(&median) if claims.len() > 2 && median > 0.0 && robust != Robust::None => CLIP * median,
            _ => f32::INFINITY,
        };
        let examples: f64 = self.losses.iter().map(|(_, n)| f64::from(*n)).sum();
        self.losses.iter().map(|&(loss, n)| f64::from(loss.min(most)) * f64::from(n)).sum::<f64>() / examples
    }

    /// The record's frame, unless it is larger than the limit. A round that changed nothing always has one.
    pub fn record(&mut self, record: Record) -> Option<Vec<u8>> {
        let contributions = self.parts.take()?;
        let frame = Record { contributions, ..record }.encode();
        (frame.len() <= self.limit.min(Record::MAX) || self.applied == 0).then_some(frame)
    }
}

/// Bytes of a record past which the adapter itself is sent instead.
pub fn record_limit(sync: Downlink, server: &Server) -> usize {
    match sync {
        Downlink::Weights => 0,
        Downlink::Scalars => Record::MAX,
        Downlink::Auto => 4 * (server.values().len() + server.moments().len()),
    }
}

/// Whether an update is applied: one that is sound by itself may still lead nowhere finite, and the round goes on without it.
fn is_sound(added: Result<(), LearnError>) -> Result<bool, LearnError> {
    match added {
        Ok(()) => Ok(true),
        Err(LearnError::Update { .. }) => Ok(false),
        Err(other) => Err(other),
    }
}

/// Multiplies `numbers` by `factor`; one leaves them as they are, bit for bit.
fn scale(numbers: &mut [f32], factor: f32) {
    if factor < 1.0 {
        numbers.iter_mut().for_each(|n| *n *= factor);
    }
}

pub(super) fn decoded(
    ledger: &Ledger,
    round: RoundId,
    number: DeviceNumber,
    frame: &[u8],
) -> Result<Update, CoordinatorError> {
    let damaged = |e| ledger.damaged(format!("update of device {number} in round {round}: {e}"));
    Ok(Update::decode(frame).map_err(damaged)?)
}

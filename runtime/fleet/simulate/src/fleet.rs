//! A fleet whose devices share one model in one process: who takes part, what each of them trains, what comes of it.

use super::attack::Liars;
use super::personal::{AccG, AccP, together};
use super::wire::{Brought, Sent, Wire};
use sprig_budget::{Bytes, alloc};
use sprig_coordinator::in_sum::{InSum, step_by_sum};
use sprig_coordinator::norms::Norms;
use sprig_coordinator::select::{self, Deal};
use sprig_coordinator::step::{How, Updates, step};
use sprig_coordinator::total::veiled_bytes;
use sprig_coordinator::{DeviceNumber, RoundId, record_limit};
use sprig_engine::adapter::Adapter;
use sprig_ground::random::mix;
use sprig_learn::LearnError;
use sprig_learn::calibration::{Bins, FLEET_BINS};
use sprig_learn::data::{DataSet, Examples};
use sprig_learn::estimator::{Cut, Estimator};
use sprig_learn::evaluate::{Evaluation, evaluate_from_prefix};
use sprig_learn::guard::Guard;
use sprig_learn::objective::{Objective, Preference, prefer};
use sprig_learn::prefix::PrefixCache;
use sprig_learn::privacy::{Noise, Visits};
use sprig_learn::session::Session;
use sprig_learn::spry::{Assignment, LocalRound, LocalUpdate, Robust, Server, Share, integers};
use sprig_protocol::settings::Upload;
use sprig_protocol::{FleetError, dense, share_of};
use sprig_transport::messages::{BlobKind, Body, Digest, GroupSet, Record, Update};
use std::sync::Arc;

/// Memory of a guard's window, on the heap.
const GUARD: usize = 1024;

/// The fleet, between two rounds.
pub(crate) struct Fleet<'m> {
    pub(super) session: Session<'m>,
    pub(super) adapter: Adapter,
    pub(super) server: Server,
    pub(super) cut: Cut,
    /// Numbers count from 1 in this order, as a coordinator's do in the order of joining.
    pub(super) devices: Vec<Device<'m>>,
    pub(super) held_out: &'m DataSet,
    /// What is learnt of pairs, until it is known what it is measured against.
    pub(super) preference: Option<Preference>,
    /// What evaluations go by.
    pub(super) judged: Arc<dyn Objective>,
    /// Activations of the held-out data, while the session has those of the training data.
    pub(super) held_out_prefix: Option<PrefixCache>,
    /// Norms of the last rounds' updates.
    pub(super) norms: Norms,
    /// Devices that lie, if some do.
    pub(super) liars: Option<Liars>,
    pub(super) choice: Choice,
    pub(super) weights: Weights,
    pub(super) wire: Wire,
}

/// How a coordinator chooses devices and deals groups.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Choice {
    /// Devices of a round.
    pub per_round: usize,
    /// How groups are dealt; its seed is that of the choice too.
    pub deal: Deal,
    /// What is done about updates that are far from the others.
    pub robust: Robust,
    /// What devices send.
    pub up: Upload,
    /// Whether nobody sees it but in sum.
    pub secure: bool,
}

/// What the parts of a loss weigh, where they are weighed as a round is closed; nothing elsewhere.
pub(crate) type Weights = Vec<f64>;

/// One device: what it learns from, and the memory it keeps from round to round.
pub(crate) struct Device<'m> {
    examples: Examples<'m>,
    /// What it never learns from.
    pub(super) test: Option<Examples<'m>>,
    guard: Guard,
    /// How it visits its examples where its scalars get noise, and the noise.
    visits: Option<Visits>,
    /// Examples behind its applied updates of each group.
    pub(super) behind: Vec<u64>,
}

/// What a round came to.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Turn {
    /// Devices that took part.
    pub chosen: Vec<u32>,
    /// Devices whose updates were applied.
    pub applied: u32,
    /// Plain forward passes of a batch that a device's work was worth, on average.
    pub passes: f64,
    /// Mean loss over the examples visited, each before the step it led to; nats.
    pub loss: f64,
    /// How sure the model was of its answers to those examples, and whether rightly, of all applied updates together.
    pub bins: Bins,
    /// How the devices' own models did, where that was asked for.
    pub acc_p: Option<AccP>,
}

impl<'m> Device<'m> {
    /// A device that has not trained yet.
    pub(crate) fn new(examples: impl Into<Examples<'m>>, guard: Guard) -> Self {
        Self { examples: examples.into(), test: None, guard, visits: None, behind: Vec::new() }
    }

    /// The same with examples that it is only tested on.
    pub(crate) fn tested(self, test: Option<Examples<'m>>) -> Self {
        Self { test, ..self }
    }

    /// The same with noise for its scalars.
    pub(crate) fn noised(self, visits: Option<Visits>) -> Self {
        Self { visits, ..self }
    }

    /// What `devices` devices with `examples` examples in all take beside the data themselves, in a fleet of `groups`
    /// groups: what they are behind of them twice, for it is told in the end.
    pub(crate) fn heap_bytes(devices: usize, examples: usize, groups: usize) -> Bytes {
        let each = size_of::<Self>() + GUARD + size_of::<Vec<usize>>() + 2 * groups * size_of::<u64>();
        // Lists grow by doubling.
        Bytes((devices * each + 2 * examples * size_of::<usize>()) as u64)
    }
}

/// What was sent in a round.
struct Round<'s>(&'s [Sent]);

impl Updates for Round<'_> {
    type Error = LearnError;

    fn each(
        &self,
        which: impl Fn(DeviceNumber) -> bool,
        mut each: impl FnMut(DeviceNumber, f32, Update) -> Result<(), LearnError>,
    ) -> Result<(), LearnError> {
        let named = self.0.iter().filter(|sent| which(DeviceNumber(sent.update.number)));
        named.into_iter().try_for_each(|Sent { update, norm, .. }| {
            each(DeviceNumber(update.number), *norm, update.clone())
        })
    }

    fn numbers(&self, number: DeviceNumber) -> Result<Vec<f32>, LearnError> {
        let sent = self.0.iter().find(|sent| sent.update.number == number.0);
        Ok(sent.map_or_else(Vec::new, |sent| dense::numbers(&sent.dense).collect()))
    }
}

impl Fleet<'_> {
    /// Measures what a preference is measured against: what the untouched model, which the adapter is before the first round,
    /// gives both answers of each example. `progress` gets the number of examples done, and of all; false when it says stop.
    pub(crate) fn refer(
        &mut self,
        progress: &mut dyn FnMut(usize, usize) -> bool,
    ) -> Result<bool, FleetError> {
        let data = self.devices.first().map(|device| device.examples.set());
        let Some((preference, data)) = self.preference.take().zip(data) else { return Ok(true) };
        let Self { session, adapter, cut, .. } = self;
        let done = |done| progress(done, data.len());
        Ok(prefer(session, adapter, (data, cut.examples), preference, done)?)
    }

    /// One round; with `test`, each device's own model is evaluated. `None` when `stop` says so in the middle of it: the
    /// server's state is then that before the round.
    pub(crate) fn round(
        &mut self,
        round: u32,
        test: bool,
        stop: &dyn Fn() -> bool,
    ) -> Result<Option<Turn>, FleetError> {
        let Choice { per_round, deal, robust, .. } = self.choice;
        let numbers = (0..self.devices.len()).map(DeviceNumber::at).collect();
        let chosen = select::choose(numbers, per_round, deal.seed, RoundId(round), 0);
        // All devices are this machine.
        let members = select::deal(deal, &chosen, |_| 1.0, RoundId(round));
        let chosen = chosen.into_iter().map(|number| number.0).collect();
        let base = Digest(self.server.digest());
        let mut turn =
            Turn { chosen, applied: 0, passes: 0.0, loss: 0.0, bins: Bins::new(FLEET_BINS), acc_p: None };
        let mut own = Vec::new();
        let (mut sent, limits) = (Vec::with_capacity(members.len()), self.norms.limits());
        let mut total = Vec::new();
        for member in &members {
            let share = share_of(member.groups);
            let Some(mut update) = self.train(round, member.number.0, share, stop)? else { return Ok(None) };
            if test {
                own.extend(self.test(member.number.0)?);
            }
            turn.passes += self.passes(share, update.examples) / members.len() as f64;
            if let Some(liars) = &mut self.liars {
                liars.tamper(member.number.0, &mut update, &self.server.part(share));
            }
            if self.choice.secure {
                self.hide(share, &mut update, &mut total)?;
            }
            let sent_now = self.message(round, base, member.number.0, member.groups, update);
            // What a coordinator refuses costs the way there.
            if !Norms::beyond(sent_now.norm, limits) {
                sent.push(sent_now);
            }
        }
        let norms: Vec<_> = sent.iter().map(|s| (DeviceNumber(s.update.number), s.norm)).collect();
        let bounds = self.norms.bounds(&norms);
        self.norms.add(&norms, &bounds.aside);
        let takes_weights = self.choice.up.takes_weights(self.server.rules());
        let how = How { robust, weights: &self.weights, bounds: &bounds, takes_weights };
        let limit = record_limit(self.wire.sync(), &self.server);
        let (server, updates, id) = (&mut self.server, Round(&sent), RoundId(round));
        let mut sum = match self.choice.secure {
            true => step_by_sum(server, limit, &updates, &InSum { numbers: total, others: None }, id)?,
            false => step(server, &how, limit, &updates, id)?,
        };
        (turn.applied, turn.loss) = (sum.applied, sum.loss(robust));
        turn.bins = sum.bins.clone();
        let groups = self.server.layout().groups().len();
        for &(number, share, examples) in &sum.covered {
            let behind = &mut self.devices[number.0 as usize - 1].behind;
            behind.resize(groups, 0);
            share.iter().for_each(|group| behind[group] += u64::from(examples));
        }
        turn.acc_p = together(&own).map(AccP);
        let after = Digest(self.server.digest());
        let run = self.wire.run();
        let record = sum.record(Record { run, round, base, after, contributions: Vec::new() });
        let brought = record.map(|frame| Brought { after, kind: BlobKind::Record, frame });
        let brought = brought.unwrap_or_else(|| {
            let (values, moments) = (self.server.values().to_vec(), self.server.moments().to_vec());
            self.wire.snapshot(round, after, values, moments)
        });
        self.wire.count((round, base), &sent, &brought);
        Ok(Some(turn))
    }

    /// Adds an update to the `total` of its round; what is left of it tells no number.
    fn hide(&self, share: Share, update: &mut LocalUpdate, total: &mut Vec<i64>) -> Result<(), FleetError> {
        let numbers = update.integers(self.server.rules(), &self.server.part(share))?;
        total.resize(numbers.len(), 0);
        total.iter_mut().zip(&numbers).for_each(|(sum, number)| *sum += number);
        (update.scalars, update.weights) = (Vec::new(), Vec::new());
        Ok(())
    }

    /// Plain forward passes of a batch that an update of `share` over `examples` examples is worth: tangents start at the
    /// lowest block that the share has.
    fn passes(&self, share: Share, examples: u32) -> f64 {
        let (rules, groups) = (self.server.rules(), self.server.layout().groups());
        let lowest = groups[usize::from(share.first)].layer.map_or(0, |(block, _)| block);
        let blocks = self.session.model().geometry().blocks;
        let upper = (blocks - lowest) as f64 / blocks as f64;
        f64::from(rules.iterations(examples)) * rules.estimator.needs().passes(self.cut.tangents, upper)
    }

    /// What device `number` trains in `round`; its own model is then in the adapter. `None` when `stop` says so.
    pub(crate) fn train(
        &mut self,
        round: u32,
        number: u32,
        share: Share,
        stop: &dyn Fn() -> bool,
    ) -> Result<Option<LocalUpdate>, FleetError> {
        if self.preference.is_some() {
            return Err(FleetError::Bug("a preference that is measured against nothing".to_owned()));
        }
        let Self { session, adapter, server, cut, devices, choice, .. } = self;
        let Some(device) = devices.get_mut(number as usize - 1) else {
            return Err(FleetError::Bug(format!("device {number} was chosen and is not there")));
        };
        let assignment = Assignment { round, number, share };
        let mut local = LocalRound::new(server, adapter, device.examples, assignment)?;
        if let Some(visits) = device.visits {
            let seed = choice.deal.seed ^ mix(u64::from(round) << 32 | u64::from(number));
            local = local.noised(Noise::foreseeable(visits.part(), seed));
        }
        while local.step(session, adapter, *cut, &mut device.guard)? {
            alloc::check()?;
            if stop() {
                return Ok(None);
            }
        }
        Ok(Some(local.finish()))
    }

    /// Evaluates the server's model on the held-out data. `progress` gets the number of examples done; `None` when it
    /// says stop.
    pub(crate) fn evaluate(
        &mut self,
        progress: &mut dyn FnMut(usize) -> bool,
    ) -> Result<Option<Evaluation>, FleetError> {
        let Self { session, adapter, server, cut, held_out, held_out_prefix, judged, .. } = self;
        adapter.values_mut().copy_from_slice(server.values());
        let mut swap = |session: &mut Session<'_>| {
            if let (Some(ours), Some(theirs)) = (held_out_prefix.as_mut(), session.prefix_mut()) {
                std::mem::swap(ours, theirs);
            }
        };
        swap(session);
        let learnt = session.learn_by(judged.clone());
        let found = evaluate_from_prefix(session, adapter, (*held_out).into(), cut.examples, progress);
        session.learn_by(learnt);
        swap(session);
        Ok(found?)
    }

    /// Evaluates what is in the adapter on the test part of device `number`; nothing where it has none.
    pub(super) fn test(&mut self, number: u32) -> Result<Option<Evaluation>, FleetError> {
        let Self { session, adapter, cut, devices, judged, .. } = self;
        let Some(test) = devices.get(number as usize - 1).and_then(|d| d.test).filter(|t| !t.is_empty())
        else {
            return Ok(None);
        };
        let learnt = session.learn_by(judged.clone());
        let found = evaluate_from_prefix(session, adapter, test, cut.examples, |_| true);
        session.learn_by(learnt);
        Ok(found?)
    }

    /// Evaluates the server's model on the test parts of devices `numbers`.
    pub(super) fn acc_g(&mut self, numbers: &[u32]) -> Result<Option<AccG>, FleetError> {
        self.adapter.values_mut().copy_from_slice(self.server.values());
        let found: Result<Vec<_>, _> = numbers.iter().map(|&number| self.test(number)).collect();
        let found: Vec<Evaluation> = found?.into_iter().flatten().collect();
        Ok(together(&found).map(AccG))
    }

    fn message(
        &self,
        round: u32,
        base: Digest,
        number: u32,
        groups: GroupSet,
        mut update: LocalUpdate,
    ) -> Sent {
        let squares = |numbers: &mut dyn Iterator<Item = f32>| {
            let (sum, n) =
                numbers.fold((0.0f64, 0u64), |(sum, n), x| (sum + f64::from(x) * f64::from(x), n + 1));
            (sum / n.max(1) as f64).sqrt() as f32
        };
        let (body, dense) = if self.choice.secure {
            let numbers = integers(self.server.rules(), self.server.part(share_of(groups)).len());
            let dense = vec![0; veiled_bytes(numbers)];
            (Body::Dense { digest: Digest::of(&dense), bytes: dense.len() as u32 }, dense)
        } else {
            dense::body(&mut update, self.choice.up)
        };
        let norm = match &body {
            Body::Scalars(scalars) => squares(&mut scalars.iter().copied()),
            Body::Dense { .. } if self.choice.secure => 0.0,
            Body::Dense { .. } if self.choice.up.takes_weights(self.server.rules()) => {
                let part = self.server.part(share_of(groups));
                Norms::of_weights(squares(&mut dense::numbers(&dense).zip(part).map(|(w, base)| w - base)))
            }
            Body::Dense { .. } | Body::Word(_) => squares(&mut dense::numbers(&dense)),
        };
        let (examples, loss) = (update.examples, update.loss as f32);
        let (run, bins) = (self.wire.run(), update.bins.as_ref().map(Bins::rows).unwrap_or_default());
        let update = Update { run, round, number, groups, base, examples, loss, bins, body };
        Sent { update, dense, norm }
    }
}

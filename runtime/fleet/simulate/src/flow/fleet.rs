//! A fleet under one of the controls: rounds, and how its devices are served in the end.

use super::control::Control;
use super::device::Device;
use super::finding::{Finding, Served};
use sprig_budget::alloc;
use sprig_coordinator::{DeviceNumber, RoundId, select};
use sprig_engine::adapter::{Adapter, Group, Policy};
use sprig_learn::LearnError;
use sprig_learn::data::DataSet;
use sprig_learn::estimator::Cut;
use sprig_learn::flow::FlowRules;
use sprig_learn::minibatch::Minibatch;
use sprig_learn::outcome::Outcome;
use sprig_learn::session::Session;
use sprig_protocol::FleetError;
use std::ops::Range;
use std::time::Instant;

/// Rounds that no fleet has: those of whoever is served in the end.
const SERVING: u32 = 1 << 24;

/// One device.
pub(super) struct Member {
    pub train: Vec<usize>,
    pub test: Vec<usize>,
    /// Whether it takes part in rounds.
    pub seen: bool,
}

/// Devices that share one model in this process.
pub(super) struct FlowFleet<'m> {
    pub session: Session<'m>,
    pub data: &'m DataSet,
    pub cut: Cut,
    pub members: Vec<Member>,
    pub rules: FlowRules,
    pub rounds: u32,
    pub per_round: usize,
    pub seed: u64,
}

/// A control under way.
struct Course {
    control: Control,
    adapter: Adapter,
    /// Numbers of the server's adapter, routers and, of two global paths, second adapter.
    server: Vec<f32>,
    /// What devices keep.
    kept: Vec<Option<Vec<f32>>>,
}

impl FlowFleet<'_> {
    /// Trains and serves under `control`, beginning with `adapter`; `progress` is told how many rounds and
    /// services of how many are done; `None` when it says stop.
    pub(super) fn run(
        &mut self,
        control: Control,
        adapter: Adapter,
        progress: &mut dyn FnMut(u32, u32) -> bool,
    ) -> Result<Option<Finding>, FleetError> {
        let began = Instant::now();
        let server = adapter.values().to_vec();
        let mut course = Course { control, adapter, server, kept: vec![None; self.members.len()] };
        let rounds = if control == Control::Local { 0 } else { self.rounds };
        let of = rounds + self.members.len() as u32;
        for round in 0..rounds {
            if !progress(round, of) {
                return Ok(None);
            }
            self.round(&mut course, round)?;
            alloc::check()?;
        }
        let mut served = Vec::with_capacity(self.members.len());
        for number in 0..self.members.len() {
            if !progress(rounds + number as u32, of) {
                return Ok(None);
            }
            served.push(self.serve(&mut course, number)?);
        }
        Ok(Some(Finding::new(control.name(), &served, began.elapsed().as_secs_f64())))
    }

    /// Devices learn, and the server takes the mean of what they shared, by the examples behind it.
    fn round(&mut self, course: &mut Course, round: u32) -> Result<(), FleetError> {
        let seen = self.members.iter().enumerate().filter(|(_, m)| m.seen).map(|(i, _)| i);
        let numbers = seen.map(DeviceNumber::at).collect();
        let chosen = select::choose(numbers, self.per_round, self.seed, RoundId(round), 0);
        let (mut sums, mut weight) = (vec![0.0f64; course.server.len()], 0.0);
        for number in chosen {
            let number = number.0 as usize - 1;
            course.adapter.values_mut().copy_from_slice(&course.server);
            let n = self.learn(course, number, round, true)? as f64;
            sums.iter_mut().zip(course.adapter.values()).for_each(|(sum, v)| *sum += n * f64::from(*v));
            weight += n;
        }
        for range in course.shared() {
            let means = course.server[range.clone()].iter_mut().zip(&sums[range]);
            means.for_each(|(own, sum)| *own = (sum / weight) as f32);
        }
        Ok(())
    }

    /// A device's part from the server's numbers, which are in the adapter; returns the examples that what is shared has behind
    /// it. Without a `global` part the device is served.
    fn learn(
        &mut self,
        course: &mut Course,
        number: usize,
        round: u32,
        global: bool,
    ) -> Result<usize, LearnError> {
        let seen = self.members.iter().filter(|m| m.seen).count();
        // By itself a device has all rounds that it would be chosen for.
        let alone = match course.control {
            Control::Local => (self.rounds as usize * self.per_round).div_ceil(seen.max(1)) as u64,
            _ => 1,
        };
        let device = Device {
            session: &mut self.session,
            adapter: &mut course.adapter,
            data: self.data,
            rules: &self.rules,
            cut: self.cut,
            examples: &self.members[number].train,
            seed: self.seed ^ (number as u64 + 1) << 20,
            round,
            number: number as u32 + 1,
            global,
        };
        device.learn(course.control, alone, &mut course.kept[number])
    }

    /// Serves a device, and judges that on its test part.
    fn serve(&mut self, course: &mut Course, number: usize) -> Result<Served, FleetError> {
        course.adapter.values_mut().copy_from_slice(&course.server);
        let mut served = Served { seen: self.members[number].seen, ..Served::default() };
        course.adapter.follow(Policy::Global);
        served.global = self.judge(&course.adapter, number, &mut Vec::new())?;
        self.learn(course, number, SERVING, false)?;
        let personal = course.control.serves();
        course.adapter.follow(personal);
        served.personal = self.judge(&course.adapter, number, &mut served.shares)?;
        course.adapter.follow(if course.control.routes() { Policy::Hard } else { personal });
        served.hard = self.judge(&course.adapter, number, &mut Vec::new())?;
        course.adapter.follow(if personal == Policy::Global { personal } else { Policy::Local });
        served.local = self.judge(&course.adapter, number, &mut Vec::new())?;
        Ok(served)
    }

    /// One outcome an example of a device's test part, and the shares of its routed blocks.
    fn judge(
        &mut self,
        adapter: &Adapter,
        number: usize,
        shares: &mut Vec<Vec<f32>>,
    ) -> Result<Vec<Outcome>, LearnError> {
        let test = &self.members[number].test;
        let mut outcomes = vec![Outcome::default(); test.len()];
        for (ids, outcomes) in test.chunks(self.cut.examples).zip(outcomes.chunks_mut(self.cut.examples)) {
            self.session.judge(adapter, Minibatch::new(self.data, ids), outcomes)?;
            let found = self.session.shares();
            let n = ids.len();
            shares.extend((0..n).map(|e| found.iter().skip(e).step_by(n).copied().collect::<Vec<_>>()));
        }
        Ok(outcomes)
    }
}

impl Course {
    /// What the server has from its devices.
    fn shared(&self) -> Vec<Range<usize>> {
        let mut groups = vec![Group::Global];
        if self.control.routes() {
            groups.push(Group::Router);
        }
        if self.control == Control::TwoGlobal {
            groups.push(Group::Local);
        }
        groups.into_iter().map(|group| self.adapter.range(group)).collect()
    }
}

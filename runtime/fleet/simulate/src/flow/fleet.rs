//! A fleet under one of the controls: rounds, and how its devices are served in the end.

use super::control::Control;
use super::device::Device;
use super::finding::{Finding, JOINED, Served};
use super::member::{Judge, Member};
use sprig_budget::alloc;
use sprig_coordinator::{DeviceNumber, RoundId, select};
use sprig_engine::adapter::{Adapter, Group, Policy};
use sprig_learn::LearnError;
use sprig_learn::data::DataSet;
use sprig_learn::estimator::Cut;
use sprig_learn::flow::FlowRules;
use sprig_learn::flow::fleet::taken;
use sprig_learn::session::Session;
use sprig_learn::spry::Rules;
use sprig_protocol::FleetError;
use std::ops::Range;
use std::time::Instant;

/// Rounds that no fleet has: those of whoever is served in the end.
const SERVING: u32 = 1 << 24;

/// Devices that share one model in this process.
pub(super) struct FlowFleet<'m> {
    pub session: Session<'m>,
    pub data: &'m DataSet,
    pub cut: Cut,
    pub members: &'m [Member],
    pub rules: FlowRules,
    /// Those of the fleet, which say how many examples a round has.
    pub fleet: Rules,
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

/// What a device is asked to do.
#[derive(Clone, Copy)]
struct Part {
    round: u32,
    /// Whether what is shared learns; else the device is served.
    global: bool,
    /// Most of its examples.
    examples: Option<usize>,
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
        let (mut served, mut joined) = (Vec::with_capacity(self.members.len()), JOINED.map(|_| Vec::new()));
        for (number, member) in self.members.iter().enumerate() {
            if !progress(rounds + number as u32, of) {
                return Ok(None);
            }
            served.push(self.serve(&mut course, number, None)?);
            let new = !member.seen && control.serves() != Policy::Global;
            for (n, joined) in JOINED.into_iter().zip(&mut joined) {
                if new && n <= member.train.len() {
                    joined.push(self.serve(&mut course, number, Some(n))?);
                }
            }
        }
        Ok(Some(Finding::new(control, &served, began.elapsed().as_secs_f64()).with_joined(&joined)))
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
            let n = self.learn(course, number, Part { round, global: true, examples: None })? as f64;
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
    /// it.
    fn learn(&mut self, course: &mut Course, number: usize, part: Part) -> Result<usize, LearnError> {
        let seen = self.members.iter().filter(|m| m.seen).count();
        // By itself a device has all rounds that it would be chosen for.
        let alone = match course.control {
            Control::Local => (self.rounds as usize * self.per_round).div_ceil(seen.max(1)) as u64,
            _ => 1,
        };
        let mut examples = self.members[number].some(part.examples, self.seed);
        if part.global {
            examples = taken(&examples, &self.fleet, self.seed, part.round);
        }
        if examples.is_empty() {
            course.adapter.begin_local();
            return Ok(0);
        }
        let device = Device {
            session: &mut self.session,
            adapter: &mut course.adapter,
            data: self.data,
            rules: &self.rules,
            cut: self.cut,
            examples: &examples,
            seed: self.seed ^ (number as u64 + 1) << 20,
            round: part.round,
            number: number as u32 + 1,
            global: part.global,
        };
        device.learn(course.control, alone, &mut course.kept[number])
    }

    /// Serves a device with so many examples of its own, or all, and judges that on its test part.
    fn serve(
        &mut self,
        course: &mut Course,
        number: usize,
        examples: Option<usize>,
    ) -> Result<Served, FleetError> {
        let member = &self.members[number];
        course.adapter.values_mut().copy_from_slice(&course.server);
        let mut served = Served { seen: member.seen, ..Served::default() };
        served.global =
            self.judge().judge(&mut course.adapter, Policy::Global, &member.test, &mut Vec::new())?;
        self.learn(course, number, Part { round: SERVING, global: false, examples })?;
        let how = (course.control.serves(), course.control.routes());
        self.judge().serve(&mut course.adapter, how, member, &mut served)?;
        Ok(served)
    }
}

impl<'m> FlowFleet<'m> {
    fn judge(&mut self) -> Judge<'_, 'm> {
        Judge { session: &mut self.session, data: self.data, examples: self.cut.examples }
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

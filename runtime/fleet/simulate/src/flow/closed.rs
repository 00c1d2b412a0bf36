//! Flow in closed form: the read-out of all devices' sums, and each device's own beside it.

use super::control::Control;
use super::finding::{Finding, JOINED, Served};
use super::member::{Judge, Member};
use sprig_budget::{Bytes, Plan, alloc};
use sprig_engine::adapter::{Adapter, AdapterSpec, Group, Policy, Routing, Sees};
use sprig_learn::LearnError;
use sprig_learn::data::{DataSet, Task};
use sprig_learn::directions::run_key;
use sprig_learn::estimator::Needs;
use sprig_learn::flow::closed::Halves;
use sprig_learn::minibatch::Minibatch;
use sprig_learn::objective::{LabelLoss, to_judge};
use sprig_learn::readout::fleet::{Gatherer, Shape, adapt, gathering_needs, solving_needs};
use sprig_learn::readout::spec;
use sprig_learn::session::Session;
use sprig_learn::workload::{Adapted, Means, Workload};
use sprig_protocol::FleetError;
use sprig_protocol::settings::ReadOut;
use sprig_run::{Base, Data, Engine, Planned};
use std::time::Instant;

/// A fleet of read-outs, planned.
pub(super) struct ClosedFleet {
    spec: AdapterSpec,
    shape: Shape,
    planned: Planned,
}

impl ClosedFleet {
    /// Plans it for `members` in passes of `batch` examples.
    pub(super) fn plan(
        base: &Base<'_>,
        data: &Data,
        members: &[Member],
        (batch, means, budget): (usize, Means, Bytes),
        routing: Routing,
    ) -> Result<Self, FleetError> {
        let g = &base.geometry;
        let Some(classes) = data.train.labels().map(|labels| labels.names().len()) else {
            let problem = format!(
                "a read-out answers with labels, and the task has none; leave the control {} out",
                Control::ReadOut
            );
            return Err(LearnError::Settings(problem).into());
        };
        let routing = Some(Routing { sees: Sees::Block, ..routing });
        let spec = AdapterSpec { routing, ..spec(g, classes) };
        let shape = ReadOut::default().shape(g, classes);
        let objective = to_judge(Task::Label, LabelLoss::Labels);
        let work = Workload::evaluation(objective, Adapted::Made(spec.clone()), batch, means);
        let most = members.iter().map(|m| m.train.len()).max().unwrap_or(0);
        let mut held_elsewhere = gathering_needs(g, shape, batch, false);
        held_elsewhere.extend(solving_needs(g, shape, means.threads));
        held_elsewhere.extend(Halves::needs(g, most, batch, classes));
        let work = Workload { needs: Needs { features: true, ..work.needs }, held_elsewhere, ..work };
        let planned = base.plan(data.measure(work), budget, None)?;
        Ok(Self { spec, shape, planned })
    }

    /// What it takes.
    pub(super) fn planned(&self) -> &Plan {
        &self.planned.plan
    }

    /// Sums up what the devices that take part have, and serves all; `progress` is told how many devices of how many are
    /// done, each being read and served; `None` when it says stop.
    pub(super) fn run(
        &self,
        base: &Base<'_>,
        data: &DataSet,
        members: &[Member],
        seed: u64,
        progress: &mut dyn FnMut(u32, u32) -> bool,
    ) -> Result<Option<Finding>, FleetError> {
        let began = Instant::now();
        let engine = base.engine(&self.planned)?;
        let mut course = Course {
            session: engine.session(&self.planned, None)?,
            blank: engine.adapter(&self.spec, run_key(seed))?,
            adapter: engine.adapter(&self.spec, run_key(seed))?,
            labels: data.labels().map(|labels| labels.tokens().to_vec()).unwrap_or_default(),
            examples: self.planned.tuning.cut.examples,
            engine: &engine,
            data,
            seed,
        };
        let of = 2 * members.len() as u32;
        let mut gatherer = Gatherer::new(&base.geometry, self.shape, course.examples);
        for (at, member) in members.iter().enumerate() {
            if !progress(at as u32, of) {
                return Ok(None);
            }
            for ids in member.train.chunks(course.examples).filter(|_| member.seen) {
                gatherer.take(&mut course.session, Minibatch::new(data, ids))?;
            }
            alloc::check()?;
        }
        let total = gatherer.finish(&mut std::io::empty()).map_err(|e| FleetError::Bug(e.to_string()))?;
        course.share(self, &total.values())?;
        let (mut served, mut joined) = (Vec::with_capacity(members.len()), JOINED.map(|_| Vec::new()));
        for (at, member) in members.iter().enumerate() {
            if !progress((members.len() + at) as u32, of) {
                return Ok(None);
            }
            served.push(course.serve(member, None)?);
            for (n, joined) in JOINED.into_iter().zip(&mut joined) {
                if !member.seen && n <= member.train.len() {
                    joined.push(course.serve(member, Some(n))?);
                }
            }
            alloc::check()?;
        }
        let seconds = began.elapsed().as_secs_f64();
        Ok(Some(Finding::new(Control::ReadOut, &served, seconds).with_joined(&joined)))
    }
}

/// Read-outs under way.
struct Course<'m> {
    session: Session<'m>,
    /// What examples are read with: nothing is added to the model.
    blank: Adapter,
    adapter: Adapter,
    labels: Vec<u32>,
    examples: usize,
    engine: &'m Engine<'m>,
    data: &'m DataSet,
    seed: u64,
}

impl Course<'_> {
    /// Makes the fleet's `total` what all devices share.
    fn share(&mut self, of: &ClosedFleet, total: &[f32]) -> Result<(), FleetError> {
        let lone = AdapterSpec { routing: None, ..of.spec.clone() };
        let mut shared = self.engine.adapter(&lone, [0; 2])?;
        adapt(&mut shared, (total, of.shape), &self.labels, &self.engine.model, &self.engine.ctx)?;
        let global = self.adapter.range(Group::Global);
        self.adapter.values_mut()[global].copy_from_slice(shared.values());
        Ok(())
    }

    /// Serves a device with so many examples of its own, or all.
    fn serve(&mut self, member: &Member, examples: Option<usize>) -> Result<Served, FleetError> {
        let ids = member.some(examples, self.seed);
        let place = (&mut self.session, &self.blank);
        let halves = Halves::read(place, self.data, &ids, (self.seed, self.examples), &mut |_| true)?;
        let derived = halves.and_then(|halves| {
            halves.fit(&mut self.adapter, &self.labels, &self.engine.model, &self.engine.ctx)
        });
        if derived.is_none() {
            return Err(FleetError::Bug("what was solved is no read-out".to_owned()));
        }
        let mut served = Served { seen: member.seen, ..Served::default() };
        let Self { session, adapter, .. } = self;
        let mut judge = Judge { session, data: self.data, examples: self.examples };
        served.global = judge.judge(adapter, Policy::Global, &member.test, &mut Vec::new())?;
        judge.serve(adapter, (Policy::Soft, true), member, &mut served)?;
        Ok(served)
    }
}

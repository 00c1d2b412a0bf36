//! A study of Flow: devices, their data, a plan for the largest of the controls, and one control after another.

use super::closed::ClosedFleet;
use super::control::Control;
use super::finding::Finding;
use super::fleet::FlowFleet;
use super::member::Member;
use crate::deal::deal;
use crate::study::Study;
use sprig_budget::{Bytes, Plan, Size};
use sprig_engine::adapter::{AdapterSpec, Routing, Sees};
use sprig_engine::gguf::Mapped;
use sprig_learn::LearnError;
use sprig_learn::data::DataSet;
use sprig_learn::flow::FlowRules;
use sprig_learn::setting::Setting;
use sprig_learn::workload::{Means, Residency, Workload};
use sprig_protocol::FleetError;
use sprig_protocol::settings::SettingsError;
use sprig_run::{Base, Data};

/// Most bytes on disk for the activations of the data.
const PREFIX: Bytes = Bytes::mib(1024);

/// What is to be found out.
#[derive(Clone, Debug)]
pub struct FlowStudy {
    /// Model, data, devices, rounds and adapter; held-out data are those of the devices.
    pub study: Study,
    /// Examples of each device, one device after another in the order of the data, where those say whose they are.
    pub owners: Option<Vec<usize>>,
    /// What a device does.
    pub rules: FlowRules,
    /// How routers decide.
    pub routing: Routing,
    /// What is compared.
    pub controls: Vec<Control>,
}

/// Who looks on.
pub trait FlowFollower {
    /// Whether to stop.
    fn stop(&self) -> bool;
    /// So many devices take part, so many are served alone, and so many have too few examples for either.
    fn devices(&mut self, taking_part: usize, new: usize, left_out: usize);
    /// What is planned, before it is taken.
    fn planned(&mut self, plan: &Plan) -> Result<(), FleetError>;
    /// So many rounds of a control are done, or all and so many devices served, of how many in all.
    fn at(&mut self, control: Control, done: u32, of: u32);
    /// A control is done.
    fn found(&mut self, finding: &Finding);
}

impl FlowStudy {
    /// Carries it out; false if somebody said stop.
    ///
    /// # Errors
    /// What a device of such a fleet would refuse as well, by who must act.
    pub fn run(&self, follow: &mut dyn FlowFollower) -> Result<bool, FleetError> {
        let model = &self.study.settings.model;
        let map = Mapped::open(&model.path)?;
        let base = Base::open(&map)?;
        let budget = sprig_run::budget(model.budget, None)?;
        let train = &self.study.settings.train;
        if let Some(aim) = train.recipe().preferring.aim(train.task) {
            let problem = "Flow learns texts, labels or choices by themselves; leave it out";
            return Err(SettingsError::from(Setting::Objective.error(aim, problem)).into());
        }
        let data = base.data(&[&self.study.data], &[], self.study.options(), budget)?;
        let members = self.members(&data.train, follow)?;
        let opened = OpenedStudy { study: self, base: &base, data: &data, members: &members, budget };
        let (closed, steps): (Vec<Control>, _) = self.controls.iter().partition(|c| **c == Control::ReadOut);
        Ok((steps.is_empty() || opened.steps(&steps, &map.digest_hex()?, follow)?)
            && (closed.is_empty() || opened.closed(follow)?))
    }

    /// Who has which examples.
    fn members(&self, data: &DataSet, follow: &mut dyn FlowFollower) -> Result<Vec<Member>, FleetError> {
        let seed = self.study.settings.train.seed;
        let dealt = match &self.owners {
            None => deal(data, self.study.devices as usize, self.study.skew, seed)?,
            Some(owners) => {
                let mut at = 0;
                let own = |n: &usize| {
                    at += n;
                    (at - n..at).collect()
                };
                owners.iter().map(own).collect()
            }
        };
        let all = dealt.len();
        let members = Member::all(dealt, seed);
        let seen = members.iter().filter(|m| m.seen).count();
        follow.devices(seen, members.len() - seen, all - members.len());
        if seen < 2 {
            let problem =
                "fewer than two devices have three examples or more; give more data or fewer devices";
            return Err(LearnError::Settings(problem.to_owned()).into());
        }
        Ok(members)
    }
}

/// A study with its model, data and devices.
struct OpenedStudy<'s> {
    study: &'s FlowStudy,
    base: &'s Base<'s>,
    data: &'s Data,
    members: &'s [Member],
    budget: Bytes,
}

impl OpenedStudy<'_> {
    /// What takes steps; `digest` is the model's.
    fn steps(
        &self,
        controls: &[Control],
        digest: &str,
        follow: &mut dyn FlowFollower,
    ) -> Result<bool, FleetError> {
        let Self { study: FlowStudy { study, rules, routing, .. }, base, data, members, budget } = *self;
        let (model, train) = (&study.settings.model, &study.settings.train);
        let lone = train.adapter(&base.geometry)?;
        let spec = |sees| AdapterSpec { routing: Some(Routing { sees, ..*routing }), ..lone.clone() };
        // Routers that look at blocks take most.
        let largest = spec(Sees::Block);
        let numbers = largest.sizes(&base.geometry).0;
        let means = Means { threads: model.threads(), residency: Residency::Auto };
        let needs = rules.needs(largest.blocks().len());
        let objective = train.recipe().objective();
        let work = Workload::training(objective, largest.clone(), train.batch.as_usize(), needs, None, means);
        // Gradient and moments of a group each, the server's numbers, its sums in twice as many bytes, the beginning, and
        // what devices keep.
        let vectors = 3 * (1 + rules.local.rule.moments()) + 1 + 2 + 1 + members.len();
        let held = vec![("fleets under comparison", Bytes::of::<f32>(vectors * numbers))];
        let planned = base.plan(data.measure(Workload { held_elsewhere: held, ..work }), budget, None)?;
        follow.planned(&planned.plan)?;
        let engine = base.engine(&planned)?;
        let path = study.cache.join(format!("flow-{}.prefix", largest.lowest_block()));
        let prefix = engine.prefix(&path, Size::Bytes(PREFIX), digest, &data.train, &planned);
        let mut fleet = FlowFleet {
            session: engine.session(&planned, prefix)?,
            data: &data.train,
            cut: planned.tuning.cut,
            members,
            rules: *rules,
            fleet: train.rules(),
            rounds: study.settings.rounds.count.get(),
            per_round: study.settings.rounds.devices.as_usize(),
            seed: train.seed,
        };
        for &control in controls {
            let adapter = engine.adapter(&spec(control.sees(routing.sees)), rules.run_key)?;
            let found = fleet.run(control, adapter, &mut |done, of| {
                follow.at(control, done, of);
                !follow.stop()
            })?;
            let Some(found) = found else { return Ok(false) };
            follow.found(&found);
        }
        Ok(true)
    }

    /// What has a closed form.
    fn closed(&self, follow: &mut dyn FlowFollower) -> Result<bool, FleetError> {
        let Self { study: FlowStudy { study, routing, .. }, base, data, members, budget } = *self;
        let (model, train) = (&study.settings.model, &study.settings.train);
        let means = Means { threads: model.threads(), residency: Residency::Auto };
        let how = (train.batch.as_usize(), means, budget);
        let fleet = ClosedFleet::plan(base, data, members, how, *routing)?;
        follow.planned(fleet.planned())?;
        let found = fleet.run(base, &data.train, members, train.seed, &mut |done, of| {
            follow.at(Control::ReadOut, done, of);
            !follow.stop()
        })?;
        let Some(found) = found else { return Ok(false) };
        follow.found(&found);
        Ok(true)
    }
}

//! A personal state in closed form, beside an adapter that is a read-out of labels.

use super::Deriving;
use crate::exit::{Exit, Failure};
use crate::interrupt::Interrupt;
use crate::output::Output;
use serde_json::json;
use sprig_budget::alloc;
use sprig_engine::adapter::{Adapter, AdapterFile, AdapterSpec, Policy};
use sprig_engine::model::Module;
use sprig_learn::data::{DataSet, Task};
use sprig_learn::flow::closed::{Derived, Halves, MOST_EXAMPLES, Share};
use sprig_learn::objective::{LabelLoss, to_judge};
use sprig_learn::session::Session;
use sprig_learn::workload::{Adapted, Workload};
use sprig_run::{Base, Engine, Planned};

/// The rows of both halves.
pub struct Closed(Halves);

/// Why a state beside the adapter in `file` has no closed form; `None` where it has.
pub fn unfit(
    task: Task,
    base: &Base<'_>,
    file: &AdapterFile,
    data: &DataSet,
) -> Result<Option<String>, Failure> {
    let (g, places) = (&base.geometry, file.places(&base.geometry)?);
    let labels = data.labels().map_or(0, |labels| labels.names().len());
    Ok(match places[..] {
        _ if task != Task::Label => Some(format!("the task is {task}")),
        _ if file.meta().asking.is_none() => Some("this one does not say which labels it has".to_owned()),
        [place] if (place.block, place.module) == (g.blocks - 1, Module::Down) && place.rank == labels => {
            None
        }
        [place] if place.module == Module::Down => {
            Some(format!("this one has {} scores for {labels} labels", place.rank))
        }
        _ => Some(format!("this one adapts {} layers", places.len())),
    })
}

impl Closed {
    /// One pass over the examples.
    pub fn plan(deriving: &Deriving<'_>, spec: &AdapterSpec) -> Result<Planned, Failure> {
        let (args, g, data) = (deriving.args, &deriving.base.geometry, &deriving.data.train);
        let batch = args.batch.as_usize();
        let objective = to_judge(Task::Label, LabelLoss::Labels);
        let work = Workload::evaluation(objective, Adapted::Made(spec.clone()), batch, args.model.means());
        let work = Workload { needs: sprig_learn::estimator::Needs { features: true, ..work.needs }, ..work };
        let held = Halves::needs(g, data.len(), batch, spec.largest_rank());
        let work = deriving.data.measure(Workload { held_elsewhere: held, ..work });
        Ok(deriving.base.plan(work, deriving.budget, None)?)
    }

    /// Passes over the examples with `adapter`, which adds nothing yet; `None` when interrupted.
    pub fn collect(
        deriving: &Deriving<'_>,
        session: &mut Session<'_>,
        adapter: &mut Adapter,
        planned: &Planned,
        (output, interrupt): (&mut Output, &Interrupt),
    ) -> Result<Option<Self>, Failure> {
        let data = &deriving.data.train;
        let ids: Vec<usize> = (0..data.len()).collect();
        adapter.follow(Policy::Soft);
        output.begin("reading", data.len().min(2 * MOST_EXAMPLES) as u64, 0);
        let mut held = Ok(());
        let mut tick = |read: usize| {
            output.at(read as u64, || "reading".to_owned());
            held = alloc::check();
            held.is_ok() && !interrupt.raised()
        };
        let how = (deriving.args.seed, planned.tuning.cut.examples);
        let halves = Halves::read((session, adapter), data, &ids, how, &mut tick)?;
        held?;
        output.end();
        Ok(halves.map(Self))
    }

    /// Fits the device's own read-out and its router, and puts them into `adapter`, whose global part is there.
    pub fn fit(
        self,
        deriving: &Deriving<'_>,
        engine: &Engine<'_>,
        adapter: &mut Adapter,
        output: &mut Output,
    ) -> Result<(), Failure> {
        let labels = deriving.data.train.labels().map(|labels| labels.tokens().to_vec()).unwrap_or_default();
        let Some(Derived { local, router }) = self.0.fit(adapter, &labels, &engine.model, &engine.ctx) else {
            let message = format!(
                "{} is no read-out, though it has one score for each label: use --form flow",
                deriving.args.adapter.display()
            );
            return Err(Failure::new(Exit::Usage, message));
        };
        let share = match router.share {
            Share::Global => "the shared adapter answers alone",
            Share::Local => "the device's own answers alone",
            Share::One => "both answer, with one share for all texts",
            Share::Each(_) => "both answer, with a share for each text",
        };
        let event = json!({
            "event": "fitted", "examples": [self.0.local.len(), self.0.shared.len()], "regularisation": local.regularisation,
            "errors": local.errors, "choice": share, "loss": router.loss,
        });
        output.event(event, || {
            let [own, global] = local.errors;
            Some(format!(
                "own read-out of {} examples: squared error {own:.4}, the shared one's {global:.4}; by {} others {share}",
                self.0.local.len(),
                self.0.shared.len()
            ))
        });
        Ok(())
    }
}

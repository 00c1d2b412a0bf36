//! A personal state in closed form, beside an adapter that is a read-out of labels.

use super::Deriving;
use crate::exit::{Exit, Failure};
use crate::interrupt::Interrupt;
use crate::output::Output;
use serde_json::json;
use sprig_budget::{Bytes, alloc};
use sprig_engine::adapter::{Adapter, AdapterFile, AdapterSpec, Group, Policy};
use sprig_engine::model::Module;
use sprig_learn::LearnError;
use sprig_learn::data::{DataSet, Target, Task};
use sprig_learn::flow::closed::{Local, MOST_EXAMPLES, Paths, Router, Row, Share};
use sprig_learn::flow::halves;
use sprig_learn::minibatch::Minibatch;
use sprig_learn::objective::{LabelLoss, to_judge};
use sprig_learn::session::{LastRows, Session};
use sprig_learn::workload::{Adapted, Workload};
use sprig_run::{Base, Engine, Planned};

/// The rows of both halves.
pub struct Closed {
    local: Vec<Row>,
    shared: Vec<Row>,
}

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
        let rows = data.len().min(2 * MOST_EXAMPLES) * (4 * (g.ffn + 2 * g.width) + size_of::<Row>());
        let half = data.len().div_ceil(2).min(MOST_EXAMPLES);
        let classes = spec.largest_rank();
        let held = vec![
            ("rows of the answers", Bytes(rows as u64) + LastRows::bytes(g, batch)),
            ("their fit", Local::bytes(half, g.ffn, classes).max(Bytes((8 * half * half) as u64))),
            ("read-outs", Bytes((4 * classes * (3 * g.ffn + g.width)) as u64)),
        ];
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
        let (data, g) = (&deriving.data.train, &deriving.base.geometry);
        let ids: Vec<usize> = (0..data.len()).collect();
        let (mut local, mut shared) = halves(&ids, deriving.args.seed);
        for half in [&mut local, &mut shared] {
            half.truncate(MOST_EXAMPLES);
        }
        adapter.follow(Policy::Soft);
        let examples = planned.tuning.cut.examples;
        let mut rows = LastRows::new(g, examples);
        output.begin("reading", (local.len() + shared.len()) as u64, 0);
        let mut halves: [Vec<Row>; 2] = [Vec::new(), Vec::new()];
        for (half, ids) in halves.iter_mut().zip([&local, &shared]) {
            for part in ids.chunks(examples) {
                let batch = Minibatch::new(data, part);
                session.last_rows(batch, Some(adapter), &mut rows)?;
                for (e, (_, example)) in batch.examples().enumerate() {
                    let Target::Label { answer, .. } = example.target else { continue };
                    half.push(Row {
                        gated: rows.gated[e * g.ffn..][..g.ffn].to_vec(),
                        stream: rows.stream[e * g.width..][..g.width].to_vec(),
                        seen: session.features()[e * g.width..][..g.width].to_vec(),
                        answer,
                    });
                }
                alloc::check()?;
                if interrupt.raised() {
                    return Ok(None);
                }
                output.at(half.len() as u64, || "reading".to_owned());
            }
        }
        output.end();
        let [local, shared] = halves;
        Ok(Some(Self { local, shared }))
    }

    /// Fits the device's own read-out and its router, and puts them into `adapter`, whose global part is there.
    pub fn fit(
        self,
        deriving: &Deriving<'_>,
        engine: &Engine<'_>,
        adapter: &mut Adapter,
        output: &mut Output,
    ) -> Result<(), Failure> {
        adapter.begin_local();
        let place = (deriving.base.geometry.blocks - 1, Module::Down);
        let labels = deriving.data.train.labels().map(|labels| labels.tokens().to_vec()).unwrap_or_default();
        let Some(site) = adapter.site(place.0, place.1, false) else {
            return Err(LearnError::Settings("the read-out is not there".to_owned()).into());
        };
        let up = site.up.values.iter().map(|v| v * site.scale).collect();
        let mut paths = Paths::new(&engine.model, &engine.ctx, (site.down.values.to_vec(), up), &labels);
        if !paths.are_scores() {
            let message = format!(
                "{} is no read-out, though it has one score for each label: use --form flow",
                deriving.args.adapter.display()
            );
            return Err(Failure::new(Exit::Usage, message));
        }
        let local = Local::fit(&paths, &self.local);
        paths.local.clone_from(&local.weights);
        let router = Router::fit(&paths, &self.shared);
        let a = adapter.range(Group::Local).start;
        adapter.values_mut()[a..a + local.weights.len()].copy_from_slice(&local.weights);
        let weights = adapter.range(Group::Router);
        let own = &mut adapter.values_mut()[weights];
        if own.len() == router.weights.len() {
            own.copy_from_slice(&router.weights);
        }
        let share = match router.share {
            Share::Global => "the shared adapter answers alone",
            Share::Local => "the device's own answers alone",
            Share::One => "both answer, with one share for all texts",
            Share::Each(_) => "both answer, with a share for each text",
        };
        let event = json!({
            "event": "fitted", "examples": [self.local.len(), self.shared.len()], "regularisation": local.regularisation,
            "errors": local.errors, "choice": share, "loss": router.loss,
        });
        output.event(event, || {
            let [own, global] = local.errors;
            Some(format!(
                "own read-out of {} examples: squared error {own:.4}, the shared one's {global:.4}; by {} others {share}",
                self.local.len(),
                self.shared.len()
            ))
        });
        Ok(())
    }
}

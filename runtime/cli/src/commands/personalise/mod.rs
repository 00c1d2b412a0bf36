//! `sprig personalise`: a device's own state beside an adapter that all share, derived from its own data.

mod closed;
mod served;
mod steps;

use super::eval::{Found, Shown, evaluate_shown};
use crate::args::PersonaliseArgs;
use crate::asking;
use crate::exit::{Exit, Failure};
use crate::files::{self, Content, Files, check_writable};
use crate::interrupt::Interrupt;
use crate::open;
use crate::output::Output;
use closed::Closed;
use serde_json::json;
use sprig_budget::{Bytes, process};
use sprig_engine::adapter::{
    Adapter, AdapterFile, AdapterMeta, AdapterSpec, Carried, Form, Group, Kind, PersonalFile, PersonalMeta,
    Routing, Sees,
};
use sprig_engine::dual::Pool;
use sprig_ground::hex;
use sprig_learn::data::{DataSet, Task};
use sprig_learn::directions::run_key;
use sprig_learn::evaluate::Evaluation;
use sprig_learn::session::Session;
use sprig_learn::workload::Workload;
use sprig_run::{Base, Data, Planned, apart};
use steps::Steps;

pub fn run(args: &PersonaliseArgs) -> Result<Exit, Failure> {
    check_files(args)?;
    let map = args.model.open()?;
    let base = Base::open(&map)?;
    let file = open::adapter(&args.adapter, &base)?;
    let asking = file.meta().asking.as_ref().map(|asking| (args.adapter.as_path(), asking));
    let options = asking::by_adapter(&args.records, args.len, asking)?;
    if options.task == Task::Pair {
        let message = "--task pair has no answers of a device's own; use --task lm, label or choice";
        return Err(Failure::new(Exit::Usage, message));
    }
    let own_labels = asking::reads_labels(&options);
    let budget = args.model.budget()?;
    let path = files::data("--data", &args.data, own_labels)?;
    let data = base.data(&path, &args.eval_data, options, budget)?;
    let mut output = Output::new(args.model.json);
    if !args.model.json {
        let told = asking::told_of(&args.data, &data.train, own_labels, args.len.get());
        told.into_iter().try_for_each(crate::output::line)?;
    }
    let form = form(args, &base, &file, &data.train)?;
    let meta = PersonalMeta {
        adapter: file.meta().clone(),
        global: file.digest_hex()?,
        data: hex::encode(&data.train.digest()),
        form,
        routing: routing(args, form, begun(args, file.meta())),
        settings: settings(args, form),
    };
    let deriving = Deriving { args, base: &base, file: &file, data: &data, meta, budget };
    if let Some(there) = deriving.there()? {
        return deriving.serve(there, &mut output);
    }
    deriving.derive(&mut output)
}

/// What a state is derived from.
struct Deriving<'a> {
    args: &'a PersonaliseArgs,
    base: &'a Base<'a>,
    file: &'a AdapterFile,
    data: &'a Data,
    meta: PersonalMeta,
    budget: Bytes,
}

impl Deriving<'_> {
    /// The state that is there already, if it is of the same adapter, data and form.
    fn there(&self) -> Result<Option<PersonalFile>, Failure> {
        if !self.args.out.exists() {
            return Ok(None);
        }
        let there = PersonalFile::open(&self.args.out)?;
        Ok((*there.meta() == self.meta).then_some(there))
    }

    /// The two adapters, as a plan sees them.
    fn spec(&self) -> Result<AdapterSpec, Failure> {
        let kept = self.file.places(&self.base.geometry)?;
        Ok(AdapterSpec {
            // A read-out's scores differ in what they look at, adapters in what they do about it.
            kind: if self.meta.form == Form::ReadOut { Kind::Lora } else { Kind::BOnly },
            rank: self.file.rank(),
            alpha: self.file.alpha(),
            targets: Vec::new(),
            layers: 0..0,
            kept,
            routing: Some(self.meta.routing),
        })
    }

    fn derive(&self, output: &mut Output) -> Result<Exit, Failure> {
        let (g, spec) = (&self.base.geometry, self.spec()?);
        let (planned, steps) = match self.meta.form {
            Form::Flow => Steps::plan(self, &spec)?,
            Form::ReadOut => (Closed::plan(self, &spec)?, None),
        };
        let event = json!({ "event": "plan", "plan": planned.plan });
        output.event(event, || Some(planned.plan.brief().to_string()));
        check_writable(&self.args.out, 4 * spec.sizes(g).0 as u64 + (64 << 10))?;
        let engine = self.base.engine(&planned)?;
        let mut adapter = engine.adapter(&spec, run_key(self.args.seed))?;
        let mut session = engine.session(&planned, None)?;
        let interrupt = Interrupt::listen();
        let stopped = || Failure::new(Exit::Interrupted, "interrupted; nothing was written");
        match steps {
            Some(steps) => {
                self.file.begin(&mut adapter, g)?;
                self.begin_routers(&spec, &mut adapter, output)?;
                steps
                    .take(self, (&mut session, &mut adapter), &planned, (output, &interrupt))?
                    .ok_or_else(stopped)?;
            }
            None => {
                let closed =
                    Closed::collect(self, &mut session, &mut adapter, &planned, (output, &interrupt))?;
                let closed = closed.ok_or_else(stopped)?;
                apart(|| {
                    self.file.begin(&mut adapter, g)?;
                    closed.fit(self, &engine, &mut adapter, output)
                })?;
            }
        }
        apart(|| adapter.write_personal(&self.args.out, &self.meta))?;
        self.done((&mut adapter, &mut session), &planned, (output, &interrupt), true)
    }

    /// Has the routers begin where the fleet's are, if those came with the adapter.
    fn begin_routers(
        &self,
        spec: &AdapterSpec,
        adapter: &mut Adapter,
        output: &mut Output,
    ) -> Result<(), Failure> {
        let Some(carried) = begun(self.args, self.file.meta()) else { return Ok(()) };
        if !carried.fits(spec, &self.base.geometry) {
            let path = self.args.adapter.display();
            let message =
                format!("{path}: its routers are not those of its layers; export it anew, or use --sees");
            return Err(Failure::new(Exit::BadFile, message));
        }
        let routers = adapter.range(Group::Router);
        adapter.values_mut()[routers].copy_from_slice(&carried.weights);
        let event = json!({ "event": "routers", "sees": carried.sees, "pool": carried.pool.name() });
        output.event(event, || Some("routers begin as the fleet trained them".to_owned()));
        Ok(())
    }

    /// Says how well the state that is there serves.
    fn serve(&self, there: PersonalFile, output: &mut Output) -> Result<Exit, Failure> {
        let spec = there.spec(&self.base.geometry)?;
        let (args, task) = (self.args, self.args.records.task);
        let objective = sprig_learn::objective::to_judge(task, sprig_learn::objective::LabelLoss::Labels);
        let adapted = sprig_learn::workload::Adapted::Made(spec);
        let work = Workload::evaluation(objective, adapted, args.batch.as_usize(), args.model.means());
        let planned = self.base.plan(self.data.measure(work), self.budget, None)?;
        let engine = self.base.engine(&planned)?;
        let mut adapter = there.load(&engine.model, &engine.ctx)?;
        let mut session = engine.session(&planned, None)?;
        self.done((&mut adapter, &mut session), &planned, (output, &Interrupt::listen()), false)
    }

    /// The last line, after an evaluation of each of the ways to answer, if there are data for it.
    fn done(
        &self,
        (adapter, session): (&mut Adapter, &mut Session<'_>),
        planned: &Planned,
        (output, interrupt): (&mut Output, &Interrupt),
        derived: bool,
    ) -> Result<Exit, Failure> {
        let mut found = Vec::new();
        for (what, policy) in served::WAYS {
            let Some(data) = &self.data.held_out else { break };
            adapter.follow(policy);
            session.forget_shares();
            let shown = Shown { what, output, interrupt };
            let examples = planned.tuning.cut.examples;
            let Some(Found { evaluation: e, .. }) =
                evaluate_shown(session, Some(adapter), data, examples, shown)?
            else {
                return Err(Failure::new(Exit::Interrupted, "interrupted; the personal state is kept"));
            };
            let shares = session.mean_shares();
            let event = json!({ "event": "evaluated", "by": what, "result": e, "gates": shares });
            output.event(event, || Some(format!("{what}: {}", super::eval::describe(&e))));
            found.push(e);
        }
        let (peak, budget) = (process::status().peak_rss, planned.plan.budget);
        let accuracy = |i: usize| found.get(i).map(|e: &Evaluation| e.accuracy);
        let event = json!({
            "event": "done",
            "form": self.meta.form,
            "derived": derived,
            "n": self.data.train.len(),
            "accuracy_global": accuracy(0),
            "accuracy_local": accuracy(1),
            "accuracy_personal": accuracy(2),
            "accuracy_personal_hard": accuracy(3),
            "peak_rss_bytes": peak,
            "budget_bytes": budget,
        });
        output.event(event, || {
            let out = self.args.out.display();
            let how = if derived { "written" } else { "up to date" };
            Some(format!(
                "{out}: {how} ({}); peak {} of {budget}",
                self.meta.form,
                peak.unwrap_or(Bytes::ZERO)
            ))
        });
        Ok(Exit::Done)
    }
}

/// How the state is derived.
fn form(
    args: &PersonaliseArgs,
    base: &Base<'_>,
    file: &AdapterFile,
    data: &DataSet,
) -> Result<Form, Failure> {
    let why = closed::unfit(args.records.task, base, file, data)?;
    match (args.form, why) {
        (Some(Form::Flow), _) | (None, Some(_)) => Ok(Form::Flow),
        (_, None) => Ok(Form::ReadOut),
        (Some(Form::ReadOut), Some(why)) => {
            let message = format!(
                "--form readout needs an adapter that is a read-out of labels, and {why}; use --form flow"
            );
            Err(Failure::new(Exit::Usage, message))
        }
    }
}

/// What decides the state beside adapter, data and form.
fn settings(args: &PersonaliseArgs, form: Form) -> String {
    let PersonaliseArgs { local_epochs, shared_epochs, lr, gamma, batch, len, seed, .. } = args;
    match form {
        Form::ReadOut => format!("seed {seed}, len {len}"),
        Form::Flow => format!(
            "seed {seed}, len {len}, batch {batch}, epochs {local_epochs} and {shared_epochs}, lr {lr}, gamma {gamma}"
        ),
    }
}

/// How routers decide; those that the fleet trained, if they are gone on from, as they did.
fn routing(args: &PersonaliseArgs, form: Form, begun: Option<&Carried>) -> Routing {
    let pool = if args.records.task == Task::Lm { Pool::Prefix } else { Pool::Prompt };
    match (form, begun) {
        (Form::ReadOut, _) => Routing { sees: Sees::Block, pool, follows: true },
        (Form::Flow, Some(carried)) => carried.routing(),
        // One for all blocks: in no comparison was one a block better (docs/results.md).
        (Form::Flow, None) => Routing { sees: args.sees.unwrap_or(Sees::Text), pool, follows: true },
    }
}

/// The routers that came with the adapter, unless others are asked for.
fn begun<'m>(args: &PersonaliseArgs, meta: &'m AdapterMeta) -> Option<&'m Carried> {
    meta.routers.as_ref().filter(|carried| args.sees.is_none_or(|sees| sees == carried.sees))
}

/// No result over what is read.
fn check_files(args: &PersonaliseArgs) -> Result<(), Failure> {
    Files::new()
        .reads("--model", args.model.model.as_path())
        .reads("--adapter", args.adapter.as_path())
        .reads_all("--data", &args.data)
        .reads_all("--eval-data", &args.eval_data)
        .writes("--out", args.out.as_path(), Content::Personal)
        .check()
}

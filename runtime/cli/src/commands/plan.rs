//! `sprig plan`: what a training run would hold, from the model's header alone, and which way of learning it would take.

use super::foreseen::{Foreseen, Foreseer, Pace, check_useful, chosen};
use super::readout;
use crate::args::{ModelArgs, PlanArgs, RecordArgs, ShapeArgs};
use crate::asking;
use crate::exit::{Exit, Failure};
use crate::files;
use crate::output::line;
use indicatif::HumanDuration;
use serde_json::{Value, json};
use sprig_budget::{BudgetError, Bytes};
use sprig_device::Detected;
use sprig_engine::adapter::{AdapterSpec, Place};
use sprig_engine::model::Geometry;
use sprig_ground::wrap::wrap;
use sprig_learn::data::Task;
use sprig_learn::dropout::Dropout;
use sprig_learn::objective::{Objective, of_task};
use sprig_learn::optimiser::Rule;
use sprig_learn::recipe::{HeldBack, Length, Way};
use sprig_learn::workload::{Means, Workload};
use sprig_run::{Base, Data};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

pub fn run(args: &PlanArgs) -> Result<Exit, Failure> {
    let question = &args.shape.question(args.task);
    check_useful(question)?;
    args.shape.preference.preferring().check(args.task).map_err(|e| Failure::new(Exit::Usage, e))?;
    let map = args.model.open()?;
    let base = Base::open(&map)?;
    base.check_length(args.shape.len.as_usize())?;
    if args.shape.estimator == Way::ReadOut && matches!(args.task, Task::Lm | Task::Pair) {
        return Err(readout::not_of_tokens());
    }
    let board =
        args.board.as_deref().map(|name| sprig_device::described(Path::new("/"), name)).transpose()?;
    let (model, budget) = meant(&args.model, board.as_ref())?;
    let data = (!args.data.is_empty()).then(|| read(args, &base, budget)).transpose()?;
    let (shape, task, judged) = (&args.shape, args.task, args.steps.is_none());
    let foreseer =
        Foreseer { base: &base, shape, model: &model, budget, task, data: data.as_ref(), judged, kept: &[] };
    let ways = foreseer.ways(question)?;
    // How fast a board is that is not here, nobody can say; but how fast it cannot be.
    let pace = match &board {
        None => Some(foreseer.pace()?),
        Some(board) => board.board.peak_flop().map(Pace::AtMost),
    };
    let found = chosen(&ways, question)?;
    let Foreseen { plan, smallest, passes, .. } = found;
    let long = data.as_ref().filter(|_| smallest.is_none()).map(|data| Long::of(args, data, found, pace));
    if args.model.json {
        let mut event = serde_json::to_value(plan).map_err(|e| Failure::new(Exit::Bug, e))?;
        event["passes_per_step"] = json!(smallest.is_none().then_some(passes));
        event["estimators"] = ways.iter().map(|way| way.json(pace)).collect::<Value>();
        event["board"] = json!(args.board);
        event["batches"] = json!(long.as_ref().map(|long| long.batches));
        let (about, least) = long.as_ref().map_or((None, None), |long| Pace::parts(long.pace, long.flop));
        event["seconds"] = json!(about);
        event["seconds_at_least"] = json!(least);
        line(event)?;
    } else {
        show(args, &base, board.as_ref(), (found, long.as_ref()))?;
        line("\nestimators")?;
        ways.iter().try_for_each(|way| line(way.line(pace)))?;
    }
    match *smallest {
        None => Ok(Exit::Done),
        Some(smallest) => {
            Err(BudgetError::TooSmall { budget, smallest, plan: Box::new(plan.clone()) }.into())
        }
    }
}

/// The model's flags and the budget, of this machine or of a board that is not here.
fn meant(model: &ModelArgs, board: Option<&Detected>) -> Result<(ModelArgs, Bytes), Failure> {
    let Some(board) = board else { return Ok((model.clone(), model.budget()?)) };
    let cores = board.cores.iter().map(|cores| cores.count).sum::<u32>().clamp(1, 64) as u16;
    let budget = model.budget.map_or(Bytes(board.budget()), |asked| asked.resolve(Bytes(board.memory)));
    Ok((ModelArgs { threads: model.threads.or(Some(cores)), ..model.clone() }, budget))
}

/// The data, as `train` would read them if it were told no more than this.
fn read(args: &PlanArgs, base: &Base<'_>, budget: Bytes) -> Result<Data, Failure> {
    let records = RecordArgs {
        task: args.task,
        text_column: None,
        label_column: None,
        raw: false,
        template: None,
        label_style: None,
        labels: Vec::new(),
        label_tokens: Vec::new(),
    };
    let options = asking::by_flags(&records, args.shape.len)?;
    let paths = files::data("--data", &args.data, asking::reads_labels(&options))?;
    Ok(base.data(&paths, &[], options, budget)?)
}

/// How long a run on known data is.
struct Long {
    /// Steps, or batches of a read-out.
    batches: u64,
    examples: usize,
    /// Operations of all of them.
    flop: f64,
    /// Where it is known of the machine.
    pace: Option<Pace>,
}

impl Long {
    fn of(args: &PlanArgs, data: &Data, way: &Foreseen, pace: Option<Pace>) -> Self {
        let (batch, n) = (args.shape.batch, data.train.len());
        let length = args.steps.map_or(Length::Usual, Length::Steps);
        let held_back = HeldBack::usual(length, n).of(n);
        let batches = match way.way {
            Way::ReadOut => n.div_ceil(batch.as_usize()) as u64,
            _ => length.steps(n - held_back, batch),
        };
        Self { batches, examples: n, flop: way.flop * batches as f64, pace }
    }

    fn line(&self) -> String {
        let (batches, examples) = (self.batches, self.examples);
        let measure = "`sprig profile` measures on the board";
        let time = match self.pace {
            None => format!("how long they take there, {measure}"),
            Some(pace) => {
                let time = HumanDuration(Duration::from_secs_f64(pace.seconds(self.flop).max(1.0)));
                let why = match pace {
                    Pace::Measured(_) => {
                        "by a product that was timed here just now; longer texts than most count in full"
                            .to_owned()
                    }
                    Pace::AtMost(_) => {
                        format!("by what its cores could do at most; how long they take there, {measure}")
                    }
                };
                format!("{} {time}, {why}", pace.word())
            }
        };
        format!("{examples} examples are {batches} batches: {time}")
    }
}

/// For people.
fn show(
    args: &PlanArgs,
    base: &Base<'_>,
    board: Option<&Detected>,
    (found, long): (&Foreseen, Option<&Long>),
) -> Result<(), Failure> {
    if let Some(board) = board {
        let (title, memory) = (&board.board.title, Bytes(board.memory));
        line(wrap(&format!("for a {title} ({memory} of memory), by its profile\n"), 2))?;
    }
    match args.verbose {
        true => line(format_args!("{:#}", found.plan))?,
        false => line(&found.plan)?,
    }
    if let Some(kept) = found.kept {
        line(wrap(&readout::directions(kept, base.geometry.ffn), 2))?;
    } else if found.smallest.is_none() {
        line(format!("a step is worth {:.1} plain forward passes of an example", found.passes))?;
    }
    long.map_or(Ok(()), |long| line(wrap(&long.line(), 2)))
}

impl ShapeArgs {
    /// The adapter of a model of shape `g`, beside the layers `kept` of another.
    pub fn spec(&self, task: Task, g: &Geometry, kept: &[Place]) -> Result<AdapterSpec, Failure> {
        Ok(AdapterSpec { kept: kept.to_vec(), ..self.adapter(task).fit(g)? })
    }

    /// What a training on records of `task` learns by.
    pub fn objective(&self, task: Task) -> Arc<dyn Objective> {
        match self.preference.preferring().objective(task, self.label_loss()) {
            Some(preference) => Arc::new(preference),
            None => of_task(task, self.label_loss()),
        }
    }

    /// The workload of a training of `spec` whose steps are taken by `rule`.
    pub fn workload(&self, task: Task, spec: AdapterSpec, rule: Rule, means: Means) -> Workload {
        let needs = self.estimator.method().needs(self.tangents(task).as_usize());
        let objective = self.objective(task);
        let dropout = Dropout::new(self.dropout);
        Workload::training(objective, spec, self.batch.as_usize(), needs, Some(rule), means).under(dropout)
    }
}

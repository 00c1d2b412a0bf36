//! Ways of learning, each planned: what `sprig plan` shows, before any data are read, and what `--estimator auto` decides by,
//! when they are.

use super::readout;
use crate::args::{ModelArgs, ShapeArgs};
use crate::exit::{Exit, Failure};
use serde_json::{Value, json};
use sprig_budget::{BudgetError, Bytes, Plan};
use sprig_engine::adapter::{AdapterSpec, Place};
use sprig_engine::model::Geometry;
use sprig_ground::wrap::wrap;
use sprig_learn::LearnError;
use sprig_learn::choosing::{Candidate, Question, Verdict};
use sprig_learn::data::Task;
use sprig_learn::planner::Fitted;
use sprig_learn::recipe::Way;
use sprig_learn::workload::{Tuning, Workload};
use sprig_run::{Base, Data, forward_flop, rate};

/// Most choices of a question.
const LETTERS: usize = 26;
/// Labels, before any data are read.
const LABELS: usize = 64;

/// What ways are planned for.
pub struct Foreseer<'a> {
    pub base: &'a Base<'a>,
    pub shape: &'a ShapeArgs,
    pub model: &'a ModelArgs,
    /// Most bytes of the process.
    pub budget: Bytes,
    pub task: Task,
    /// What is learnt from, where it is known.
    pub data: Option<&'a Data>,
    /// Whether the run is judged on its way, and keeps the best adapter so far.
    pub judged: bool,
    /// Layers of the adapter that is gone on from.
    pub kept: &'a [Place],
}

/// A way that was planned, and what was decided of it.
pub struct Foreseen {
    pub way: Way,
    pub verdict: Verdict,
    /// What it would hold, even where that is more than the budget.
    pub plan: Plan,
    /// The smallest budget that would do, where this one does not.
    pub smallest: Option<Bytes>,
    /// Why it cannot learn from the data, where it cannot.
    unfit: Option<String>,
    /// Plain forward passes of an example that a step is worth; of a read-out, which takes none, a batch.
    pub passes: f64,
    /// Floating-point operations of that.
    pub flop: f64,
    /// Directions that a read-out has room for.
    pub kept: Option<usize>,
}

/// A plan, or the smallest one that does not fit.
struct Room {
    plan: Plan,
    smallest: Option<Bytes>,
    passes: f64,
}

impl Foreseer<'_> {
    /// All ways that can answer `question`, the one that learns most first, and the one that was named.
    pub fn ways(&self, question: &Question) -> Result<Vec<Foreseen>, Failure> {
        let budget = self.budget;
        let listed: Vec<Way> = question.ways().collect();
        let named = Some(question.asked).filter(|way| *way != Way::Auto && !listed.contains(way));
        let mut ways = Vec::new();
        for way in listed.into_iter().chain(named) {
            match self.way(way, budget) {
                Ok(found) => ways.push(found),
                // A model that a way cannot learn on at all does not keep others from it.
                Err(_) if way != question.asked && way == Way::ReadOut => {}
                Err(failure) => return Err(failure),
            }
        }
        let candidates: Vec<Candidate> = ways.iter().map(Foreseen::candidate).collect();
        for (way, verdict) in ways.iter_mut().zip(question.choose(&candidates)) {
            way.verdict = verdict;
        }
        Ok(ways)
    }

    fn way(&self, way: Way, budget: Bytes) -> Result<Foreseen, Failure> {
        let shape = ShapeArgs { estimator: way, ..self.shape.clone() };
        let g = &self.base.geometry;
        let work = match way {
            Way::ReadOut => return self.read_out(&shape, budget),
            Way::Auto | Way::Steps(_) => {
                let spec = shape.spec(self.task, g, self.kept)?;
                let best = self.judged.then(|| best_so_far(&spec, g));
                // Of the optimiser its moments are what counts.
                let mut work = shape.workload(self.task, spec, shape.rule(), self.model.means());
                work.held_elsewhere.extend(best);
                self.sized(work)
            }
        };
        let Room { plan, smallest, passes } = self.fit(&work, budget)?;
        let flop = passes * forward_flop(g, &work);
        let verdict = Verdict::default();
        Ok(Foreseen { way, verdict, plan, smallest, unfit: None, passes, flop, kept: None })
    }

    fn read_out(&self, shape: &ShapeArgs, budget: Bytes) -> Result<Foreseen, Failure> {
        let g = &self.base.geometry;
        sprig_learn::readout::check(g)?;
        let most = if self.task == Task::Choice { LETTERS } else { LABELS };
        let (classes, unfit) = match self.data.map(|data| readout::classes(&data.train)) {
            None => (most, None),
            Some(Ok(classes)) => (classes.tokens.len(), None),
            Some(Err(unfit)) => (most, Some(unfit.to_string())),
        };
        let way = |plan, smallest, passes, flop, kept| {
            let verdict = Verdict::default();
            Ok(Foreseen { way: Way::ReadOut, verdict, plan, smallest, unfit, passes, flop, kept })
        };
        let sized =
            |kept| self.sized(readout::workload(shape, self.model, self.task, self.base, classes, kept));
        match readout::room(self.base, budget, None, sized) {
            Ok((kept, work)) => {
                let Room { plan, smallest, .. } = self.fit(&work, budget)?;
                let passes = work.batch as f64;
                way(plan, smallest, passes, passes * forward_flop(g, &work), Some(kept))
            }
            Err(LearnError::Budget(BudgetError::TooSmall { plan, smallest, .. })) => {
                way(*plan, Some(smallest), f64::NAN, f64::NAN, None)
            }
            Err(other) => Err(other.into()),
        }
    }

    /// `work` on the data, or on as many as there may be.
    fn sized(&self, work: Workload) -> Workload {
        match self.data {
            Some(data) => data.measure(work),
            None => work.foreseen(self.task, self.shape.len.as_usize()),
        }
    }

    fn fit(&self, work: &Workload, budget: Bytes) -> Result<Room, Failure> {
        let g = &self.base.geometry;
        match self.base.fit(work, budget) {
            Ok(Fitted { plan, tuning, .. }) => {
                Ok(Room { plan, smallest: None, passes: work.passes(g, &tuning) })
            }
            Err(LearnError::Budget(BudgetError::TooSmall { plan, smallest, .. })) => {
                let passes = work.passes(g, &Tuning::widest(work));
                Ok(Room { plan: *plan, smallest: Some(smallest), passes })
            }
            Err(other) => Err(other.into()),
        }
    }

    /// How fast steps are on this machine.
    pub fn pace(&self) -> Result<Pace, Failure> {
        Ok(Pace::Measured(rate(self.model.means().threads)?))
    }
}

impl Foreseen {
    fn candidate(&self) -> Candidate {
        let total = self.plan.total();
        Candidate { way: self.way, room: self.smallest.map_or(Ok(total), Err), unfit: self.unfit.clone() }
    }

    /// It for scripts, at that pace.
    pub fn json(&self, pace: Option<Pace>) -> Value {
        let (measured, least) = Pace::parts(pace, self.flop);
        json!({
            "name": self.way.to_string(), "fits": self.smallest.is_none(), "total_bytes": self.plan.total(),
            "smallest_budget_bytes": self.smallest, "passes_per_step": self.passes, "step_seconds": measured,
            "step_seconds_at_least": least,
            "chosen": self.verdict.chosen, "why": self.verdict.why,
        })
    }

    /// It as a line.
    pub fn line(&self, pace: Option<Pace>) -> String {
        let mark = if self.verdict.chosen { '>' } else { ' ' };
        let (way, total, why) = (self.way.to_string(), self.plan.total().to_string(), &self.verdict.why);
        // Of a way that has no room nothing is known.
        let time = pace.filter(|_| self.flop.is_finite()).map_or_else(String::new, |pace| {
            format!("{} {:>5.2} s a batch  ", pace.word(), pace.seconds(self.flop))
        });
        // What does not fit beside its figures stands below them.
        wrap(&format!("{mark} {way:8} {total:>10}  {time}{why}"), 11)
    }
}

/// How fast steps are, in floating-point operations a second.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Pace {
    /// About so many, by what was timed here.
    Measured(f64),
    /// No more than so many, by what the cores of a board could do at most.
    AtMost(f64),
}

impl Pace {
    /// Seconds that so many operations take.
    pub fn seconds(self, flop: f64) -> f64 {
        let (Self::Measured(rate) | Self::AtMost(rate)) = self;
        flop / rate
    }

    /// How those seconds are to be read.
    pub fn word(self) -> &'static str {
        match self {
            Self::Measured(_) => "about",
            Self::AtMost(_) => "at least",
        }
    }

    /// The seconds of `flop`, as they are about and as they are at least.
    pub fn parts(pace: Option<Self>, flop: f64) -> (Option<f64>, Option<f64>) {
        match pace {
            Some(pace @ Self::Measured(_)) => (Some(pace.seconds(flop)), None),
            Some(pace @ Self::AtMost(_)) => (None, Some(pace.seconds(flop))),
            None => (None, None),
        }
    }
}

/// The way that was chosen; where there is room for none, the one that would be in the smallest budget.
pub fn chosen<'w>(ways: &'w [Foreseen], question: &Question) -> Result<&'w Foreseen, Failure> {
    let able = |way: &&Foreseen| question.takes(way.way) && way.unfit.is_none();
    let leanest = || ways.iter().filter(able).min_by_key(|way| way.smallest);
    ways.iter().find(|way| way.verdict.chosen).or_else(leanest).ok_or_else(|| {
        let given: Vec<&str> = question.given.iter().map(|(_, setting)| setting.as_str()).collect();
        let message = format!(
            "--estimator {} knows no way of learning that has a use for {}; leave some out, or name an estimator",
            question.asked,
            given.join(" and ")
        );
        Failure::new(Exit::Usage, message)
    })
}

/// Refuses a setting that the way that was named has no use for.
pub fn check_useful(question: &Question) -> Result<(), Failure> {
    let Some((setting, other)) = question.useless() else { return Ok(()) };
    let named = question.asked;
    let message =
        format!("--estimator {named} has no use for {setting}; leave it out, or use --estimator {other}");
    Err(Failure::new(Exit::Usage, message))
}

/// What the best adapter so far takes, for the plan.
pub fn best_so_far(spec: &AdapterSpec, g: &Geometry) -> (&'static str, Bytes) {
    ("best adapter so far", Bytes::of::<f32>(spec.sizes(g).0))
}

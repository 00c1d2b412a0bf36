//! The command line of `sprig lookalike`.

use super::choice::choice;
use super::{ModelArgs, ShapeArgs};
use clap::Args;
use sprig_learn::optimiser::Decay;
use sprig_learn::recipe::{NotNegative, Positive};
use sprig_lookalike::{Kind, Negatives, Schedule, Task};
use sprig_mcq::{Code, Family, Template};
use std::path::PathBuf;

#[derive(Clone, Debug, Args)]
pub struct LookalikeArgs {
    #[command(flatten)]
    pub model: ModelArgs,
    #[command(flatten)]
    pub shape: ShapeArgs,
    #[command(flatten)]
    pub items: ItemArgs,
    #[command(flatten)]
    pub mining: MiningArgs,
    /// How supervised steps and preferences follow one another: a = in cycles, mined anew in each; b = the same, mined once;
    /// c = batch by batch; joint = in every batch; once = preferences after all supervised steps; sft = none
    #[arg(long, value_parser = choice::<Schedule>(), default_value_t)]
    pub schedule: Schedule,
    /// Cycles; every schedule takes as many steps
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u64).range(1..=100))]
    pub cycles: u64,
    /// Supervised steps of a cycle
    #[arg(long, value_name = "N", default_value_t = 250, value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    pub supervised_steps: u64,
    /// Steps of preferences of a cycle
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u64).range(0..=1_000_000))]
    pub preference_steps: u64,
    /// Weight of the preference beside supervised steps (joint)
    #[arg(long, value_name = "X", default_value_t = NotNegative::of(0.5))]
    pub joint_weight: NotNegative,
    /// Highest learning rate of supervised steps [default: that of `train`]
    #[arg(long, value_name = "X")]
    pub lr: Option<NotNegative>,
    /// Highest learning rate of preferences, where they have phases of their own (schedules a, b and once) [default: a tenth of
    /// the supervised one]
    #[arg(long, value_name = "X")]
    pub preference_lr: Option<NotNegative>,
    /// How the learning rate of a phase falls after its first tenth
    #[arg(long, value_parser = choice::<Decay>(), default_value_t = Decay::Cosine)]
    pub decay: Decay,
    /// Seed of questions, directions, start values, order and draws
    #[arg(long, value_name = "S", default_value_t = 0)]
    pub seed: u64,
    /// Mine only: write pairs of gold answers and inconsistent ones of the model as it is, of --from if that is given, to --out
    /// (JSONL of task pair, raw), as many as --preference-steps would visit, and end
    #[arg(long, conflicts_with_all = TRAINS)]
    pub mine_only: bool,
    /// Adapter to write (GGUF LoRA); its checkpoint and the mined pairs lie beside it
    #[arg(long, value_name = "FILE", default_value = "adapter.gguf")]
    pub out: PathBuf,
    /// Adapter to go on from (GGUF LoRA)
    #[arg(long, value_name = "FILE")]
    pub from: Option<PathBuf>,
    /// Record of the run (JSON)
    #[arg(long, value_name = "FILE")]
    pub run: Option<PathBuf>,
    /// Page of the run (HTML)
    #[arg(long, value_name = "FILE")]
    pub page: Option<PathBuf>,
    /// What the model answered about each item of the tests (JSONL)
    #[arg(long, value_name = "FILE")]
    pub dump: Option<PathBuf>,
    /// Go on from the checkpoint beside --out, if there is one
    #[arg(long)]
    pub resume: bool,
    /// Steps between checkpoints; 0 for none but between phases and on Ctrl-C
    #[arg(long, value_name = "N", default_value_t = 100)]
    pub checkpoint_every: u64,
    /// Steps between two looks at what the model says meanwhile; 0 for none
    #[arg(long, value_name = "N", default_value_t = 50)]
    pub watch_every: u64,
    /// Go on as planned when other processes need memory, instead of holding less until they are done
    #[arg(long)]
    pub ignore_pressure: bool,
}

/// What says something only of a run that trains.
const TRAINS: [&str; 15] = [
    "schedule",
    "cycles",
    "supervised_steps",
    "joint_weight",
    "lr",
    "preference_lr",
    "decay",
    "reference",
    "run",
    "page",
    "dump",
    "resume",
    "checkpoint_every",
    "watch_every",
    "objective",
];

/// The questions.
#[derive(Clone, Debug, Args)]
pub struct ItemArgs {
    /// Families of questions: LIST of SUB0, FADD, FDIV, LIN+, LIN-, ORDER, PCTOF
    #[arg(long, value_name = "LIST", value_delimiter = ',', required = true, value_parser = choice::<Family>())]
    pub families: Vec<Family>,
    /// Tasks: t1 = the wrong answer that follows from an error; t2 = the error that a wrong answer follows from; t5 = the
    /// right one of four options
    #[arg(long, value_name = "LIST", value_delimiter = ',', default_value = "t1,t2", value_parser = choice::<Task>())]
    pub tasks: Vec<Task>,
    /// Items of each family to learn from
    #[arg(long = "items", value_name = "N", default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub train: u32,
    /// Items of each family that are answered after each phase
    #[arg(long, value_name = "N", default_value_t = 24, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub dev: u32,
    /// Items of each family of each test
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub test: u32,
    /// Tell errors in words drawn for each, instead of by their closed texts
    #[arg(long)]
    pub paraphrase: bool,
    /// Keep a telling from training, and test with it: bare, words, money or blank
    #[arg(long, value_name = "NAME", value_parser = choice::<Template>())]
    pub hold_out_telling: Option<Template>,
    /// Keep an error from training, and test with it
    #[arg(long, value_name = "CODE", value_parser = choice::<Code>())]
    pub hold_out_error: Option<Code>,
    /// Keep one of the families from training, and test with it
    #[arg(long, value_name = "FAMILY", value_parser = choice::<Family>())]
    pub hold_out_family: Option<Family>,
}

/// What the model is shown of its own answers.
#[derive(Clone, Debug, Args)]
pub struct MiningArgs {
    /// Answers drawn to each question, beside the likeliest
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u32).range(0..=1000))]
    pub samples: u32,
    /// Most pairs of a question
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=100))]
    pub most: u32,
    /// Temperature of the draws
    #[arg(long, value_name = "T", default_value_t = Positive::of(0.8))]
    pub temperature: Positive,
    /// Of so many pairs at most one rejects a copy of the right answer
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    pub key_cap: u64,
    /// Inconsistencies that are learnt against: mismatch = an answer that no error leads to, swap = one of another error, key
    /// = the right one, cycle = an error that does not lead back
    #[arg(long, value_name = "LIST", value_delimiter = ',', default_value = "key,swap,mismatch,cycle", value_parser = choice::<Kind>())]
    pub mine: Vec<Kind>,
    /// Rejected answers: own = the model's own, random = any wrong ones, swapped = those of the item's other errors
    #[arg(long, value_parser = choice::<Negatives>(), default_value_t)]
    pub negatives: Negatives,
    /// What preferences are measured against: phase = the model when they begin, sft = after the first supervised steps, base =
    /// the untouched one
    #[arg(long, value_parser = choice::<Anchor>(), default_value_t)]
    pub reference: Anchor,
}

/// The policy that preferences are measured against.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Anchor {
    /// As it is when the phase begins.
    #[default]
    Phase,
    /// After the first supervised steps.
    Supervised,
    /// Untouched.
    Base,
}

sprig_ground::names!(Anchor, "reference", [Phase = "phase", Supervised = "sft", Base = "base"]);

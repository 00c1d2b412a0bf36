//! The command line. Scripts depend on these names.

#[cfg(feature = "coordinator")]
mod authority;
mod calibrate;
mod chat;
mod choice;
mod classify;
mod config;
#[cfg(feature = "coordinator")]
mod coordinator;
#[cfg(feature = "coordinator")]
mod data;
mod decoding;
mod device;
#[cfg(all(test, feature = "coordinator"))]
#[allow(clippy::unwrap_used, reason = "tests; the lint knows those behind a plain `cfg(test)` alone")]
mod document;
mod enrol;
mod eval;
mod given;
#[cfg(feature = "coordinator")]
mod handing;
mod infer;
mod log;
mod lookalike;
#[cfg(feature = "coordinator")]
mod mcq;
mod named;
mod personal;
mod preference;
mod profile;
mod recipe;
mod record;
mod report;
mod serve;
#[cfg(feature = "coordinator")]
mod simulate;
mod wording;

#[cfg(feature = "coordinator")]
pub use authority::*;
pub use calibrate::CalibrateArgs;
pub use chat::ChatArgs;
pub use classify::ClassifyArgs;
#[cfg(feature = "coordinator")]
pub use coordinator::*;
#[cfg(feature = "coordinator")]
pub use data::*;
pub use decoding::DecodingArgs;
pub use device::*;
pub use enrol::EnrolArgs;
pub use eval::EvalArgs;
#[cfg(feature = "coordinator")]
pub use handing::HandingArgs;
pub use infer::InferArgs;
pub use log::LogArgs;
pub use lookalike::{Anchor, ItemArgs, LookalikeArgs};
#[cfg(feature = "coordinator")]
pub use mcq::*;
pub use named::NamedFile;
pub use personal::*;
pub use preference::PreferenceArgs;
pub use profile::ProfileArgs;
pub use record::RecordArgs;
pub use report::{Between, DiffArgs, ReportArgs};
pub use serve::ServeArgs;
#[cfg(feature = "coordinator")]
pub use simulate::*;
pub use wording::wording;

use choice::choice;
use clap::builder::ArgPredicate;
use clap::{Args, CommandFactory, FromArgMatches, Parser, Subcommand};
use given::Given;
use sprig_budget::Size;
use sprig_engine::adapter::Kind;
use sprig_learn::data::Task;
use sprig_learn::directions::{Family, Sharing};
use sprig_learn::objective::LabelLoss;
use sprig_learn::optimiser::{Decay, Optimiser};
use sprig_learn::recipe::defaults::{self, SINGLE};
use sprig_learn::recipe::{
    Batch, Epochs, Fraction, HeldBack, Layers, Len, NotNegative, Patience, Positive, Rank, Steps, Tangents,
    Targets, Way,
};
use sprig_learn::workload::Residency;
use std::path::PathBuf;

/// Finetune quantised language models on small boards, inside a memory budget.
#[derive(Debug, Parser)]
#[command(version, propagate_version = true)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,
}

impl Cli {
    /// As this process was called.
    pub fn read() -> Result<Self, clap::Error> {
        // A number below 0 is refused by its limit, not as an unknown flag.
        let mut command = Self::command().mut_subcommands(|command| command.allow_negative_numbers(true));
        // Objectives over pairs have pairs for records unless told otherwise.
        command = command.mut_subcommand("train", |train| {
            let pair = Some(Task::Pair.name());
            // What comes later counts: a wrapper or a file may say what is usual.
            train.args_override_self(true).mut_arg("task", |task| {
                task.required(false).required_unless_present("objective").default_value_if(
                    "objective",
                    ArgPredicate::IsPresent,
                    pair,
                )
            })
        });
        let words = config::with_config(&mut command, std::env::args_os().collect())?;
        let matches = command.try_get_matches_from_mut(words)?;
        let mut cli = Self::from_arg_matches(&matches).map_err(|error| error.format(&mut command))?;
        let given = matches.subcommand().map(|(_, matches)| Given::of(matches)).unwrap_or_default();
        match &mut cli.command {
            Command::Plan(args) => args.shape.given = given,
            Command::Train(args) => args.shape.given = given,
            Command::Lookalike(args) => args.shape.given = given,
            _ => {}
        }
        Ok(cli)
    }
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Show what a training run would hold in memory, before anything is loaded
    Plan(PlanArgs),
    /// Train an adapter on your records
    Train(Box<TrainArgs>),
    /// Measure loss and accuracy on records
    Eval(EvalArgs),
    /// Measure how sure a model is of its labels or choices, and whether rightly
    Calibrate(CalibrateArgs),
    /// Say which label texts have, by an adapter that is asked what it was trained to answer
    Classify(ClassifyArgs),
    /// Continue a prompt
    Infer(InferArgs),
    /// Talk with a model in the terminal
    Chat(ChatArgs),
    /// Learn wrong answers that follow from errors, from the model's own inconsistencies, on questions of known truth
    Lookalike(Box<LookalikeArgs>),
    /// Derive a device's own state beside an adapter that all share, from its own data
    Personalise(Box<PersonaliseArgs>),
    /// Answer questions: over HTTP on this machine, over a socket, and through a fleet's broker
    Serve(Box<ServeArgs>),
    /// Take an adapter to other programs: in the weights of its model, or as Python's peft reads it
    #[cfg(feature = "coordinator")]
    Export(HandingArgs),
    /// Measure what a board holds and how fast it is, at one setting of a training or over a grid of them
    Profile(ProfileArgs),
    /// Turn the record of a run or a profile into one HTML page, or compare two of them
    Report(ReportArgs),
    /// Show which board this is and what it can hold
    Device(DeviceArgs),
    /// Look whether this board can take part in its fleet; an agent that is connected loses its session for a moment
    Doctor(DoctorArgs),
    /// Take part in a fleet's training as one of its devices
    Agent(AgentArgs),
    /// Make this device's own key and ask a fleet's authority to certify it
    Enrol(EnrolArgs),
    /// Run a fleet's training
    #[cfg(feature = "coordinator")]
    Coordinate(CoordinateArgs),
    /// Look at a fleet's training, pause it, or take an adapter out of it
    #[cfg(feature = "coordinator")]
    Fleet(FleetArgs),
    /// Simulate a fleet: devices that learn on one shared model, or thousands of light ones to load a coordinator
    #[cfg(feature = "coordinator")]
    Simulate(Box<SimulateArgs>),
    /// Look at data before anything is learnt from them
    #[cfg(feature = "coordinator")]
    Data(DataArgs),
    /// Make questions whose wrong answers are known
    #[cfg(feature = "coordinator")]
    Mcq(McqArgs),
    /// Run a small broker, to try a fleet on one machine
    #[cfg(feature = "coordinator")]
    Broker(BrokerArgs),
    #[cfg(feature = "coordinator")]
    /// Make certificates, broker settings and configurations for a fleet
    Provision(ProvisionArgs),
}

/// Which model, and how much of the machine.
#[derive(Clone, Debug, Args)]
pub struct ModelArgs {
    /// Model file (GGUF, Llama family)
    #[arg(long, value_name = "FILE")]
    pub model: PathBuf,
    /// Most bytes the whole process may hold: 300MiB, 1GB, 80% (of the memory at hand) [default: the board's share of
    /// its memory, as `sprig device` shows it]
    #[arg(long, value_name = "SIZE")]
    pub budget: Option<Size>,
    /// Where the weights are between their uses: resident = in memory, streamed = in the file, from which one layer
    /// at a time is mapped, used and released; auto = in memory if the budget allows it
    #[arg(long, value_parser = choice::<Residency>(), default_value_t = Residency::Auto)]
    pub weights: Residency,
    /// Threads [default: all cores]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=64))]
    pub threads: Option<u16>,
    /// Print JSON instead of text
    #[arg(long)]
    pub json: bool,
}

/// The shape of a training step.
#[derive(Clone, Debug, Args)]
pub struct ShapeArgs {
    /// Examples of an optimiser step
    #[arg(long, value_name = "B", default_value_t = defaults::BATCH)]
    pub batch: Batch,
    /// Most tokens of an example
    #[arg(long, value_name = "T", default_value_t = defaults::LEN)]
    pub len: Len,
    /// How an adapter is learnt: auto = as the task and the budget allow best, of what follows; readout = labels and choices
    /// in closed form, from one plain pass; reverse = by exact gradients, from a pass backwards that keeps the inputs of the
    /// adapted blocks; forward = by gradients estimated from derivatives along directions, which travel with the values;
    /// mezo, baffle, fwdllm = from differences along directions as published, to compare with
    #[arg(long, value_parser = choice::<Way>(), default_value_t = Way::Auto)]
    pub estimator: Way,
    /// Directions (K) of each example, or of each batch with --directions shared [default: 1, and 4
    /// for forward where answers are learnt; 10 for baffle and fwdllm]
    #[arg(long, value_name = "K")]
    pub tangents: Option<Tangents>,
    /// What of the low-rank update trains: lora-xs = an r x r core between principal factors of the weight,
    /// lora = both factors, b-only = B alone, lora-xs-seeded = the core between drawn orthonormal factors [default: lora for reverse, lora-xs otherwise]
    #[arg(long, value_parser = choice::<Kind>())]
    pub adapter_kind: Option<Kind>,
    /// Rank of the adapter [default: 8; 4 for lora-xs of task lm]
    #[arg(long, value_name = "R")]
    pub rank: Option<Rank>,
    /// The update is scaled by alpha / rank [default: the rank]
    #[arg(long, value_name = "A")]
    pub alpha: Option<Positive>,
    /// Adapted linears: q,v or any of q,k,v,o,gate,up,down, or all [default: q,v, and o
    /// where answers are learnt]
    #[arg(long, value_name = "LIST")]
    pub targets: Option<Targets>,
    /// Adapted blocks, FROM..TO, TO not included [default: the top quarter for lora-xs and for reverse, all
    /// otherwise]
    #[arg(long, value_name = "FROM..TO")]
    pub layers: Option<Layers>,
    /// Share of the adapters' inputs that training leaves out, drawn anew for each step, example and token
    #[arg(long, value_name = "P", default_value_t = defaults::DROPOUT)]
    pub dropout: Fraction,
    /// Optimiser
    #[arg(long, value_parser = choice::<Optimiser>(), default_value_t = defaults::OPTIMISER)]
    pub optimizer: Optimiser,
    /// What the loss of labels and choices counts: full = the answer among all tokens, so that the model answers with a
    /// label by itself; labels = among the labels alone, which spares the walk through the vocabulary [default: labels where
    /// gradients are estimated along directions, full otherwise]
    #[arg(long, value_parser = choice::<LabelLoss>())]
    pub label_loss: Option<LabelLoss>,
    #[command(flatten)]
    pub preference: PreferenceArgs,
    /// Which of a training's flags were given
    #[arg(skip)]
    pub given: Given,
}

#[derive(Debug, Args)]
pub struct PlanArgs {
    #[command(flatten)]
    pub model: ModelArgs,
    #[command(flatten)]
    pub shape: ShapeArgs,
    /// What is learnt: lm and pair need all logits of all rows, label and choice only a few
    #[arg(long, value_parser = choice::<Task>(), default_value_t = Task::Lm)]
    pub task: Task,
    /// Optimiser steps, if `train` is to be told how many: then it keeps no best adapter so far
    #[arg(long, value_name = "N")]
    pub steps: Option<Steps>,
    /// Training data (JSONL), for what they take and how long a run on them is [default: as many as take 1 MiB]
    #[arg(long, value_name = "FILE")]
    pub data: Option<PathBuf>,
    /// Plan for this board, wherever one is: its budget and its cores (`sprig device --board NAME` describes it)
    #[arg(long, value_name = "NAME")]
    pub board: Option<String>,
}

#[derive(Clone, Debug, Args)]
pub struct TrainArgs {
    #[command(flatten)]
    pub model: ModelArgs,
    #[command(flatten)]
    pub shape: ShapeArgs,
    #[command(flatten)]
    pub records: RecordArgs,
    /// Settings of the run (TOML): keys are the names of these flags, paths relative to its folder; flags win over it
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Training data: files or folders of records, as JSONL, a JSON array, CSV or TSV with a header, packed with gzip or not
    #[arg(long, value_name = "FILE", required = true, num_args = 1..)]
    pub data: Vec<PathBuf>,
    /// Held-out data, evaluated before and after
    #[arg(long, value_name = "FILE", num_args = 1..)]
    pub eval_data: Vec<PathBuf>,
    /// Share of --data that is held out instead: drawn by --seed and by what records say, whatever their order; the same records
    /// stay on one side
    #[arg(long, value_name = "P%", value_parser = parse_share, conflicts_with = "eval_data")]
    pub split: Option<f64>,
    /// Optimiser steps [default: as many as visit every example once, at least 300 and at most 3000]
    #[arg(long, value_name = "N", conflicts_with = "epochs")]
    pub steps: Option<Steps>,
    /// Visits to every example, instead of a number of steps
    #[arg(long, value_name = "N")]
    pub epochs: Option<Epochs>,
    /// Examples of --data that are not learnt from but judge the run on its way, so many or a share; the adapter that is
    /// best by them is written [default: 10%, at most 100; none of fewer than 50 examples, and none with --steps]
    #[arg(long, value_name = "N|P%|none")]
    pub held_back: Option<HeldBack>,
    /// Steps from one judgement of the run on its way to the next: by --eval-data, unless --held-back is given; the adapter
    /// that is best by them is written, so that what --eval-data say of it is a little too good [default: some twenty
    /// judgements by what is held back, at a tenth of the run's time]
    #[arg(long, value_name = "N")]
    pub eval_every: Option<Steps>,
    /// Judgements in a row that find nothing better until the run ends
    #[arg(long, value_name = "N", default_value_t = defaults::PATIENCE)]
    pub patience: Patience,
    /// Who shares a direction [default: per-example; shared for estimators by differences, which have no other]
    #[arg(long, value_parser = choice::<Sharing>())]
    pub directions: Option<Sharing>,
    /// Distribution of directions [default: rademacher for one tangent, walsh for more; gaussian for estimators by
    /// differences]
    #[arg(long, value_parser = choice::<Family>())]
    pub family: Option<Family>,
    /// How far estimators by differences move the weights [default: mezo 0.001, baffle 0.0001, fwdllm 0.01]
    #[arg(long, value_name = "H")]
    pub difference_step: Option<Positive>,
    /// Drop batches whose estimates vary more than that (fwdllm); its authors have 5 to 100, by data set [default: none]
    #[arg(long, value_name = "X")]
    pub variance_limit: Option<Positive>,
    /// Highest learning rate [default: 0.02; 0.05 for forward gradients of answers with lora-xs; 0.003
    /// for exact gradients of lora and b-only; a tenth of these with --from]
    #[arg(long, value_name = "X")]
    pub lr: Option<NotNegative>,
    /// Steps of linear warm-up
    #[arg(long, value_name = "N", default_value_t = defaults::WARMUP)]
    pub warmup: u64,
    /// How the learning rate falls after warm-up
    #[arg(long, value_parser = choice::<Decay>(), default_value_t = defaults::DECAY)]
    pub decay: Decay,
    /// Momentum (sgd)
    #[arg(long, value_name = "M", default_value_t = SINGLE.momentum)]
    pub momentum: NotNegative,
    /// Weight decay (adamw)
    #[arg(long, value_name = "X", default_value_t = defaults::ADAMW.decay)]
    pub weight_decay: NotNegative,
    /// Seed of directions, start values and data order
    #[arg(long, value_name = "S", default_value_t = 0)]
    pub seed: u64,
    /// Adapter to write (GGUF LoRA); its checkpoint lies beside it
    #[arg(long, value_name = "FILE", default_value = "adapter.gguf")]
    pub out: PathBuf,
    /// Adapter to go on from (GGUF LoRA, that of a read-out too): all its layers train on, of the ranks they have, and those
    /// of --targets and --layers that it lacks begin beside them
    #[arg(long, value_name = "FILE")]
    pub from: Option<PathBuf>,
    /// Sums of an earlier read-out, OUT.sums, to learn from its examples and those of --data together (readout)
    #[arg(long, value_name = "FILE")]
    pub add_to: Option<PathBuf>,
    /// Record of the run, for `sprig report` [default: OUT.run.json]
    #[arg(long, value_name = "FILE")]
    pub run: Option<PathBuf>,
    /// Go on from the checkpoint beside --out, if there is one
    #[arg(long)]
    pub resume: bool,
    /// Steps between checkpoints; 0 for none but on Ctrl-C
    #[arg(long, value_name = "N", default_value_t = 100)]
    pub checkpoint_every: u64,
    /// Most bytes on disk, beside --out until the run is complete, for the activations below the adapted blocks; 0 to
    /// compute them anew each time
    #[arg(long, value_name = "SIZE", default_value = "512MiB")]
    pub prefix_cache: Size,
    /// Most bytes of heap; past it the run ends with a checkpoint, and a little later the kernel refuses more
    /// [default: what the budget leaves beside the weights]
    #[arg(long, value_name = "SIZE")]
    pub heap_limit: Option<Size>,
    /// Go on as planned when other processes need memory, instead of holding less until they are done
    #[arg(long)]
    pub ignore_pressure: bool,
    /// Why the estimator is the one it is; known once it was decided
    #[arg(skip)]
    pub why: String,
}

/// A share that leaves something on both sides: 10%, or 0.1.
fn parse_share(text: &str) -> Result<f64, String> {
    let number = |text: &str| text.trim().parse::<f64>().ok();
    let share = match text.strip_suffix('%') {
        Some(percent) => number(percent).map(|percent| percent / 100.0),
        None => number(text),
    };
    share
        .filter(|share| *share > 0.0 && *share < 1.0)
        .ok_or_else(|| format!("`{text}` is no share between 0 and all, as 10% is"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The commands below `command` that have none below them.
    fn leaves(command: &clap::Command) -> Vec<&clap::Command> {
        match command.get_subcommands().collect::<Vec<_>>()[..] {
            [] => vec![command],
            ref below => below.iter().flat_map(|c| leaves(c)).collect(),
        }
    }

    #[test]
    fn every_command_takes_json() {
        let cli = Cli::command();
        let leaves = leaves(&cli);
        assert!(leaves.len() >= 7, "{leaves:?}");
        let without: Vec<_> =
            leaves.iter().filter(|c| c.get_arguments().all(|a| a.get_long() != Some("json"))).collect();
        assert!(without.is_empty(), "{:?}", without.iter().map(|c| c.get_name()).collect::<Vec<_>>());
    }
}

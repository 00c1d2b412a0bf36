//! The command line. Scripts depend on these names.

#[cfg(feature = "coordinator")]
mod authority;
mod calibrate;
mod chat;
mod choice;
mod classify;
#[cfg(feature = "coordinator")]
mod completions;
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
#[cfg(all(test, feature = "coordinator"))]
#[allow(clippy::unwrap_used, reason = "tests; the lint knows those behind a plain `cfg(test)` alone")]
mod documented;
mod enrol;
mod eval;
mod given;
#[cfg(feature = "coordinator")]
mod handing;
mod help;
mod infer;
mod inspect;
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
mod train;
mod wording;

#[cfg(feature = "coordinator")]
pub use authority::*;
pub use calibrate::CalibrateArgs;
pub use chat::ChatArgs;
pub use classify::ClassifyArgs;
#[cfg(feature = "coordinator")]
pub use completions::CompletionsArgs;
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
pub use help::helped;
pub use infer::InferArgs;
pub use inspect::*;
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
pub use train::TrainArgs;
pub use wording::wording;

use choice::choice;
use clap::builder::ArgPredicate;
use clap::{Args, CommandFactory, FromArgMatches, Parser, Subcommand};
use given::Given;
use sprig_budget::Size;
use sprig_engine::adapter::Kind;
use sprig_learn::data::Task;
use sprig_learn::objective::LabelLoss;
use sprig_learn::optimiser::Optimiser;
use sprig_learn::recipe::defaults;
use sprig_learn::recipe::{Batch, Fraction, Layers, Len, Positive, Rank, Steps, Tangents, Targets, Way};
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
        // A number below 0 is refused by its limit, not as an unknown flag. What comes later counts: a wrapper or a file may
        // say what is usual.
        let usual = |command: clap::Command| command.allow_negative_numbers(true).args_override_self(true);
        let mut command = helped(Self::command()).mut_subcommands(usual);
        // Objectives over pairs have pairs for records unless told otherwise.
        command = command.mut_subcommand("train", |train| {
            let pair = Some(Task::Pair.name());
            train.mut_arg("task", |task| {
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
    /// Show what a training would hold in memory, before it is begun
    Plan(PlanArgs),
    /// Train an adapter on your records
    Train(Box<TrainArgs>),
    /// Measure loss and accuracy on records
    Eval(EvalArgs),
    /// Measure how sure a model is of its answers, and whether rightly
    Calibrate(CalibrateArgs),
    /// Say which label texts have, by an adapter that learnt it
    Classify(ClassifyArgs),
    /// Continue a prompt
    Infer(InferArgs),
    /// Talk with a model in the terminal
    Chat(ChatArgs),
    /// Learn which wrong answers follow from errors (LookAlike)
    Lookalike(Box<LookalikeArgs>),
    /// Derive a device's own state beside an adapter that all share
    Personalise(Box<PersonaliseArgs>),
    /// Answer questions over HTTP, a socket or a fleet's broker
    Serve(Box<ServeArgs>),
    /// Take an adapter to other programs: merged, or as peft reads it
    #[cfg(feature = "coordinator")]
    Export(HandingArgs),
    /// Measure what this board holds and how fast it trains
    Profile(ProfileArgs),
    /// Make a page of a run or a profile, or compare two of them
    Report(ReportArgs),
    /// Look at a model file before anything is learnt with it
    Model(InspectingArgs),
    /// Show which board this is and what it can hold
    Device(DeviceArgs),
    /// Look whether this board can take part in its fleet
    Doctor(DoctorArgs),
    /// Take part in a fleet's training as one of its devices
    Agent(AgentArgs),
    /// Make this device's key, for a fleet's authority to certify
    Enrol(EnrolArgs),
    /// Run a fleet's training
    #[cfg(feature = "coordinator")]
    Coordinate(CoordinateArgs),
    /// Look at a fleet's training, pause it, or export its adapter
    #[cfg(feature = "coordinator")]
    Fleet(FleetArgs),
    /// Simulate a fleet: devices that learn, or thousands of light ones
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
    /// Make certificates, broker settings and configurations of a fleet
    #[cfg(feature = "coordinator")]
    Provision(ProvisionArgs),
    /// Print what completes these commands in a shell
    #[cfg(feature = "coordinator")]
    Completions(CompletionsArgs),
}

/// Which model, and how much of the machine.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Model and memory")]
pub struct ModelArgs {
    /// Model file (GGUF)
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
    #[arg(long, help_heading = None::<&'static str>)]
    pub json: bool,
}

/// The shape of a training step.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "What learns, and how")]
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
    /// Training data, for what they take and how long a run on them is [default: as many as take 1 MiB]
    #[arg(long, value_name = "FILE", num_args = 1..)]
    pub data: Vec<PathBuf>,
    /// Plan for this board, wherever one is: its budget and its cores (`sprig device --board NAME` describes it)
    #[arg(long, value_name = "NAME")]
    pub board: Option<String>,
    /// List every region, however small
    #[arg(long)]
    pub verbose: bool,
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

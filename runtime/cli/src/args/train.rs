//! The command line of `sprig train`.

use super::choice::choice;
use super::{ModelArgs, RecordArgs, ShapeArgs};
use clap::Args;
use sprig_budget::Size;
use sprig_learn::directions::{Family, Sharing};
use sprig_learn::optimiser::Decay;
use sprig_learn::recipe::defaults::{self, SINGLE};
use sprig_learn::recipe::{Epochs, HeldBack, NotNegative, Patience, Positive, Steps};
use std::path::PathBuf;

#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "The run")]
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
    #[arg(long, visible_alias = "init-adapter", value_name = "FILE")]
    pub from: Option<PathBuf>,
    /// Sums of an earlier read-out, OUT.sums, to learn from its examples and those of --data together (readout)
    #[arg(long, value_name = "FILE")]
    pub add_to: Option<PathBuf>,
    /// Record of the run, for `sprig report` [default: OUT.run.json]
    #[arg(long, value_name = "FILE")]
    pub run: Option<PathBuf>,
    /// Go on from the checkpoint beside --out; without one begin, unless --out is there already
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

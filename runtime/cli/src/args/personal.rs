//! The command line of `sprig personalise`.

use super::{ModelArgs, RecordArgs, choice::choice};
use clap::Args;
use sprig_engine::adapter::{Form, Sees};
use sprig_learn::recipe::defaults;
use sprig_learn::recipe::{Batch, Len, NotNegative, Positive, Whole};
use std::path::PathBuf;

#[derive(Debug, Args)]
pub struct PersonaliseArgs {
    #[command(flatten)]
    pub model: ModelArgs,
    #[command(flatten)]
    pub records: RecordArgs,
    /// Adapter that all devices share (GGUF LoRA)
    #[arg(long, value_name = "FILE")]
    pub adapter: PathBuf,
    /// The device's own data: files or folders of records
    #[arg(long, value_name = "FILE", required = true, num_args = 1..)]
    pub data: Vec<PathBuf>,
    /// Held-out data, to say how well the device is served before and after
    #[arg(long, value_name = "FILE", num_args = 1..)]
    pub eval_data: Vec<PathBuf>,
    /// How its own state is derived: readout = in closed form beside an adapter that is a read-out of labels, from one pass;
    /// flow = by steps, beside any [default: readout where that can be]
    #[arg(long, value_parser = choice::<Form>())]
    pub form: Option<Form>,
    /// What routers look at: the input of their block, the text's embeddings (one for all blocks), or nothing (flow)
    /// [default: what the fleet's do, which are gone on from; else text]
    #[arg(long, value_parser = choice::<Sees>())]
    pub sees: Option<Sees>,
    /// Epochs of the local adapter over one half of the data (flow)
    #[arg(long, value_name = "N", default_value_t = Whole::of::<3>())]
    pub local_epochs: Whole<1, 1000>,
    /// Epochs of the routers over the other half (flow)
    #[arg(long, value_name = "N", default_value_t = Whole::of::<3>())]
    pub shared_epochs: Whole<1, 1000>,
    /// Learning rate of the local adapter (flow)
    #[arg(long, value_name = "X", default_value_t = Positive::of(0.003))]
    pub lr: Positive,
    /// Weight of the regulariser that holds routers to the shared adapter (flow)
    #[arg(long, value_name = "X", default_value_t = NotNegative::of(0.001))]
    pub gamma: NotNegative,
    /// Examples of a step, or of a pass
    #[arg(long, value_name = "B", default_value_t = defaults::BATCH)]
    pub batch: Batch,
    /// Most tokens of an example
    #[arg(long, value_name = "T", default_value_t = defaults::LEN)]
    pub len: Len,
    /// Seed of the halves and of the order of the data
    #[arg(long, value_name = "S", default_value_t = 0)]
    pub seed: u64,
    /// Personal state to write; one that is there already and of the same adapter and data is kept as it is
    #[arg(long, value_name = "FILE", default_value = "personal.sprig")]
    pub out: PathBuf,
}

/// With which personal state something is answered.
#[derive(Clone, Debug, Default, Args)]
pub struct PersonalArgs {
    /// A device's own state, as `sprig personalise` wrote it, instead of an adapter
    #[arg(long, value_name = "FILE", conflicts_with = "adapter")]
    pub personal: Option<PathBuf>,
    /// In each block the shared adapter or the device's own alone, whichever has the larger share
    #[arg(long, requires = "personal")]
    pub hard: bool,
    /// Show the shared adapter's share in each block
    #[arg(long, requires = "personal")]
    pub explain: bool,
}

//! Whole algorithms by their names.

use sprig_ground::names;

/// A whole algorithm. Keys beside it in the file replace single values of it; all others are as it says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Preset {
    /// The paper's, with the constants of its authors' library where the paper gives none (algorithm.md 3 and 4). What an epoch
    /// is depends on the data: `local_steps` says it.
    Paper,
    /// The paper's, unsplit: every device holds all groups.
    FedFgd,
    /// MeZO on the devices with plain gradient descent, unsplit, FedYogi at the server.
    FedMezo,
    /// BAFFLE+ the same way.
    Baffle,
    /// FwdLLM+ the same way.
    FwdLlm,
    /// Federated averaging: exact gradients, AdamW on the devices, all groups at each, the mean of their weights.
    FedAvg,
    /// The same with FedYogi at the server.
    FedYogi,
    /// Federated averaging of the paper's split: each device has its own groups.
    FedAvgSplit,
    /// The same with FedYogi at the server.
    FedYogiSplit,
    /// One exact gradient a device and round, and one step along their mean.
    FedSgd,
}

names!(
    Preset,
    "preset",
    [
        Paper = "paper",
        FedFgd = "fedfgd",
        FedMezo = "fedmezo",
        Baffle = "baffle",
        FwdLlm = "fwdllm",
        FedAvg = "fedavg",
        FedYogi = "fedyogi",
        FedAvgSplit = "fedavg-split",
        FedYogiSplit = "fedyogi-split",
        FedSgd = "fedsgd"
    ]
);

//! What is compared.

use sprig_engine::adapter::{Policy, Sees};
use sprig_ground::names;

/// A way to serve devices.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Control {
    /// Flow: each block of each text has a share of its own.
    Flow,
    /// One share a text, by its embeddings.
    WholeModel,
    /// One share a block, whatever the text.
    BiasOnly,
    /// Flow's training with a share of 1 for the global adapter: averaging over the second halves.
    Fixed100,
    /// With 3/4.
    Fixed75,
    /// With 1/2.
    Fixed50,
    /// With 1/4.
    Fixed25,
    /// With none: the local adapter alone, and a global one that learns nothing.
    Fixed0,
    /// The second adapter is averaged over the devices too, and nothing is personal but the router.
    TwoGlobal,
    /// Averaging over all data (FedAvg); everybody is served by the same adapter.
    FedAvg,
    /// The same, and each device goes on from there by itself.
    FedAvgFt,
    /// No server: each device by itself.
    Local,
    /// A mixture of the server's adapter and one that each device keeps (APFL).
    Apfl,
    /// An adapter that each device keeps, drawn to the server's (Ditto).
    Ditto,
    /// Flow in closed form: the read-out of all devices' sums, and each device's own beside it.
    ReadOut,
}

names!(
    Control,
    "control",
    [
        Flow = "flow",
        WholeModel = "whole-model",
        BiasOnly = "bias-only",
        Fixed100 = "fixed-1",
        Fixed75 = "fixed-0.75",
        Fixed50 = "fixed-0.5",
        Fixed25 = "fixed-0.25",
        Fixed0 = "fixed-0",
        TwoGlobal = "two-global",
        FedAvg = "fedavg",
        FedAvgFt = "fedavg-ft",
        Local = "local",
        Apfl = "apfl",
        Ditto = "ditto",
        ReadOut = "readout",
    ]
);

/// Share of the device's own adapter in APFL's mixture, α.
const APFL: f32 = 0.25;

impl Control {
    /// What its routers look at, where `usual` is what Flow's do.
    pub(super) fn sees(self, usual: Sees) -> Sees {
        match self {
            Self::Flow | Self::TwoGlobal => usual,
            Self::WholeModel => Sees::Text,
            _ => Sees::Nothing,
        }
    }

    /// Which adapter serves a device.
    pub(super) fn serves(self) -> Policy {
        match self {
            Self::Flow | Self::WholeModel | Self::BiasOnly | Self::TwoGlobal | Self::ReadOut => Policy::Soft,
            Self::Fixed100 | Self::FedAvg => Policy::Global,
            Self::Fixed75 => Policy::Fixed(0.75),
            Self::Fixed50 => Policy::Fixed(0.5),
            Self::Fixed25 => Policy::Fixed(0.25),
            Self::Fixed0 | Self::FedAvgFt | Self::Local | Self::Ditto => Policy::Local,
            Self::Apfl => Policy::Fixed(1.0 - APFL),
        }
    }

    /// Whether its routers learn.
    pub(super) fn routes(self) -> bool {
        self.serves() == Policy::Soft
    }
}

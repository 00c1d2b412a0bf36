//! What a fleet puts together: an adapter, a step a round, or the sums of a read-out, more of them a round.

use crate::options::Options;
use sprig_learn::LearnError;
use sprig_learn::estimator::AnyEstimator;
use sprig_learn::readout::fleet::FleetSums;
use sprig_learn::spry::{Layout, Server};
use sprig_transport::messages::Digest;

/// The state of the fleet.
#[derive(Debug)]
pub(super) enum Whole {
    /// An adapter, and how rounds are applied to it.
    Adapter(Box<Server>),
    /// Sums so far.
    Sums(Box<FleetSums>),
}

impl Whole {
    /// Before the first round.
    pub(super) fn new(options: &Options, layout: Layout, initial: Vec<f32>) -> Result<Self, LearnError> {
        Ok(match &options.readout {
            None => Self::Adapter(Box::new(Server::new(layout, options.rules, initial)?)),
            Some(readout) => Self::Sums(Box::new(FleetSums::new(readout.shape))),
        })
    }

    /// Goes on from a snapshot's values and moments.
    pub(super) fn restore(&mut self, values: Vec<f32>, moments: Vec<f32>) -> Result<(), LearnError> {
        match self {
            Self::Adapter(server) => server.restore(values, moments),
            Self::Sums(sums) => {
                let found = FleetSums::from_values(sums.shape(), &values);
                **sums = found.map_err(|flaw| LearnError::Settings(format!("a snapshot: {flaw}")))?;
                Ok(())
            }
        }
    }

    /// Whether its updates say how large their losses were: sums have none, and what has noise keeps it to itself.
    pub(super) fn tells_losses(&self) -> bool {
        match self {
            Self::Adapter(server) => !matches!(server.rules().estimator, AnyEstimator::Bounded(_)),
            Self::Sums(_) => false,
        }
    }

    /// SHA-256 of the values.
    pub(super) fn digest(&self) -> Digest {
        Digest(match self {
            Self::Adapter(server) => server.digest(),
            Self::Sums(sums) => sums.digest(),
        })
    }

    /// As it is sent and kept.
    pub(super) fn values(&self) -> Vec<f32> {
        match self {
            Self::Adapter(server) => server.values().to_vec(),
            Self::Sums(sums) => sums.values(),
        }
    }

    /// The optimiser's state; sums have none.
    pub(super) fn moments(&self) -> Vec<f32> {
        match self {
            Self::Adapter(server) => server.moments().to_vec(),
            Self::Sums(_) => Vec::new(),
        }
    }
}

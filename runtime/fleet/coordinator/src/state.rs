//! What the coordinator must still know after a restart.

use crate::aggregation::Word;
use crate::ids::{Applied, DeviceNumber, RoundId};
use crate::rows::{Best, DeviceRow, HeldOut, Member, RoundRow};
use minicbor::{Decode, Encode};
use sprig_transport::messages::{Digest, FleetTotal, RoundResult};

/// Where a round is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(index_only)]
pub(crate) enum Stage {
    /// Waits for devices.
    #[n(0)]
    Gathering,
    /// Waits for updates.
    #[n(1)]
    Collecting,
    /// Its updates are being applied; no more are taken.
    #[n(2)]
    Closing,
    /// No round is left.
    #[n(3)]
    Finished,
}

/// Where the coordinator is: written whenever it moves.
#[derive(Clone, Debug, PartialEq, Encode, Decode)]
pub(crate) struct State {
    /// Current round, from 0.
    #[n(0)]
    pub round: RoundId,
    /// Where it is.
    #[n(1)]
    pub stage: Stage,
    /// Attempts that came before this one.
    #[n(2)]
    pub attempt: u8,
    /// Whether an operator paused the fleet.
    #[n(3)]
    pub paused: bool,
    /// SHA-256 of the adapter before this round.
    #[cbor(n(4), with = "minicbor::bytes")]
    pub base: [u8; 32],
    /// Norms of updates that were applied last, at most [`Norms::MOST`](crate::norms::Norms::MOST).
    #[n(5)]
    pub norms: Vec<f32>,
    /// Adapters, by rounds applied, whose evaluation is under way.
    #[n(6)]
    pub evaluating: Vec<Applied>,
    /// Messages refused in this round when this was written.
    #[n(7)]
    pub refused: u32,
    /// The adapter that did best on held-out data, as far as rounds are held to that.
    #[n(8)]
    pub best: Option<Best>,
}

/// All that a restart begins with.
#[derive(Clone, Debug)]
pub(crate) struct Saved {
    /// Where the coordinator was.
    pub state: State,
    /// Who took part in the current round.
    pub members: Vec<Member>,
    /// All devices, ascending numbers without gaps.
    pub devices: Vec<DeviceRow>,
    /// Updates of the current round in the ledger: number and norm.
    pub accepted: Vec<(DeviceNumber, f32)>,
    /// What was said of a secure aggregation in it, stage by stage.
    pub words: Vec<Word>,
    /// The veiled values that are in.
    pub values: Vec<(DeviceNumber, Vec<u8>)>,
    /// What the own devices found in the last rounds, for other fleets.
    pub totals: Vec<FleetTotal>,
    /// What the round before gave; `None` before the first.
    pub result: Option<RoundResult>,
    /// Rows of all rounds that wait for an evaluation, or none.
    pub evaluating: Vec<RoundRow>,
    /// The adapter before the first round, evaluated.
    pub before: Option<HeldOut>,
}

impl State {
    /// Before the first round.
    pub(crate) fn fresh(base: Digest) -> Self {
        State {
            round: RoundId::FIRST,
            stage: Stage::Gathering,
            attempt: 0,
            paused: false,
            base: base.0,
            norms: Vec::new(),
            evaluating: Vec::new(),
            refused: 0,
            best: None,
        }
    }
}

impl Saved {
    /// Whose pieces are needed: of updates that are in, of veiled values, and of the total.
    pub(crate) fn needed_pieces(&self) -> Vec<DeviceNumber> {
        let accepted = self.accepted.iter().map(|(number, _)| *number);
        let veiled = self.values.iter().map(|(number, _)| *number);
        accepted.chain(veiled).chain([DeviceNumber::NOBODY]).collect()
    }

    /// Before the first round.
    pub(crate) fn fresh(base: Digest) -> Self {
        Saved {
            state: State::fresh(base),
            members: Vec::new(),
            devices: Vec::new(),
            accepted: Vec::new(),
            words: Vec::new(),
            totals: Vec::new(),
            values: Vec::new(),
            result: None,
            evaluating: Vec::new(),
            before: None,
        }
    }
}

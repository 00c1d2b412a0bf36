//! What is to be done about an event. The type says what must be durable before anything else is done.

use crate::aggregation::Word;
use crate::ids::{Applied, DeviceNumber, RoundId};
use crate::norms::Bounds;
use crate::notice::Notice;
use crate::rows::{DeviceRow, HeldOut, Member, RoundRow};
use crate::state::State;
use sprig_transport::messages::{DeviceId, Digest, FleetTotal, GroupSet, Want};

/// What is to be done: first all commits, in one transaction; then the rest, in order.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Decision {
    /// What must be durable first.
    pub commits: Vec<Entry>,
    /// What follows.
    pub then: Vec<Effect>,
}

/// What is done once the commits are durable.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Effect {
    /// Something that the coordinator does by itself, and that is an event again when it is done.
    Work(Work),
    /// Something for the world outside.
    Out(Outward),
}

/// What a coordinator does by itself, with ledger and adapter.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Work {
    /// Apply the round's updates.
    Close {
        /// The round.
        round: RoundId,
        /// What is far from the others.
        bounds: Bounds,
        /// What the devices of all fleets found that are folded.
        total: Option<FleetTotal>,
    },
    /// Put together what the round's updates come to.
    Total {
        /// The round.
        round: RoundId,
    },
    /// Take back what `round`, which is applied, made of the adapter: that after `to` rounds is what it leads to.
    Revert {
        /// The round.
        round: RoundId,
        /// Rounds applied to the adapter that comes back.
        to: Applied,
        /// Bytes that the round took, up and down.
        bytes: (u64, u64),
    },
    /// Look through a dense update whose last piece is in the ledger.
    Check {
        /// The device.
        number: DeviceNumber,
        /// SHA-256 that the update claims.
        digest: Digest,
        /// Its length.
        bytes: u32,
        /// Examples that it claims.
        examples: u32,
        /// Groups that its weights are of.
        groups: GroupSet,
    },
}

/// What leaves the coordinator's core.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Outward {
    /// Send.
    Publish {
        /// Where to.
        topic: String,
        /// The frame.
        payload: Vec<u8>,
        /// Whether the broker keeps it for those who come later.
        retain: bool,
    },
    /// Ask the broker what it keeps.
    Ask {
        /// Where: what the coordinator subscribes to.
        topic: String,
    },
    /// Evaluate the adapter that so many rounds made.
    Evaluate {
        /// Rounds applied.
        applied: Applied,
    },
    /// Send a device what it misses.
    Serve {
        /// The device.
        device: DeviceId,
        /// What it has, and asks for.
        want: Want,
    },
    /// Tell whoever watches.
    Tell(Notice),
}

/// A row of the ledger.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Entry {
    /// Where the coordinator is.
    State(State),
    /// Who takes part in the round.
    Members(Vec<Member>),
    /// A device's number and counters.
    Device(DeviceRow),
    /// An accepted update.
    Update {
        /// The round it is of.
        round: RoundId,
        /// Whose it is.
        number: DeviceNumber,
        /// Root mean square of its numbers.
        norm: f32,
        /// The bytes it came in.
        frame: Vec<u8>,
    },
    /// A piece of a dense update.
    Chunk {
        /// Whose it is.
        number: DeviceNumber,
        /// Which piece, from 0.
        n: u32,
        /// The weights in it.
        data: Vec<u8>,
    },
    /// The pieces of a dense update that was refused go.
    Discard {
        /// Whose they are.
        number: DeviceNumber,
    },
    /// What was said of a secure aggregation.
    Word(Word),
    /// All that was said goes, with the pieces of updates.
    Unsay,
    /// What the own devices found in a round, for other fleets.
    Total(FleetTotal),
    /// A device's account of a round.
    Report {
        /// Whose it is.
        number: DeviceNumber,
        /// The bytes it came in.
        frame: Vec<u8>,
    },
    /// A finished round.
    History(RoundRow),
    /// The adapter before the first round, evaluated.
    Before(HeldOut),
    /// The updates of a closed round go: its result is in the ledger.
    Forget {
        /// The round.
        round: RoundId,
    },
}

impl Decision {
    /// Nothing is left to be done.
    pub(crate) fn is_empty(&self) -> bool {
        self.commits.is_empty() && self.then.is_empty()
    }

    /// Adds what is to be done about a later event.
    pub(crate) fn append(&mut self, later: Self) {
        self.commits.extend(later.commits);
        self.then.extend(later.then);
    }

    /// Has `entry` made durable.
    pub(crate) fn commit(&mut self, entry: Entry) {
        self.commits.push(entry);
    }

    /// Sends `payload`, which the broker keeps if `retain` says so.
    pub(crate) fn publish(&mut self, topic: String, payload: Vec<u8>, retain: bool) {
        self.out(Outward::Publish { topic, payload, retain });
    }

    /// Tells whoever watches.
    pub(crate) fn tell(&mut self, notice: Notice) {
        self.out(Outward::Tell(notice));
    }

    /// Has something done in the world outside.
    pub(crate) fn out(&mut self, outward: Outward) {
        self.then.push(Effect::Out(outward));
    }

    /// Has the coordinator do something.
    pub(crate) fn work(&mut self, work: Work) {
        self.then.push(Effect::Work(work));
    }
}

//! What a coordinator leaves with the broker when a run is over, for devices that come after it has gone: the last adapter
//! with its moments, as retained pieces of the blob that the retained announcement names. And what an earlier run left there,
//! which goes when another begins.

use crate::error::CoordinatorError;
use crate::event::Event;
use crate::ledger::Ledger;
use sprig_protocol::send;
use sprig_transport::blob::{chunk_count, seal};
use sprig_transport::link::{Link, LinkError};
use sprig_transport::messages::{BlobKind, Digest, Phase, Round, RoundResult, RunId};
use sprig_transport::topics::Topics;

/// Bytes of an adapter with its moments that are left with a broker, at most: it keeps them in memory.
pub const MOST_LEFT: u32 = 1 << 20;
/// Pieces sent in one turn of the loop: 256 KiB.
const PIECES: u32 = 16;

/// What is left, and how far that is done.
#[derive(Debug)]
pub(super) struct Legacy {
    topics: Topics,
    run: RunId,
    /// The announcement that the broker had kept was looked at.
    looked: bool,
    stage: Leaving,
}

#[derive(Debug, PartialEq)]
enum Leaving {
    /// The run is not over, or its end is news.
    Nothing,
    /// The next piece to go out.
    Next(u32),
    /// All there is to do is done.
    Done,
}

impl Legacy {
    pub(crate) fn new(topics: Topics, run: RunId) -> Self {
        Self { topics, run, looked: false, stage: Leaving::Nothing }
    }

    /// Asks for the announcement that the broker keeps, and for those of others.
    ///
    /// # Errors
    /// When the link is closed.
    pub(crate) fn ask<L: Link>(&self, link: &mut L) -> Result<(), LinkError> {
        link.subscribe(&self.topics.round())
    }

    /// Whether a run that is over is left to the broker as far as it can be.
    pub(crate) fn is_done(&self) -> bool {
        self.stage == Leaving::Done
    }

    /// The broker may have forgotten what it had.
    pub(crate) fn again(&mut self) {
        self.stage = Leaving::Nothing;
    }

    /// Hears a message; the first announcement of a round among them says what an earlier run, or this one before it went
    /// on, left: that goes. `over` says that this run is over.
    ///
    /// # Errors
    /// When the link is closed.
    pub(crate) fn hear<L: Link>(
        &mut self,
        topic: &str,
        payload: &[u8],
        over: bool,
        link: &mut L,
    ) -> Result<(), LinkError> {
        if self.looked || topic != self.topics.round() {
            return Ok(());
        }
        self.looked = true;
        let Ok(round) = Round::decode(payload) else { return Ok(()) };
        let stays = over && round.run == self.run;
        match round.result {
            Some(RoundResult::Blob { digest, bytes, kind: BlobKind::Snapshot })
                if round.phase == Phase::Finished && bytes <= MOST_LEFT && !stays =>
            {
                // An empty message ends that the broker keeps one.
                (0..chunk_count(bytes))
                    .try_for_each(|n| send(link, &self.topics.blob(&digest, n), Vec::new(), true))
            }
            _ => Ok(()),
        }
    }

    /// Sends the next pieces if the run is `over`; the event that all are out, or that there is too much to leave.
    ///
    /// # Errors
    /// When the ledger fails or the link is closed.
    pub(crate) fn turn<L: Link>(
        &mut self,
        over: bool,
        ledger: &Ledger,
        link: &mut L,
    ) -> Result<Option<Event>, CoordinatorError> {
        if !over || self.is_done() {
            return Ok(None);
        }
        let row = ledger.last_snapshot()?.ok_or_else(|| ledger.damaged("it holds no adapter"))?;
        let (digest, bytes) = (Digest(row.blob), row.bytes);
        if bytes > MOST_LEFT {
            self.stage = Leaving::Done;
            return Ok(Some(Event::Left { digest, bytes, kept: false }));
        }
        let first = if let Leaving::Next(n) = self.stage { n } else { 0 };
        for n in first..chunk_count(bytes).min(first + PIECES) {
            let piece = ledger.slice(row.applied, n)?;
            let piece = piece.ok_or_else(|| ledger.damaged(format!("snapshot {} has a gap", row.applied)))?;
            match link.publish(&self.topics.blob(&digest, n), seal(&piece), true) {
                Err(LinkError::Busy { .. }) => return Ok(None),
                other => other?,
            }
            self.stage = Leaving::Next(n + 1);
        }
        match self.stage {
            Leaving::Next(n) if n < chunk_count(bytes) => Ok(None),
            _ => {
                self.stage = Leaving::Done;
                Ok(Some(Event::Left { digest, bytes, kept: true }))
            }
        }
    }
}

//! How a device reaches the coordinator's adapter: by replaying the round that was announced, a series of rounds, or by
//! taking over a snapshot. What arrives is checked against the announced digest; what leads elsewhere is thrown away and
//! a snapshot asked for.

use super::{AgentEvent, Identity, Worker};
use sprig_budget::Bytes;
use sprig_protocol::{FleetError, send};
use sprig_transport::blob::Assembler;
use sprig_transport::link::Link;
use sprig_transport::messages::{
    BlobKind, Digest, Offer, Record, Round, RoundResult, Snapshot, Want, split_records,
};
use sprig_transport::topics::Topic;
use std::time::Duration;

/// Pause before the same is asked for again.
const PATIENCE: Duration = Duration::from_secs(3);
/// Largest state or series of records that is downloaded, bytes: all that a snapshot may have. LoRA r = 8 on q, v of a 135M
/// model with two moments is 5.5 MB; the limit keeps a wrong announcement from filling memory.
pub(crate) const MAX_STATE: u32 = Snapshot::MAX as u32;

/// Memory that a state takes while it is taken over, beside the one that it replaces: its frame, and what that says.
pub(crate) fn arriving(values: usize, moments: usize) -> Bytes {
    let frame = Bytes::of::<f32>(values + moments);
    frame + frame
}

/// Where the way to the coordinator's adapter stands.
#[derive(Default)]
pub(super) struct CatchUp {
    download: Option<Download>,
    /// When something was last asked for or arrived.
    last: Option<Duration>,
    /// When something last arrived.
    heard: Option<Duration>,
    /// Replaying led elsewhere: only a snapshot helps.
    diverged: bool,
    /// Blobs whose chunks are still subscribed to and no longer wanted.
    stale: Vec<Digest>,
}

struct Download {
    digest: Digest,
    kind: BlobKind,
    parts: Assembler,
    subscribed: bool,
}

/// A way forward that has arrived whole.
pub(super) enum Steps {
    /// One round.
    Record(Box<Record>),
    /// A series of rounds, as they travelled: decoded one at a time.
    Records(Vec<u8>),
    /// A state.
    Snapshot(Box<Snapshot>),
}

impl CatchUp {
    /// When something that was asked for last arrived.
    pub(crate) fn heard(&self) -> Option<Duration> {
        self.heard
    }

    /// After a reconnect: ask at once.
    pub(crate) fn again(&mut self) {
        self.last = None;
        if let Some(download) = &mut self.download {
            download.subscribed = false;
        }
    }

    /// Takes what the announcement of a round itself offers.
    pub(crate) fn follow(
        &mut self,
        round: &Round,
        worker: &mut impl Worker,
        watch: &mut dyn FnMut(AgentEvent),
    ) -> Result<(), FleetError> {
        if reached(worker, round) {
            self.drop_download();
            self.diverged = false;
            return Ok(());
        }
        match &round.result {
            Some(RoundResult::Inline(bytes)) if worker.round() + 1 == round.round && !self.diverged => {
                match Record::decode(bytes) {
                    Ok(record) => self.apply(Steps::Record(Box::new(record)), worker, watch)?,
                    Err(e) => watch(AgentEvent::Diverged { problem: e.to_string() }),
                }
            }
            Some(RoundResult::Blob { digest, bytes, kind }) => {
                let fits =
                    *kind == BlobKind::Snapshot || (worker.round() + 1 == round.round && !self.diverged);
                if fits {
                    self.begin(*digest, *bytes, *kind, watch);
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// Asks for what is missing, unless that was done a moment ago.
    pub(crate) fn ask(
        &mut self,
        who: &Identity,
        worker: &impl Worker,
        round: Option<&Round>,
        link: &mut dyn Link,
        now: Duration,
    ) -> Result<(), FleetError> {
        let Some(round) = round else { return Ok(()) };
        for digest in self.stale.drain(..) {
            link.unsubscribe(&who.topics.chunks(&digest))?;
        }
        if reached(worker, round) {
            return Ok(());
        }
        if let Some(download) = self.download.as_mut().filter(|d| !d.subscribed) {
            link.subscribe(&who.topics.chunks(&download.digest))?;
            download.subscribed = true;
            self.last = None; // chunks are sent to who asks, and to all who ask at about the same time together
        }
        if self.last.is_some_and(|last| now < last + PATIENCE) {
            return Ok(());
        }
        self.last = Some(now);
        let resume = self.download.as_ref().map(|d| (d.digest, d.parts.first_missing()));
        let have = if self.diverged { u32::MAX } else { worker.round() };
        let want = Want { run: who.run, round: have, base: worker.digest(), resume };
        Ok(send(link, &who.topics.want(&who.device), want.encode(), false)?)
    }

    /// Takes an offer or a chunk. `Some` when that completes something; an error text when it is useless.
    pub(crate) fn take(
        &mut self,
        topic: &Option<Topic>,
        payload: &[u8],
        who: &Identity,
        watch: &mut dyn FnMut(AgentEvent),
        now: Duration,
    ) -> Result<Option<Steps>, String> {
        match topic {
            Some(Topic::Offer(_)) => {
                let offer = Offer::decode(payload).map_err(|e| e.to_string())?;
                if offer.run != who.run {
                    return Ok(None);
                }
                self.heard = Some(now);
                let Some(blob) = offer.blob else {
                    self.begin(offer.digest, offer.bytes, offer.kind, watch);
                    return Ok(None);
                };
                if Digest::of(&blob) != offer.digest {
                    return Err(format!("an offer's blob is {}, not {}", Digest::of(&blob), offer.digest));
                }
                self.drop_download();
                steps(offer.kind, blob).map(Some)
            }
            Some(Topic::Blob { digest, chunk }) => {
                let Some(download) = self.download.as_mut().filter(|d| d.digest == *digest) else {
                    return Ok(None); // late chunks of something we have
                };
                (self.last, self.heard) = (Some(now), Some(now));
                download.parts.take(*chunk, payload).map_err(|e| e.to_string())?;
                if !download.parts.is_complete() {
                    return Ok(None);
                }
                let Some(download) = self.drop_download() else { return Ok(None) };
                let bytes = download.parts.finish().map_err(|e| e.to_string())?;
                steps(download.kind, bytes).map(Some)
            }
            _ => Ok(None),
        }
    }

    /// Goes the way that arrived, as far as it leads on from where the worker is.
    pub(crate) fn apply(
        &mut self,
        steps: Steps,
        worker: &mut impl Worker,
        watch: &mut dyn FnMut(AgentEvent),
    ) -> Result<(), FleetError> {
        let (by, wanted) = match steps {
            Steps::Snapshot(snapshot) => {
                worker.restore(&snapshot)?;
                self.diverged = false;
                ("snapshot", snapshot.after)
            }
            Steps::Record(record) => ("record", replay(&record, worker)?),
            Steps::Records(bytes) => {
                let mut wanted = worker.digest();
                for frame in split_records(&bytes) {
                    let record = match frame.and_then(Record::decode) {
                        Ok(record) => record,
                        Err(e) => {
                            watch(AgentEvent::Diverged { problem: e.to_string() });
                            break;
                        }
                    };
                    wanted = replay(&record, worker)?;
                    if worker.digest() != wanted {
                        break;
                    }
                }
                ("records", wanted)
            }
        };
        if worker.digest() == wanted {
            watch(AgentEvent::Synced { round: worker.round(), digest: wanted.to_string(), by });
        } else {
            self.diverged = true;
            let problem = format!("{by} led to {} instead of {wanted}", worker.digest());
            watch(AgentEvent::Diverged { problem });
        }
        self.last = None;
        Ok(())
    }

    /// Topics of chunks that are subscribed to.
    pub(crate) fn give_up(&mut self, who: &Identity) -> Vec<String> {
        self.drop_download();
        self.stale.drain(..).map(|digest| who.topics.chunks(&digest)).collect()
    }

    fn begin(&mut self, digest: Digest, bytes: u32, kind: BlobKind, watch: &mut dyn FnMut(AgentEvent)) {
        if self.download.as_ref().is_some_and(|d| d.digest == digest) {
            return;
        }
        self.drop_download();
        match Assembler::new(digest, bytes, MAX_STATE) {
            Ok(parts) => self.download = Some(Download { digest, kind, parts, subscribed: false }),
            Err(e) => watch(AgentEvent::Diverged { problem: e.to_string() }),
        }
    }

    fn drop_download(&mut self) -> Option<Download> {
        let download = self.download.take()?;
        if download.subscribed {
            self.stale.push(download.digest);
        }
        Some(download)
    }
}

/// What a blob that is whole says.
fn steps(kind: BlobKind, bytes: Vec<u8>) -> Result<Steps, String> {
    let steps = match kind {
        BlobKind::Snapshot => Snapshot::decode(&bytes).map(|snapshot| Steps::Snapshot(Box::new(snapshot))),
        BlobKind::Record => Record::decode(&bytes).map(|record| Steps::Record(Box::new(record))),
        BlobKind::Records => return Ok(Steps::Records(bytes)),
    };
    steps.map_err(|e| e.to_string())
}

fn reached(worker: &impl Worker, round: &Round) -> bool {
    worker.round() == round.round && worker.digest() == round.base
}

/// Replays `record` if it is the next one, and returns where it should have led.
fn replay(record: &Record, worker: &mut impl Worker) -> Result<Digest, FleetError> {
    if record.round != worker.round() || record.base != worker.digest() {
        return Ok(worker.digest()); // known already, or not ours to apply
    }
    worker.replay(record)?;
    Ok(record.after)
}

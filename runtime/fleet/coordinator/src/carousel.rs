//! Blobs on their way to devices. Devices that want the same blob share one sending of it: a carousel goes on until each
//! of them has had every chunk pass by once since it asked. Where devices act on their tasks alone, a small blob is brought to
//! each of them with its offer: what it would take a device to listen for chunks is more than its update.

use crate::countdown::Millis;
use crate::error::CoordinatorError;
use crate::ids::{Applied, RoundId};
use crate::ledger::{Ledger, LedgerError};
use crate::repeats::Repeats;
use sprig_protocol::send;
use sprig_transport::blob::{CHUNK, chunk_count, seal};
use sprig_transport::link::{Link, LinkError};
use sprig_transport::messages::{
    BlobKind, DeviceId, Digest, MAX_BROUGHT, Offer, Record, RoundResult, RunId, Want, join_records,
};
use sprig_transport::topics::Topics;
use std::collections::VecDeque;
use std::ops::Range;

/// Blobs on their way at a time; who wants another asks again later.
const BLOBS: usize = 4;
/// Chunks sent in one turn of the loop, so that updates and deadlines are not kept waiting: 256 KiB.
const CHUNKS: usize = 16;
/// Bytes that wait in the link while chunks go out, at most, a chunk more or less: tasks and receipts wait behind no more than
/// those, 0.4 s at 150 kB/s.
const WINDOW: usize = 64 << 10;
/// Devices that wait for a blob to be brought, at most, 100 bytes each; who is one too many asks again.
const WAITING: usize = 4096;

#[derive(Debug)]
pub(super) struct Carousel {
    topics: Topics,
    run: RunId,
    blobs: Vec<Blob>,
    /// Which blob's turn it is.
    next: usize,
    repeats: Repeats,
    /// Whether small blobs are brought to each device.
    brings: bool,
    /// Whom to, once the link has room.
    waiting: VecDeque<(DeviceId, Want)>,
}

#[derive(Debug)]
struct Blob {
    digest: Digest,
    chunks: u32,
    source: Source,
    /// Next chunk, and chunks still to send, going round.
    at: u32,
    left: u32,
}

/// Where a blob's bytes are.
#[derive(Debug)]
enum Source {
    Memory(Vec<u8>),
    /// The snapshot after so many rounds.
    Snapshot(Applied),
}

/// What a device is sent: what it is, from which round to which, and its length.
struct Parcel {
    kind: BlobKind,
    rounds: Range<RoundId>,
    digest: Digest,
    bytes: u32,
    source: Source,
}

impl Carousel {
    pub(crate) fn new(topics: Topics, run: RunId, brings: bool) -> Self {
        let (repeats, waiting) = Default::default();
        Carousel { topics, run, blobs: Vec::new(), next: 0, repeats, brings, waiting }
    }

    pub(crate) fn is_turning(&self) -> bool {
        !self.blobs.is_empty() || !self.waiting.is_empty()
    }

    /// Starts sending a device what it misses.
    pub(crate) fn serve<L: Link>(
        &mut self,
        ledger: &Ledger,
        link: &mut L,
        (device, want): (&DeviceId, &Want),
        now: Millis,
    ) -> Result<(), CoordinatorError> {
        if let Some((digest, chunk)) = want.resume {
            let mut allow = |chunks| chunk > 0 || self.repeats.allow(device, (digest, chunks), now);
            if let Some(blob) = self.blobs.iter_mut().find(|b| b.digest == digest) {
                if allow(blob.chunks) {
                    blob.join(chunk);
                }
                return Ok(());
            }
            if let Some((bytes, source)) = current(ledger, digest)? {
                if allow(chunk_count(bytes)) {
                    self.begin(digest, bytes, source, chunk);
                }
                return Ok(());
            }
        }
        let Some(parcel) = parcel(ledger, want)? else { return Ok(()) };
        if !self.repeats.allow(device, (parcel.digest, chunk_count(parcel.bytes)), now) {
            return Ok(());
        }
        if self.brings && parcel.bytes as usize <= MAX_BROUGHT {
            if !self.waiting.iter().any(|(waits, _)| waits == device) && self.waiting.len() < WAITING {
                self.waiting.push_back((device.clone(), want.clone()));
            }
            return Ok(());
        }
        send(link, &self.topics.offer(device), parcel.offer(self.run).encode(), false)?;
        let Parcel { digest, bytes, source, .. } = parcel;
        match self.blobs.iter_mut().find(|b| b.digest == digest) {
            Some(blob) => blob.join(0),
            None => self.begin(digest, bytes, source, 0),
        }
        Ok(())
    }

    /// Brings the next device that waits what it lacks by now.
    fn bring<L: Link>(&mut self, ledger: &Ledger, link: &mut L) -> Result<(), CoordinatorError> {
        let Some((device, want)) = self.waiting.pop_front() else { return Ok(()) };
        let Some(parcel) = parcel(ledger, &want)? else { return Ok(()) };
        // A longer one by now, or a snapshot that was pruned meanwhile: the device asks again.
        let Some(blob) = parcel.whole(ledger)? else { return Ok(()) };
        let offer = Offer { blob: Some(blob), ..parcel.offer(self.run) };
        Ok(send(link, &self.topics.offer(&device), offer.encode(), false)?)
    }

    fn begin(&mut self, digest: Digest, bytes: u32, source: Source, chunk: u32) {
        let chunks = chunk_count(bytes);
        if self.blobs.len() < BLOBS && chunk < chunks {
            self.blobs.push(Blob { digest, chunks, source, at: chunk, left: chunks - chunk });
        }
    }

    /// Sends the next chunks.
    pub(crate) fn turn<L: Link>(&mut self, ledger: &Ledger, link: &mut L) -> Result<(), CoordinatorError> {
        for _ in 0..CHUNKS {
            if !self.is_turning() || link.queued() >= WINDOW {
                break;
            }
            if !self.waiting.is_empty() {
                self.bring(ledger, link)?;
                continue;
            }
            self.next %= self.blobs.len();
            let blob = &mut self.blobs[self.next];
            // A snapshot may have been pruned since: who waits for it asks again, and is offered the last one.
            let Some(data) = blob.data(ledger)? else {
                self.blobs.remove(self.next);
                continue;
            };
            match link.publish(&self.topics.blob(&blob.digest, blob.at), seal(&data), false) {
                Err(LinkError::Busy { .. }) => break,
                other => other?,
            }
            blob.at = (blob.at + 1) % blob.chunks;
            blob.left -= 1;
            if blob.left == 0 {
                self.blobs.remove(self.next);
            } else {
                self.next += 1;
            }
        }
        Ok(())
    }
}

impl Parcel {
    /// What a device is told of it.
    fn offer(&self, run: RunId) -> Offer {
        let Self { kind, rounds, digest, bytes, .. } = self;
        let (from, to) = (rounds.start.0, rounds.end.0);
        Offer { run, kind: *kind, digest: *digest, bytes: *bytes, from, to, blob: None }
    }

    /// All of its bytes, if an offer can bring them and they are there.
    fn whole(&self, ledger: &Ledger) -> Result<Option<Vec<u8>>, LedgerError> {
        if self.bytes as usize > MAX_BROUGHT {
            return Ok(None);
        }
        match &self.source {
            Source::Memory(bytes) => Ok(Some(bytes.clone())),
            Source::Snapshot(applied) => {
                let slices = (0..chunk_count(self.bytes)).map(|n| ledger.slice(*applied, n));
                Ok(slices.collect::<Result<Option<Vec<_>>, _>>()?.map(|slices| slices.concat()))
            }
        }
    }
}

impl Blob {
    /// Another device wants the chunks from `chunk` on.
    fn join(&mut self, chunk: u32) {
        let left = if self.at <= chunk { self.chunks - self.at } else { self.chunks };
        self.left = self.left.max(left);
    }

    fn data(&self, ledger: &Ledger) -> Result<Option<Vec<u8>>, LedgerError> {
        match &self.source {
            Source::Memory(bytes) => Ok(bytes.chunks(CHUNK).nth(self.at as usize).map(<[u8]>::to_vec)),
            Source::Snapshot(applied) => ledger.slice(*applied, self.at),
        }
    }
}

/// A blob that devices may have begun: the last round's result, or the last snapshot.
fn current(ledger: &Ledger, digest: Digest) -> Result<Option<(u32, Source)>, LedgerError> {
    let Some(last) = ledger.last_snapshot()? else { return Ok(None) };
    if last.blob == digest.0 {
        return Ok(Some((last.bytes, Source::Snapshot(last.applied))));
    }
    let Some(round) = last.applied.last() else { return Ok(None) };
    let announced = ledger.result(round)?.map(|row| ledger.announced(&row)).transpose()?;
    match announced {
        Some(RoundResult::Blob { digest: found, bytes, kind: BlobKind::Record }) if found == digest => {
            Ok(ledger.record(round)?.map(|record| (bytes, Source::Memory(record))))
        }
        _ => Ok(None),
    }
}

/// The least that brings a device up to date: all records that it lacks, or the last snapshot.
fn parcel(ledger: &Ledger, want: &Want) -> Result<Option<Parcel>, LedgerError> {
    let Some(last) = ledger.last_snapshot()? else { return Ok(None) };
    if want.round == last.applied.0 && want.base.0 == last.adapter {
        return Ok(None);
    }
    if let Some(records) = records(ledger, want, last.applied, last.bytes as usize)? {
        return Ok(Some(Parcel {
            kind: BlobKind::Records,
            rounds: RoundId(want.round)..last.applied.next(),
            digest: Digest::of(&records),
            bytes: records.len() as u32,
            source: Source::Memory(records),
        }));
    }
    Ok(Some(Parcel {
        kind: BlobKind::Snapshot,
        rounds: RoundId::FIRST..last.applied.next(),
        digest: Digest(last.blob),
        bytes: last.bytes,
        source: Source::Snapshot(last.applied),
    }))
}

/// The records from the device's round on, joined, if they follow its adapter and take less than `limit` bytes.
fn records(
    ledger: &Ledger,
    want: &Want,
    applied: Applied,
    limit: usize,
) -> Result<Option<Vec<u8>>, LedgerError> {
    if want.round >= applied.0 {
        return Ok(None);
    }
    let (mut records, mut total) = (Vec::new(), 0);
    for round in want.round..applied.0 {
        let Some(record) = ledger.record(RoundId(round))? else { return Ok(None) };
        total += 4 + record.len();
        if total >= limit {
            return Ok(None);
        }
        if round == want.round && !Record::decode(&record).is_ok_and(|record| record.base == want.base) {
            return Ok(None);
        }
        records.push(record);
    }
    Ok(Some(join_records(&records)))
}

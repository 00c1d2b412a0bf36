//! Entries of the machine, as rows of the tables.

use super::words::{WORDS, key};
use super::{CHUNKS, DEVICES, HISTORY, Ledger, LedgerError, META, REPORTS, UPDATES};
use crate::decision::Entry;
use crate::rows::encode_members;
use crate::state::State;

impl Ledger {
    /// Makes entries durable, all or none.
    ///
    /// # Errors
    /// When the disk fails or is full; what was durable before still is.
    pub(crate) fn commit(&mut self, entries: &[Entry]) -> Result<(), LedgerError> {
        if entries.is_empty() {
            return Ok(());
        }
        self.write(|txn| {
            // A table may be open once in a transaction.
            let mut tables = Tables {
                meta: txn.open_table(META)?,
                devices: txn.open_table(DEVICES)?,
                reports: txn.open_table(REPORTS)?,
                updates: txn.open_table(UPDATES)?,
                chunks: txn.open_table(CHUNKS)?,
                history: txn.open_table(HISTORY)?,
                words: txn.open_table(WORDS)?,
            };
            entries.iter().try_for_each(|entry| tables.put(entry))
        })
    }
}

/// The tables that commits of the machine write.
struct Tables<'t> {
    meta: redb::Table<'t, &'static str, &'static [u8]>,
    devices: redb::Table<'t, u32, &'static [u8]>,
    reports: redb::Table<'t, u32, &'static [u8]>,
    updates: redb::Table<'t, (u32, u32), &'static [u8]>,
    chunks: redb::Table<'t, (u32, u32), &'static [u8]>,
    history: redb::Table<'t, u32, &'static [u8]>,
    words: redb::Table<'t, (u32, u32), &'static [u8]>,
}

impl Tables<'_> {
    fn put(&mut self, entry: &Entry) -> Result<(), redb::Error> {
        match entry {
            Entry::State(state) => {
                self.meta.insert("state", cbor::<State>(state).as_slice())?;
            }
            Entry::Members(members) => {
                self.meta.insert("members", encode_members(members).as_slice())?;
            }
            Entry::Before(found) => {
                self.meta.insert("before", json(found).as_slice())?;
            }
            Entry::Device(row) => {
                self.devices.insert(row.number.0, cbor(row).as_slice())?;
            }
            Entry::Update { round, number, norm, frame } => {
                let mut value = self.updates.insert_reserve((round.0, number.0), 4 + frame.len())?;
                let (head, rest) = value.as_mut().split_at_mut(4);
                head.copy_from_slice(&norm.to_le_bytes());
                rest.copy_from_slice(frame);
            }
            Entry::Chunk { number, n, data } => {
                self.chunks.insert((number.0, *n), data.as_slice())?;
            }
            Entry::Discard { number } => {
                self.chunks.retain_in((number.0, 0)..=(number.0, u32::MAX), |_, _| false)?;
            }
            Entry::Word(word) => {
                self.words.insert(key(word), word.bytes.as_slice())?;
            }
            Entry::Unsay => {
                self.words.retain(|_, _| false)?;
                self.chunks.retain(|_, _| false)?;
            }
            Entry::Total(total) => {
                self.meta.insert(total_of(total.round), total.encode().as_slice())?;
            }
            Entry::Report { number, frame } => {
                self.reports.insert(number.0, frame.as_slice())?;
            }
            Entry::History(row) => {
                self.history.insert(row.round.0, json(row).as_slice())?;
            }
            Entry::Forget { round } => {
                self.updates.retain_in(..=(round.0, u32::MAX), |_, _| false)?;
                self.chunks.retain(|_, _| false)?;
            }
        }
        Ok(())
    }
}

/// Key in `meta` of the own total of `round`; that of the round before has the other one.
pub(super) fn total_of(round: u32) -> &'static str {
    ["total 0", "total 1"][round as usize % 2]
}

pub(super) fn cbor<T: minicbor::Encode<()>>(row: &T) -> Vec<u8> {
    let mut bytes = Vec::new();
    // Writing to a vector cannot fail.
    minicbor::encode(row, &mut bytes).expect("a vector takes all bytes");
    bytes
}

fn json<T: serde::Serialize>(row: &T) -> Vec<u8> {
    serde_json::to_vec(row).expect("plain data has a JSON form")
}

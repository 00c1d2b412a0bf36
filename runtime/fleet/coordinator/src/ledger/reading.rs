//! What a restart begins with, and what is asked of a ledger in between.

use super::{CHUNKS, DEVICES, HISTORY, Ledger, LedgerError, META, REPORTS, UPDATES};
use crate::event::Judgement;
use crate::state::{self, DeviceRow, Saved, Stage};
use crate::view::RoundRow;
use redb::{ReadableTable, TableDefinition};
use sprig_transport::messages::{DeviceId, Digest, Report};

impl Ledger {
    /// All that a restart begins with; `base` is the adapter before the first round.
    ///
    /// # Errors
    /// When the ledger cannot be read or makes no sense.
    pub fn load(&self, base: Digest) -> Result<Saved, LedgerError> {
        let mut saved = Saved::fresh(base);
        let txn = self.reader()?;
        let read = || -> Result<_, redb::Error> {
            let meta = txn.open_table(META)?;
            let get = |key| -> Result<_, redb::Error> { Ok(meta.get(key)?.map(|v| v.value().to_vec())) };
            Ok((get("state")?, get("members")?, get("before")?))
        };
        let (state, members, before) = read().map_err(|e| self.failed("read", e))?;
        if let Some(state) = state {
            saved.state = minicbor::decode(&state).map_err(|e| self.damaged(format!("its state: {e}")))?;
        }
        if let Some(members) = members {
            saved.members = state::decode_members(&members).ok_or_else(|| self.damaged("its members"))?;
        }
        if let Some(before) = before {
            let before = serde_json::from_slice::<Judgement>(&before);
            saved.before = Some(before.map_err(|e| self.damaged(format!("its evaluation: {e}")))?);
        }
        self.each(DEVICES, |number, bytes| {
            let row: DeviceRow =
                minicbor::decode(bytes).map_err(|e| self.damaged(format!("device {number}: {e}")))?;
            if row.number != number || number as usize != saved.devices.len() + 1 {
                return Err(self.damaged(format!("device {number} stands where another should")));
            }
            DeviceId::parse(&row.id).map_err(|e| self.damaged(format!("device {number}: {e}")))?;
            saved.devices.push(row);
            Ok(())
        })?;
        let round = saved.state.round;
        let mut accepted = Vec::new();
        self.updates(round, |number, norm, _| {
            accepted.push((number, norm));
            Ok::<_, LedgerError>(())
        })?;
        saved.accepted = accepted;
        if let Some(before) = round.checked_sub(1) {
            let row = self.result(before)?;
            let row = row.ok_or_else(|| self.damaged(format!("round {before} has no result")))?;
            saved.result = Some(self.announced(&row)?);
        }
        for &applied in saved.state.evaluating.iter().filter(|&&applied| applied > 0) {
            saved.unjudged.extend(self.history(applied - 1..applied)?);
        }
        // The states of a round and of the whole agree.
        if saved.state.stage == Stage::Collecting && saved.members.is_empty() {
            return Err(self.damaged(format!("round {round} is open without members")));
        }
        Ok(saved)
    }

    /// Calls `each` with number, norm and frame of each update of `round`, numbers ascending.
    ///
    /// # Errors
    /// When the ledger cannot be read, or what `each` returns.
    pub fn updates<E: From<LedgerError>>(
        &self,
        round: u32,
        mut each: impl FnMut(u32, f32, &[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        let txn = self.reader()?;
        let failed = |e: redb::Error| self.failed("read", e);
        let table = txn.open_table(UPDATES).map_err(|e| failed(e.into()))?;
        for row in table.range((round, 0)..=(round, u32::MAX)).map_err(|e| failed(e.into()))? {
            let (key, value) = row.map_err(|e| failed(e.into()))?;
            let number = key.value().1;
            let Some((norm, frame)) = value.value().split_first_chunk::<4>() else {
                return Err(self.damaged(format!("update of device {number} in round {round}")).into());
            };
            each(number, f32::from_le_bytes(*norm), frame)?;
        }
        Ok(())
    }

    /// Calls `each` with the pieces of a device's dense update, in order.
    ///
    /// # Errors
    /// When the ledger cannot be read, or what `each` returns.
    pub fn chunks(
        &self,
        number: u32,
        mut each: impl FnMut(&[u8]) -> Result<(), LedgerError>,
    ) -> Result<(), LedgerError> {
        let txn = self.reader()?;
        let failed = |e: redb::Error| self.failed("read", e);
        let table = txn.open_table(CHUNKS).map_err(|e| failed(e.into()))?;
        for row in table.range((number, 0)..=(number, u32::MAX)).map_err(|e| failed(e.into()))? {
            each(row.map_err(|e| failed(e.into()))?.1.value())?;
        }
        Ok(())
    }

    /// Rows of the rounds asked for that are there, ascending.
    ///
    /// # Errors
    /// When the ledger cannot be read.
    pub fn history(&self, rounds: std::ops::Range<u32>) -> Result<Vec<RoundRow>, LedgerError> {
        let txn = self.reader()?;
        let failed = |e: redb::Error| self.failed("read", e);
        let table = txn.open_table(HISTORY).map_err(|e| failed(e.into()))?;
        let mut rows = Vec::new();
        for row in table.range(rounds).map_err(|e| failed(e.into()))? {
            let (round, value) = row.map_err(|e| failed(e.into()))?;
            let row = serde_json::from_slice(value.value());
            rows.push(row.map_err(|e| self.damaged(format!("row of round {}: {e}", round.value())))?);
        }
        Ok(rows)
    }

    /// A device's last report.
    ///
    /// # Errors
    /// When the ledger cannot be read.
    pub fn report(&self, number: u32) -> Result<Option<Report>, LedgerError> {
        let bytes = self.get(REPORTS, number)?;
        let report = bytes.map(|bytes| Report::decode(&bytes)).transpose();
        report.map_err(|e| self.damaged(format!("report of device {number}: {e}")))
    }

    pub(super) fn get(
        &self,
        table: TableDefinition<u32, &[u8]>,
        key: u32,
    ) -> Result<Option<Vec<u8>>, LedgerError> {
        let txn = self.reader()?;
        let read = || -> Result<_, redb::Error> {
            Ok(txn.open_table(table)?.get(key)?.map(|value| value.value().to_vec()))
        };
        read().map_err(|e| self.failed("read", e))
    }

    pub(super) fn each(
        &self,
        table: TableDefinition<u32, &[u8]>,
        mut each: impl FnMut(u32, &[u8]) -> Result<(), LedgerError>,
    ) -> Result<(), LedgerError> {
        let txn = self.reader()?;
        let failed = |e: redb::Error| self.failed("read", e);
        let table = txn.open_table(table).map_err(|e| failed(e.into()))?;
        for row in table.iter().map_err(|e| failed(e.into()))? {
            let (key, value) = row.map_err(|e| failed(e.into()))?;
            each(key.value(), value.value())?;
        }
        Ok(())
    }
}

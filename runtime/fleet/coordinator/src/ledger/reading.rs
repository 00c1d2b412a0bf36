//! What a restart begins with, and what is asked of a ledger in between.

use super::commit::total_of;
use super::{CHUNKS, DEVICES, HISTORY, Ledger, LedgerError, META, REPORTS, UPDATES};
use crate::aggregation::VALUES;
use crate::ids::{DeviceNumber, RoundId};
use crate::rows::{DeviceRow, HeldOut, RoundRow, decode_members};
use crate::state::{Saved, Stage};
use redb::{ReadableTable, TableDefinition};
use sprig_transport::messages::{DeviceId, Digest, FleetTotal, Report};

impl Ledger {
    /// All that a restart begins with; `base` is the adapter before the first round.
    ///
    /// # Errors
    /// When the ledger cannot be read or makes no sense.
    pub(crate) fn load(&self, base: Digest) -> Result<Saved, LedgerError> {
        let mut saved = Saved::fresh(base);
        let txn = self.reader()?;
        let read = || -> Result<_, redb::Error> {
            let meta = txn.open_table(META)?;
            let get = |key| -> Result<_, redb::Error> { Ok(meta.get(key)?.map(|v| v.value().to_vec())) };
            let totals = [get(total_of(0))?, get(total_of(1))?];
            Ok((get("state")?, get("members")?, get("before")?, totals))
        };
        let (state, members, before, totals) = read().map_err(|e| self.failed("read", e))?;
        if let Some(state) = state {
            saved.state = minicbor::decode(&state).map_err(|e| self.damaged(format!("its state: {e}")))?;
        }
        if let Some(members) = members {
            saved.members = decode_members(&members).ok_or_else(|| self.damaged("its members"))?;
        }
        if let Some(before) = before {
            let before = serde_json::from_slice::<HeldOut>(&before);
            saved.before = Some(before.map_err(|e| self.damaged(format!("its evaluation: {e}")))?);
        }
        for total in totals.into_iter().flatten() {
            let total = FleetTotal::decode(&total);
            saved.totals.push(total.map_err(|e| self.damaged(format!("the total of a round: {e}")))?);
        }
        self.each(DEVICES, |number, bytes| {
            let row: DeviceRow =
                minicbor::decode(bytes).map_err(|e| self.damaged(format!("device {number}: {e}")))?;
            if row.number.0 != number || row.number != DeviceNumber::at(saved.devices.len()) {
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
        saved.words = self.words()?;
        for word in saved.words.iter().filter(|word| word.kind == VALUES) {
            saved.values.push((word.number, self.whole(word.number)?));
        }
        if let Some(before) = round.before() {
            let row = self.result(before)?;
            let row = row.ok_or_else(|| self.damaged(format!("round {before} has no result")))?;
            saved.result = Some(self.announced(&row)?);
        }
        for round in saved.state.evaluating.iter().filter_map(|applied| applied.last()) {
            saved.evaluating.extend(self.row(round)?);
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
    pub(crate) fn updates<E: From<LedgerError>>(
        &self,
        round: RoundId,
        mut each: impl FnMut(DeviceNumber, f32, &[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        let txn = self.reader()?;
        let failed = |e: redb::Error| self.failed("read", e);
        let table = txn.open_table(UPDATES).map_err(|e| failed(e.into()))?;
        for row in table.range((round.0, 0)..=(round.0, u32::MAX)).map_err(|e| failed(e.into()))? {
            let (key, value) = row.map_err(|e| failed(e.into()))?;
            let number = DeviceNumber(key.value().1);
            let (norm, frame) = self.update_of((round, number), value.value())?;
            each(number, norm, frame)?;
        }
        Ok(())
    }

    /// Calls `each` with number, norm and frame of the update of device `number` in `round`, if there is one.
    ///
    /// # Errors
    /// As of [`updates`](Self::updates).
    pub(crate) fn update<E: From<LedgerError>>(
        &self,
        round: RoundId,
        number: DeviceNumber,
        mut each: impl FnMut(DeviceNumber, f32, &[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        let txn = self.reader()?;
        let failed = |e: redb::Error| self.failed("read", e);
        let table = txn.open_table(UPDATES).map_err(|e| failed(e.into()))?;
        let Some(value) = table.get((round.0, number.0)).map_err(|e| failed(e.into()))? else {
            return Ok(());
        };
        let (norm, frame) = self.update_of((round, number), value.value())?;
        each(number, norm, frame)
    }

    /// Norm and frame of an update as it is kept.
    fn update_of<'v>(
        &self,
        (round, number): (RoundId, DeviceNumber),
        value: &'v [u8],
    ) -> Result<(f32, &'v [u8]), LedgerError> {
        let parts = value.split_first_chunk::<4>();
        let (norm, frame) =
            parts.ok_or_else(|| self.damaged(format!("update of device {number} in round {round}")))?;
        Ok((f32::from_le_bytes(*norm), frame))
    }

    /// Calls `each` with the pieces of a device's dense update, in order.
    ///
    /// # Errors
    /// When the ledger cannot be read, or what `each` returns.
    pub(crate) fn chunks(
        &self,
        number: DeviceNumber,
        mut each: impl FnMut(&[u8]) -> Result<(), LedgerError>,
    ) -> Result<(), LedgerError> {
        let txn = self.reader()?;
        let failed = |e: redb::Error| self.failed("read", e);
        let table = txn.open_table(CHUNKS).map_err(|e| failed(e.into()))?;
        for row in table.range((number.0, 0)..=(number.0, u32::MAX)).map_err(|e| failed(e.into()))? {
            each(row.map_err(|e| failed(e.into()))?.1.value())?;
        }
        Ok(())
    }

    /// All pieces of a device's dense update, joined.
    ///
    /// # Errors
    /// When the ledger cannot be read.
    pub(crate) fn whole(&self, number: DeviceNumber) -> Result<Vec<u8>, LedgerError> {
        let mut bytes = Vec::new();
        self.chunks(number, |piece| {
            bytes.extend_from_slice(piece);
            Ok(())
        })?;
        Ok(bytes)
    }

    /// Rows of all rounds from `first` on, ascending.
    ///
    /// # Errors
    /// When the ledger cannot be read.
    pub(crate) fn history(&self, first: RoundId) -> Result<Vec<RoundRow>, LedgerError> {
        let txn = self.reader()?;
        let failed = |e: redb::Error| self.failed("read", e);
        let table = txn.open_table(HISTORY).map_err(|e| failed(e.into()))?;
        let mut rows = Vec::new();
        for row in table.range(first.0..).map_err(|e| failed(e.into()))? {
            let (round, value) = row.map_err(|e| failed(e.into()))?;
            rows.push(self.parse_row(RoundId(round.value()), value.value())?);
        }
        Ok(rows)
    }

    /// The row of a finished round.
    ///
    /// # Errors
    /// When the ledger cannot be read.
    pub(crate) fn row(&self, round: RoundId) -> Result<Option<RoundRow>, LedgerError> {
        self.get(HISTORY, round.0)?.map(|bytes| self.parse_row(round, &bytes)).transpose()
    }

    fn parse_row(&self, round: RoundId, bytes: &[u8]) -> Result<RoundRow, LedgerError> {
        serde_json::from_slice(bytes).map_err(|e| self.damaged(format!("row of round {round}: {e}")))
    }

    /// A device's last report.
    ///
    /// # Errors
    /// When the ledger cannot be read.
    pub(crate) fn report(&self, number: DeviceNumber) -> Result<Option<Report>, LedgerError> {
        let bytes = self.get(REPORTS, number.0)?;
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

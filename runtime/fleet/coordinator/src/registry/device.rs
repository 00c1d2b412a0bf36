//! One device, as a coordinator knows it: what it says of itself, and how it has done.

use crate::countdown::Millis;
use crate::ids::{DeviceNumber, RoundId};
use crate::rows::{DeviceRow, Record, Standing};
use sprig_transport::messages::{DeviceId, Presence, Reason};

/// A device.
#[derive(Debug)]
pub(crate) struct Device {
    pub(super) id: DeviceId,
    pub(super) accepted: u32,
    pub(super) refused: u32,
    pub(super) last_accepted: Option<RoundId>,
    pub(super) last_refusal: Option<Reason>,
    /// What it last said of itself while here.
    pub(super) presence: Option<Presence>,
    pub(super) online: bool,
    /// When anything was last heard of it, on the coordinator's clock.
    pub(super) heard: Millis,
    /// Its session before the present one.
    pub(super) earlier: Option<u64>,
    /// Sessions that an operator has replaced: what they say is of a board that is no longer this device.
    pub(super) replaced: Option<u64>,
    pub(super) report: Option<ReportHead>,
    /// When it was last sent what it misses.
    pub(super) served: Option<Millis>,
    /// How it did in the rounds that it was selected for.
    pub(super) record: Record,
    /// Time it usually takes from its task to its update, as this process saw it.
    pub(super) usual: Option<Millis>,
    /// Its row in the ledger is older than this.
    pub(super) changed: bool,
    /// Round and count of the refusals answered last.
    pub(super) answered: (RoundId, u8),
}

/// The figures of a device's last report; its regions are in the ledger.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ReportHead {
    pub(super) round: u32,
    pub planned: u64,
    pub peak: u64,
    pub up: u64,
    pub down: u64,
    /// Seconds that the training of the round took.
    pub seconds: f32,
    /// Temperature after it, in °C.
    pub celsius: Option<f32>,
    /// What held the board back then, as in [`Report`](sprig_transport::messages::Report).
    pub held_back: Option<u8>,
}

impl Device {
    /// A device never seen.
    pub(super) fn new(id: DeviceId) -> Self {
        Self {
            id,
            accepted: 0,
            refused: 0,
            last_accepted: None,
            last_refusal: None,
            presence: None,
            online: false,
            heard: 0,
            earlier: None,
            replaced: None,
            report: None,
            served: None,
            record: Record::default(),
            usual: None,
            changed: false,
            answered: (RoundId::FIRST, 0),
        }
    }

    /// One that the ledger knows.
    pub(super) fn known(id: DeviceId, row: &DeviceRow) -> Self {
        Self {
            accepted: row.accepted,
            refused: row.refused,
            last_accepted: row.last_accepted,
            record: row.record.unwrap_or_default(),
            ..Self::new(id)
        }
    }

    /// Its row for the ledger.
    pub(super) fn row(&self, number: DeviceNumber) -> DeviceRow {
        DeviceRow {
            number,
            id: self.id.to_string(),
            accepted: self.accepted,
            refused: self.refused,
            last_accepted: self.last_accepted,
            record: (self.record != Record::default()).then_some(self.record),
        }
    }

    /// Takes what a session says of itself. Whether that session had given way to the present one: then two boards bear
    /// this name, for one board's sessions never come back.
    pub(super) fn hear(&mut self, presence: Presence, now: Millis) -> bool {
        let session = presence.session;
        let before = self.presence.replace(presence).map(|presence| presence.session);
        self.heard = now;
        let Some(before) = before.filter(|before| *before != session) else { return false };
        self.earlier.replace(before) == Some(session)
    }

    /// Notes a time from task to update.
    pub(super) fn took(&mut self, time: Millis) {
        self.usual = Some(self.usual.map_or(time, |usual| (3 * usual + time) / 4));
    }

    /// Its name.
    pub(crate) fn id(&self) -> &DeviceId {
        &self.id
    }

    /// Whether it is here.
    pub(crate) fn is_online(&self) -> bool {
        self.online
    }

    /// Updates in the ledger.
    pub(crate) fn accepted(&self) -> u32 {
        self.accepted
    }

    /// Messages refused.
    pub(crate) fn refused(&self) -> u32 {
        self.refused
    }

    /// Round of its last update in the ledger.
    pub(crate) fn last_accepted(&self) -> Option<RoundId> {
        self.last_accepted
    }

    /// Why its last message was refused, since the coordinator was started.
    pub(crate) fn last_refusal(&self) -> Option<Reason> {
        self.last_refusal
    }

    /// What it last said of itself while here.
    pub(crate) fn presence(&self) -> Option<&Presence> {
        self.presence.as_ref()
    }

    /// When it was last heard, if it ever was since the coordinator was started.
    pub(crate) fn heard(&self) -> Option<Millis> {
        self.presence.is_some().then_some(self.heard)
    }

    /// The figures of its last report.
    pub(crate) fn report(&self) -> Option<ReportHead> {
        self.report
    }

    /// How it did in the rounds that it was selected for.
    pub(crate) fn record(&self) -> &Record {
        &self.record
    }

    /// Time it usually takes from its task to its update.
    pub(crate) fn usual(&self) -> Option<Millis> {
        self.usual
    }

    /// Whether an operator took it out for good.
    pub(crate) fn is_removed(&self) -> bool {
        self.record.standing == Standing::Removed
    }
}

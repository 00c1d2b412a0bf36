//! How devices did in the rounds that they were selected for, and what an operator decided about them.

use super::Registry;
use crate::countdown::Millis;
use crate::ids::{DeviceNumber, RoundId};
use crate::rows::{Record, Standing};

/// What became of a device's part in a round.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Course {
    /// Its update is in the ledger.
    InTime,
    /// Another had its share's update in the ledger first.
    NotNeeded,
    /// It went away.
    Left,
    /// Nothing came of it.
    Silent,
    /// What it sent was refused.
    Refused,
}

impl Registry {
    /// Changes how a device stands; whether it did.
    pub(crate) fn stand(&mut self, number: DeviceNumber, standing: Standing) -> bool {
        let Some(device) = self.get(number) else { return false };
        if device.record.standing == standing {
            return false;
        }
        let online = device.online;
        if online {
            self.count(number, -1);
        }
        if let Some(device) = self.get_mut(number) {
            device.record = match standing {
                Standing::Good => Record { failures: 0, standing, ..device.record },
                _ => Record { standing, ..device.record },
            };
        }
        if online {
            self.count(number, 1);
        }
        true
    }

    /// Another board has this device's name from now on: how the one before did says nothing of it, and what that one
    /// still says is nobody's.
    pub(crate) fn replace(&mut self, number: DeviceNumber) {
        self.leave(number);
        let Some(device) = self.get_mut(number) else { return };
        let session = device.presence.take().map(|presence| presence.session);
        device.replaced = session.or(device.replaced);
        (device.record, device.usual, device.earlier, device.report) = (Record::default(), None, None, None);
    }

    /// Takes a device out for good: its name is free, its number is never given again.
    pub(crate) fn remove(&mut self, number: DeviceNumber) {
        self.leave(number);
        self.stand(number, Standing::Removed);
        let Some(device) = self.get_mut(number) else { return };
        device.presence = None;
        let id = device.id.clone();
        if self.by_id.remove(&id).is_some() {
            self.removed += 1;
            self.full = false;
        }
    }

    /// Books a round that a device was selected for and has no update in: those that have were booked as it came.
    pub(crate) fn book(&mut self, number: DeviceNumber, round: RoundId, course: Course) {
        let Some(device) = self.get_mut(number).filter(|_| course != Course::InTime) else { return };
        device.record.selected = device.record.selected.saturating_add(1);
        match course {
            Course::InTime | Course::NotNeeded => {}
            Course::Left => device.record.missed = device.record.missed.saturating_add(1),
            Course::Silent => {
                device.record.missed = device.record.missed.saturating_add(1);
                device.record.fail(round);
            }
            Course::Refused => device.record.fail(round),
        }
    }

    /// Notes that an update came after its round.
    pub(crate) fn late(&mut self, number: DeviceNumber) {
        if let Some(device) = self.get_mut(number) {
            device.record.late = device.record.late.saturating_add(1);
        }
    }

    /// Notes how long a device took from its task to its update.
    pub(crate) fn took(&mut self, number: DeviceNumber, time: Millis) {
        if let Some(device) = self.get_mut(number) {
            device.took(time);
        }
    }
}

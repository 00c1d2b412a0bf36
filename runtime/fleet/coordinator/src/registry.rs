//! The devices a coordinator knows: numbered once, bounded, a few hundred bytes each.

use super::event::Millis;
use super::state::DeviceRow;
use sprig_transport::messages::{DeviceId, Presence, Reason, Report};
use std::collections::HashMap;

/// Refusals of one device in one round that are answered and told one by one; more are only counted.
pub(super) const ANSWERED: u8 = 8;

/// A device.
#[derive(Debug)]
pub(super) struct Device {
    pub id: DeviceId,
    pub accepted: u32,
    pub refused: u32,
    pub last_accepted: Option<u32>,
    pub last_refusal: Option<Reason>,
    /// What it last said of itself while here.
    pub presence: Option<Presence>,
    pub online: bool,
    pub report: Option<ReportHead>,
    /// When it last asked for what it misses.
    pub wanted: Option<Millis>,
    /// Its row in the ledger is older than this.
    pub changed: bool,
    /// Round and count of the refusals answered last.
    answered: (u32, u8),
}

/// The figures of a device's last report; its regions are in the ledger.
#[derive(Clone, Copy, Debug)]
pub(super) struct ReportHead {
    pub round: u32,
    pub planned: u64,
    pub peak: u64,
    pub up: u64,
    pub down: u64,
}

/// What a presence changed.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Arrival {
    /// A device never seen: it has a number now.
    New(u32),
    /// A known device came.
    Back(u32),
    /// A device left.
    Gone(u32),
    /// Nothing that matters.
    Same,
    /// All numbers are taken.
    Full,
}

/// All devices, by name and by number.
#[derive(Debug)]
pub(super) struct Registry {
    devices: Vec<Device>,
    by_id: HashMap<DeviceId, u32>,
    /// Devices whose rows may be out of date.
    changed: Vec<u32>,
    limit: u32,
    min_budget: u64,
    online: u32,
    fit: u32,
}

impl Registry {
    /// Devices of the ledger, which has checked their names.
    pub fn new(rows: Vec<DeviceRow>, limit: u32, min_budget: u64) -> Self {
        let mut registry = Registry {
            devices: Vec::new(),
            by_id: HashMap::new(),
            changed: Vec::new(),
            limit,
            min_budget,
            online: 0,
            fit: 0,
        };
        for row in rows {
            let Ok(id) = DeviceId::parse(&row.id) else { continue };
            let at = registry.add(id);
            let device = &mut registry.devices[at];
            (device.accepted, device.refused) = (row.accepted, row.refused);
            device.last_accepted = row.last_accepted;
        }
        registry
    }

    /// Notes that a device came or went. A will of an earlier session is stale: the device is back already.
    pub fn presence(&mut self, id: &DeviceId, presence: Presence) -> Arrival {
        let known = self.by_id.get(id).copied();
        if !presence.online {
            let Some(number) = known else { return Arrival::Same };
            let device = &mut self.devices[number as usize - 1];
            let current = device.presence.as_ref().is_some_and(|p| p.session == presence.session);
            if !device.online || !current {
                return Arrival::Same;
            }
            device.online = false;
            self.recount(number, true);
            return Arrival::Gone(number);
        }
        let number = match known {
            Some(number) => number,
            None if self.devices.len() >= self.limit as usize => return Arrival::Full,
            None => self.add(id.clone()) as u32 + 1,
        };
        let was = self.devices[number as usize - 1].online;
        if was {
            self.recount(number, true);
        }
        let device = &mut self.devices[number as usize - 1];
        device.presence = Some(presence);
        device.online = true;
        self.recount(number, false);
        match (known.is_some(), was) {
            (false, _) => Arrival::New(number),
            (true, false) => Arrival::Back(number),
            (true, true) => Arrival::Same,
        }
    }

    /// Takes a device out of the counts, or into them, by its last presence.
    fn recount(&mut self, number: u32, out: bool) {
        let fit = u32::from(self.fits(&self.devices[number as usize - 1]));
        if out {
            self.online -= 1;
            self.fit -= fit;
        } else {
            self.online += 1;
            self.fit += fit;
        }
    }

    /// Whether a device can take part at all.
    fn fits(&self, device: &Device) -> bool {
        device
            .presence
            .as_ref()
            .is_some_and(|p| p.budget >= self.min_budget && p.examples > 0 && p.tangents > 0)
    }

    /// Devices that are here and can take part, ascending.
    pub fn candidates(&self) -> Vec<u32> {
        (1..).zip(&self.devices).filter(|(_, d)| d.online && self.fits(d)).map(|(n, _)| n).collect()
    }

    /// Counts a refusal; whether it should also be answered.
    pub fn refuse(&mut self, number: u32, round: u32, reason: Reason) -> bool {
        let Some(device) = self.get_mut(number) else { return false };
        device.refused = device.refused.saturating_add(1);
        device.last_refusal = Some(reason);
        let news = !std::mem::replace(&mut device.changed, true);
        if device.answered.0 != round {
            device.answered = (round, 0);
        }
        device.answered.1 = device.answered.1.saturating_add(1);
        let answer = device.answered.1 <= ANSWERED;
        if news {
            self.changed.push(number);
        }
        answer
    }

    /// Notes a device's figures; whether they are news.
    pub fn report(&mut self, number: u32, report: &Report) -> bool {
        let Some(device) = self.get_mut(number) else { return false };
        if device.report.is_some_and(|old| old.round >= report.round) {
            return false;
        }
        device.report = Some(ReportHead {
            round: report.round,
            planned: report.planned,
            peak: report.peak,
            up: report.up,
            down: report.down,
        });
        true
    }

    /// Strength of a device when groups are dealt: tokens a second.
    pub fn strength(&self, number: u32) -> f32 {
        let rate = self.get(number).and_then(|d| d.presence.as_ref()).map_or(0.0, |p| p.rate);
        if rate.is_finite() { rate.max(0.0) } else { 0.0 }
    }

    pub fn number(&self, id: &DeviceId) -> Option<u32> {
        self.by_id.get(id).copied()
    }

    pub fn get(&self, number: u32) -> Option<&Device> {
        self.devices.get((number as usize).checked_sub(1)?)
    }

    pub fn get_mut(&mut self, number: u32) -> Option<&mut Device> {
        self.devices.get_mut((number as usize).checked_sub(1)?)
    }

    /// A device's row for the ledger, which is then up to date.
    pub fn row(&mut self, number: u32) -> Option<DeviceRow> {
        let device = self.get_mut(number)?;
        device.changed = false;
        Some(DeviceRow {
            number,
            id: device.id.to_string(),
            accepted: device.accepted,
            refused: device.refused,
            last_accepted: device.last_accepted,
        })
    }

    /// Rows of the devices that the ledger has in an older form, which are then up to date.
    pub fn changes(&mut self) -> Vec<DeviceRow> {
        let mut changed = std::mem::take(&mut self.changed);
        changed.retain(|&number| self.get(number).is_some_and(|device| device.changed));
        changed.into_iter().filter_map(|number| self.row(number)).collect()
    }

    pub fn iter(&self) -> impl Iterator<Item = (u32, &Device)> {
        (1..).zip(&self.devices)
    }

    /// All devices ever seen.
    pub fn len(&self) -> u32 {
        self.devices.len() as u32
    }

    /// Devices here.
    pub fn online(&self) -> u32 {
        self.online
    }

    /// Devices here that can take part.
    pub fn fit(&self) -> u32 {
        self.fit
    }

    fn add(&mut self, id: DeviceId) -> usize {
        let at = self.devices.len();
        self.by_id.insert(id.clone(), at as u32 + 1);
        self.devices.push(Device {
            id,
            accepted: 0,
            refused: 0,
            last_accepted: None,
            last_refusal: None,
            presence: None,
            online: false,
            report: None,
            wanted: None,
            changed: false,
            answered: (0, 0),
        });
        at
    }
}

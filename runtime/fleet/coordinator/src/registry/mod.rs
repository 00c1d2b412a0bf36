//! The devices a coordinator knows: numbered once, bounded, a few hundred bytes each.

mod conduct;
mod device;

pub(crate) use conduct::Course;
pub(crate) use device::Device;

use crate::countdown::Millis;
use crate::ids::{DeviceNumber, RoundId};
use crate::rows::{DeviceRow, Standing};
use device::ReportHead;
use sprig_protocol::settings::Version;
use sprig_transport::messages::{DeviceId, Presence, Reason, Report};
use std::collections::HashMap;
use std::time::Duration;

/// A device is sent what it misses no more often than this.
const WANTS: Millis = 1000;
/// Refusals of one device in one round that are answered and told one by one; more are only counted.
pub(crate) const ANSWERED: u8 = 8;

/// What a presence changed.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Arrival {
    /// A device never seen: it has a number now.
    New(DeviceNumber),
    /// A known device came.
    Back(DeviceNumber),
    /// Another board than the one that was here calls itself so: two have one name.
    Twin(DeviceNumber),
    /// A device left.
    Gone(DeviceNumber),
    /// Nothing that matters.
    Same,
    /// All numbers are taken; whether that is so for the first time.
    Full { first: bool },
}

/// What a device needs to take part.
#[derive(Debug)]
pub(crate) struct Asked {
    /// Bytes of memory.
    pub min_budget: u64,
    /// Version of its software.
    pub least_agent: Option<Version>,
    /// Whoever has an update in the ledger is done: sums are sent once.
    pub once: bool,
}

/// All devices, by name and by number.
#[derive(Debug)]
pub(crate) struct Registry {
    devices: Vec<Device>,
    by_id: HashMap<DeviceId, DeviceNumber>,
    /// Devices whose rows may be out of date.
    changed: Vec<DeviceNumber>,
    /// A refusal was counted that the ledger may not know of.
    refusals: bool,
    /// A device was turned away.
    full: bool,
    /// Devices that an operator took out: their numbers are never given again.
    removed: u32,
    limit: u32,
    asked: Asked,
    online: u32,
    fit: u32,
}

impl Registry {
    /// Devices of the ledger, which has checked their names.
    pub(crate) fn new(rows: Vec<DeviceRow>, limit: u32, asked: Asked) -> Self {
        let mut registry = Registry {
            devices: Vec::new(),
            by_id: HashMap::new(),
            changed: Vec::new(),
            refusals: false,
            full: false,
            removed: 0,
            limit,
            asked,
            online: 0,
            fit: 0,
        };
        for row in rows {
            let Ok(id) = DeviceId::parse(&row.id) else { continue };
            registry.add(Device::known(id, &row));
        }
        registry
    }

    /// Notes that a device came or went. A will of an earlier session is stale: the device is back already.
    pub(crate) fn presence(&mut self, id: &DeviceId, presence: Presence, now: Millis) -> Arrival {
        let known = self.by_id.get(id).copied();
        if !presence.online {
            let Some(number) = known else { return Arrival::Same };
            let Some(device) = self.get(number) else { return Arrival::Same };
            let current = device.presence.as_ref().is_some_and(|p| p.session == presence.session);
            if !device.online || !current {
                return Arrival::Same;
            }
            self.leave(number);
            return Arrival::Gone(number);
        }
        let number = match known {
            Some(number) => number,
            None if self.present() >= self.limit => {
                return Arrival::Full { first: !std::mem::replace(&mut self.full, true) };
            }
            None => self.add(Device::new(id.clone())),
        };
        let Some(device) = self.get(number) else { return Arrival::Same };
        if device.replaced == Some(presence.session) {
            return Arrival::Same;
        }
        let was = device.online;
        self.leave(number);
        let Some(device) = self.get_mut(number) else { return Arrival::Same };
        let twin = device.hear(presence, now);
        device.online = true;
        self.count(number, 1);
        match (known.is_some(), was) {
            _ if twin => Arrival::Twin(number),
            (false, _) => Arrival::New(number),
            (true, false) => Arrival::Back(number),
            (true, true) => Arrival::Same,
        }
    }

    /// Notes that something was heard of a device.
    pub(crate) fn heard(&mut self, number: DeviceNumber, now: Millis) {
        if let Some(device) = self.get_mut(number) {
            device.heard = now;
        }
    }

    /// Whoever is here has its lease anew: while the broker was away, nobody could be heard.
    pub(crate) fn renew(&mut self, now: Millis) {
        self.devices.iter_mut().filter(|device| device.online).for_each(|device| device.heard = now);
    }

    /// Takes those for gone of whom nothing was heard for the time of `lease`, and says who they are.
    pub(crate) fn expire(&mut self, now: Millis, lease: Duration) -> Vec<DeviceNumber> {
        let lease = lease.as_millis() as Millis;
        let silent = |device: &Device| device.online && now >= device.heard.saturating_add(lease);
        let gone: Vec<_> = self.iter().filter(|(_, device)| silent(device)).map(|(n, _)| n).collect();
        gone.iter().for_each(|&number| self.leave(number));
        gone
    }

    /// A device that is here no longer is.
    fn leave(&mut self, number: DeviceNumber) {
        if self.get(number).is_some_and(|device| device.online) {
            self.count(number, -1);
            if let Some(device) = self.get_mut(number) {
                device.online = false;
            }
        }
    }

    /// Takes a device out of the counts, or into them, by its last presence.
    fn count(&mut self, number: DeviceNumber, by: i32) {
        let fit = self.get(number).is_some_and(|device| self.fits(device));
        self.online = self.online.saturating_add_signed(by);
        self.fit = self.fit.saturating_add_signed(if fit { by } else { 0 });
    }

    /// Whether a device can take part at all.
    fn fits(&self, device: &Device) -> bool {
        let done = self.asked.once && device.last_accepted.is_some();
        !done
            && device.record.standing == Standing::Good
            && !self.is_outdated(device)
            && device
                .presence
                .as_ref()
                .is_some_and(|p| p.budget >= self.asked.min_budget && p.examples > 0 && p.tangents > 0)
    }

    /// Whether what runs on a device is older than the least version, or says none.
    pub(crate) fn is_outdated(&self, device: &Device) -> bool {
        let older = |p: &Presence| Version::of_software(&p.software) < self.asked.least_agent;
        device.presence.as_ref().is_some_and(older)
    }

    /// Devices that are here and can take part in `round`, ascending. Those that failed lately rest for some rounds, unless
    /// fewer than `needed` are left without them; and so do those that usually take longer than `deadline`.
    pub(crate) fn candidates(&self, round: RoundId, needed: usize, deadline: Duration) -> Vec<DeviceNumber> {
        let deadline = deadline.as_millis() as Millis;
        let (mut ready, mut resting) = (Vec::new(), Vec::new());
        for (number, device) in self.iter().filter(|(_, d)| d.online && self.fits(d)) {
            let slow = device.usual.is_some_and(|usual| usual >= deadline);
            let until = device.record.rests_until();
            if until <= round && !slow { ready.push(number) } else { resting.push((slow, until, number)) }
        }
        if ready.len() < needed {
            resting.sort_unstable();
            ready.extend(resting.iter().map(|&(_, _, number)| number).take(needed - ready.len()));
            ready.sort_unstable();
        }
        ready
    }

    /// Counts a refusal; whether it should also be answered.
    pub(crate) fn refuse(&mut self, number: DeviceNumber, round: RoundId, reason: Reason) -> bool {
        self.refusals = true;
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
    pub(crate) fn report(&mut self, number: DeviceNumber, report: &Report) -> bool {
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
            seconds: report.seconds,
            celsius: report.celsius,
            held_back: report.held_back,
        });
        true
    }

    /// Counts an update of `round`; the device's name and row, which is then up to date.
    pub(crate) fn accept(&mut self, number: DeviceNumber, round: RoundId) -> Option<(DeviceId, DeviceRow)> {
        let online = self.get(number)?.online;
        if online {
            self.count(number, -1);
        }
        let device = self.get_mut(number)?;
        device.accepted += 1;
        device.last_accepted = Some(round);
        device.record.selected = device.record.selected.saturating_add(1);
        device.record.failures = 0;
        let id = device.id.clone();
        if online {
            self.count(number, 1);
        }
        Some((id, self.row(number)?))
    }

    /// Whether a device that asks for what it misses is sent it now: not more often than once a second.
    pub(crate) fn serve(&mut self, number: DeviceNumber, now: Millis) -> bool {
        let Some(device) = self.get_mut(number) else { return false };
        let due = device.served.is_none_or(|last| now >= last + WANTS);
        if due {
            device.served = Some(now);
        }
        due
    }

    /// Strength of a device when groups are dealt: tokens a second.
    pub(crate) fn strength(&self, number: DeviceNumber) -> f32 {
        let rate = self.get(number).and_then(|d| d.presence.as_ref()).map_or(0.0, |p| p.rate);
        if rate.is_finite() { rate.max(0.0) } else { 0.0 }
    }

    /// The number of the device of this name.
    pub(crate) fn number(&self, id: &DeviceId) -> Option<DeviceNumber> {
        self.by_id.get(id).copied()
    }

    /// The device of this number.
    pub(crate) fn get(&self, number: DeviceNumber) -> Option<&Device> {
        self.devices.get(number.place()?)
    }

    fn get_mut(&mut self, number: DeviceNumber) -> Option<&mut Device> {
        self.devices.get_mut(number.place()?)
    }

    /// A device's row for the ledger, which is then up to date.
    pub(crate) fn row(&mut self, number: DeviceNumber) -> Option<DeviceRow> {
        let device = self.get_mut(number)?;
        device.changed = false;
        Some(device.row(number))
    }

    /// Rows of the devices whose refusals the ledger does not know of, which are then up to date; `None` if there was no
    /// refusal.
    pub(crate) fn refusals(&mut self) -> Option<Vec<DeviceRow>> {
        if !std::mem::take(&mut self.refusals) {
            return None;
        }
        let mut changed = std::mem::take(&mut self.changed);
        changed.retain(|&number| self.get(number).is_some_and(|device| device.changed));
        Some(changed.into_iter().filter_map(|number| self.row(number)).collect())
    }

    /// All devices by ascending number.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (DeviceNumber, &Device)> {
        (1..).map(DeviceNumber).zip(&self.devices)
    }

    /// All devices ever seen, but for those taken out.
    pub(crate) fn present(&self) -> u32 {
        self.devices.len() as u32 - self.removed
    }

    /// Devices here.
    pub(crate) fn online(&self) -> u32 {
        self.online
    }

    /// Devices here that can take part.
    pub(crate) fn fit(&self) -> u32 {
        self.fit
    }

    /// What always holds.
    pub(crate) fn holds(&self) -> Result<(), String> {
        let here = || self.devices.iter().filter(|device| device.online);
        let (online, fit) = (here().count(), here().filter(|device| self.fits(device)).count());
        if (online, fit) != (self.online as usize, self.fit as usize) {
            let (counted, able) = (self.online, self.fit);
            return Err(format!(
                "{online} devices are here, {fit} of them fit; counted {counted} and {able}"
            ));
        }
        let removed = self.devices.iter().filter(|device| device.is_removed()).count();
        if removed != self.removed as usize || here().any(Device::is_removed) {
            return Err(format!("{removed} devices are removed, {} counted, or some are here", self.removed));
        }
        if self.by_id.len() != self.present() as usize || self.present() > self.limit {
            return Err(format!("{} names for {} devices", self.by_id.len(), self.present()));
        }
        Ok(())
    }

    fn add(&mut self, device: Device) -> DeviceNumber {
        let number = DeviceNumber::at(self.devices.len());
        match device.is_removed() {
            true => self.removed += 1,
            false => drop(self.by_id.insert(device.id.clone(), number)),
        }
        self.devices.push(device);
        number
    }
}

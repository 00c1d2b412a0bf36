//! How what can happen to a fleet is done to a world.

use crate::course::World;
use crate::fate::Deed;
use crate::lead;
use crate::time::Watch;
use sprig_coordinator::Act;

impl World<'_> {
    /// A deed is done.
    pub(crate) fn does(&mut self, deed: Deed) {
        let now = self.time.now();
        let mut soon = |most: usize| now + self.random.below(most) as u64;
        let (short, long) = (soon(30_000), soon(180_000));
        let some = self.random.below(self.boards.len());
        match deed {
            Deed::CoordinatorPower => {
                self.lead.disk.cut();
                self.lead.ends(long);
            }
            Deed::CoordinatorSync => self.lead.disk.cut_after(self.random.below(6) as u32),
            Deed::CoordinatorKill => self.lead.ends(short),
            Deed::CoordinatorHangs => self.lead.still = long,
            Deed::CoordinatorDisk => {
                self.lead.disk.fails();
                self.mended = Some(long);
            }
            Deed::Copy => {
                let (run, round) = (self.lead.run, self.lead.round);
                self.lead.copy = self.lead.was_started.then(|| (run, round, self.lead.disk.image()));
            }
            Deed::PutBack => {
                let Some((run, round, image)) = self.lead.copy.clone() else { return };
                self.lead.ends(short);
                self.lead.disk.put_back(image);
                self.judge.borrow_mut().put_back(run, round);
            }
            Deed::DevicePower => self.boards[some].loses_power(now, long),
            Deed::DeviceSync => self.boards[some].disk.cut_after(self.random.below(4) as u32),
            Deed::DeviceKill => self.boards[some].ends(short),
            Deed::DeviceHangs => self.boards[some].still = long,
            Deed::DeviceWiped => {
                self.boards[some].loses_power(now, long);
                self.boards[some].disk.put_back(Vec::new());
            }
            Deed::DeviceDisk => {
                self.boards[some].disk.fails();
                self.boards[some].mended = Some(long);
            }
            Deed::Twin => {
                let twin = self.boards[some].twin(short, long);
                self.boards.push(twin);
            }
            Deed::DeviceShort => self.boards[some].desk.short.set(true),
            Deed::ClockJumps => {
                let ms = 1 + self.random.below(3_600_000) as u64;
                let clocks = self.boards.iter().map(|b| &b.desk.watch).chain([&self.lead.watch]);
                let clocks: Vec<&Watch> = clocks.collect();
                clocks[self.random.below(clocks.len())].jump(ms);
            }
            Deed::Cut => {
                let lead = self.random.chance(0.3);
                self.hub.cut(if lead { lead::NAME } else { self.boards[some].id.as_str() });
            }
            Deed::BrokerAway | Deed::BrokerForgets => {
                self.hub.stop();
                if deed == Deed::BrokerForgets {
                    self.hub.forget();
                }
                self.broker = Some(long);
            }
            Deed::Pause => {
                if let Some(handle) = &self.lead.handle {
                    handle.pause();
                }
                self.paused = Some(long);
            }
            Deed::Decide => {
                let act = if self.random.chance(0.5) { Act::Quarantine } else { Act::Allow };
                if let Some(handle) = &self.lead.handle {
                    handle.ask_to_decide(&self.boards[some].id, act);
                }
            }
        }
        *self.report.deeds.entry(deed).or_default() += 1;
        self.note(|| format!("{deed:?}"));
    }
}

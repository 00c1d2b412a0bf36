//! What an operator decides about devices, and what their own failures do.

use super::Machine;
use crate::countdown::Millis;
use crate::decision::{Decision, Entry};
use crate::event::Act;
use crate::ids::DeviceNumber;
use crate::notice::Notice;
use crate::registry::Course;
use crate::round::Hope;
use crate::rows::{Record, Standing};
use sprig_transport::messages::{DeviceId, Reason};

impl Machine {
    /// Why something cannot be done about a device, if it cannot.
    pub(crate) fn objection(&self, id: &DeviceId, act: Act) -> Option<String> {
        let Some(device) = self.registry.number(id).and_then(|number| self.registry.get(number)) else {
            return Some(format!("no device is called {id}; `sprig fleet devices` lists all"));
        };
        (act == Act::Remove && device.is_online()).then(|| {
            format!(
                "{id} is here and would come back at once; stop it or shut it out at the broker first, or use \
                 `sprig fleet quarantine`"
            )
        })
    }

    pub(super) fn change(&mut self, id: &DeviceId, act: Act, now: Millis, out: &mut Decision) {
        if self.objection(id, act).is_some() {
            return;
        }
        let Some(number) = self.registry.number(id) else { return };
        match act {
            Act::Quarantine => drop(self.registry.stand(number, Standing::Quarantined)),
            Act::Allow => drop(self.registry.stand(number, Standing::Good)),
            Act::Replace => self.registry.replace(number),
            Act::Remove => self.registry.remove(number),
        }
        if let Some(row) = self.registry.row(number) {
            out.commit(Entry::Device(row));
        }
        // What the broker keeps for it or of it is of the device that was.
        if matches!(act, Act::Replace | Act::Remove) {
            out.publish(self.topics.presence(id), Vec::new(), true);
            out.publish(self.topics.task(id), Vec::new(), true);
        }
        out.tell(Notice::Decided { device: id.to_string(), act });
        if act != Act::Allow {
            self.pass(number, Hope::Gone, now, out);
        }
    }

    /// What was refused is the end of a member's part in the round.
    pub(super) fn failed(&mut self, number: DeviceNumber, reason: Reason, now: Millis, out: &mut Decision) {
        let late = matches!(reason, Reason::Closed | Reason::WrongRound);
        if late {
            self.registry.late(number);
        } else {
            self.pass(number, Hope::Refused, now, out);
        }
    }

    /// Books how the round's members did; those whose updates are refused again and again are taken out.
    pub(super) fn book(&mut self, out: &mut Decision) {
        let round = self.round.id();
        let absent = |&(_, course): &(_, Course)| course != Course::InTime;
        let courses: Vec<_> = self.round.courses().filter(absent).collect();
        for (number, course) in courses {
            self.registry.book(number, round, course);
            let failures = self.registry.get(number).map_or(0, |device| device.record().failures);
            if course == Course::Refused
                && failures >= Record::TOO_OFTEN
                && self.registry.stand(number, Standing::Failing)
            {
                out.tell(Notice::Quarantined { device: self.name(number), rounds: failures });
            }
            if let Some(row) = self.registry.row(number) {
                out.commit(Entry::Device(row));
            }
        }
    }
}

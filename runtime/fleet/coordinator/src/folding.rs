//! Fleets that learn one adapter. Each coordinator leads a part of the devices and adds what the others' found in a round to what
//! its own did: whole numbers, so that all make the same adapter of them. None goes on without the others, so none can go another
//! way.

use crate::ids::RoundId;
use sprig_transport::messages::{Digest, FleetTotal, Round, RunId};

/// The totals of this fleet and of those that it is folded with.
#[derive(Debug)]
pub(crate) struct Folding {
    run: RunId,
    /// SHA-256 of the job's settings.
    settings: Digest,
    /// Numbers of a total.
    numbers: usize,
    /// Own totals, by their round's last bit: others may be a round behind.
    own: [Option<FleetTotal>; 2],
    others: Vec<Other>,
}

/// Another fleet.
#[derive(Debug)]
struct Other {
    name: String,
    /// The run that it is in, and the round, as it announces them.
    at: Option<(RunId, u32)>,
    /// The last that was heard, likewise.
    totals: [Option<FleetTotal>; 2],
}

/// What coordinators say to each other.
#[derive(Clone, Debug)]
pub(crate) enum Tidings {
    /// Where one stands.
    Round(Round),
    /// What its devices found.
    Total(FleetTotal),
}

impl Folding {
    /// That of the run `run` of a job with these `settings` with the fleets `others`, in totals of `numbers` numbers; `own` are those
    /// that the ledger has.
    pub(crate) fn new(
        run: RunId,
        settings: &str,
        numbers: usize,
        others: &[String],
        own: Vec<FleetTotal>,
    ) -> Self {
        let other = |name: &String| Other { name: name.clone(), at: None, totals: [None, None] };
        let settings = Digest::of(settings.as_bytes());
        let others = others.iter().map(other).collect();
        let mut this = Self { run, settings, numbers, own: [None, None], others };
        own.into_iter().for_each(|total| this.keep(total));
        this
    }

    /// Takes what the fleet `name` says. Whether it is in another run than was known: it has to be told anew what is for it.
    pub(crate) fn hear(&mut self, name: &str, tidings: Tidings) -> bool {
        let Some(other) = self.others.iter_mut().find(|other| other.name == name) else { return false };
        match tidings {
            Tidings::Total(total) => {
                let place = place(total.round);
                other.totals[place] = Some(total);
                false
            }
            Tidings::Round(round) => {
                let before = other.at.replace((round.run, round.round));
                before.is_none_or(|(run, _)| run != round.run)
            }
        }
    }

    /// Keeps what the own devices found.
    pub(crate) fn keep(&mut self, total: FleetTotal) {
        let place = place(total.round);
        self.own[place] = Some(total);
    }

    /// The own total of `round`, which follows the adapter `base`, if there is one.
    pub(crate) fn own(&self, round: RoundId, base: Digest) -> Option<&FleetTotal> {
        self.own[place(round.0)].as_ref().filter(|total| total.round == round.0 && total.base == base)
    }

    /// The own total of `devices` devices with `examples` examples: of none it has no numbers.
    pub(crate) fn total(
        &self,
        (round, base): (RoundId, Digest),
        (devices, examples): (u32, u64),
        numbers: Vec<i64>,
    ) -> FleetTotal {
        let (run, settings, partners) = (self.run, self.settings, Vec::new());
        FleetTotal { run, round: round.0, base, settings, devices, examples, numbers, partners }
    }

    /// What the others are told: the own totals, with the runs that they are for.
    pub(crate) fn told(&self) -> impl Iterator<Item = FleetTotal> {
        let partners: Vec<RunId> =
            self.others.iter().filter_map(|other| other.at.map(|(run, _)| run)).collect();
        let own = self.own.iter().flatten();
        own.map(move |total| FleetTotal { run: self.run, partners: partners.clone(), ..total.clone() })
    }

    /// The total over all fleets of the round whose own is `own`; or whom it waits for, in words.
    pub(crate) fn fold(&self, own: &FleetTotal) -> Result<FleetTotal, String> {
        let mut all = own.clone();
        let mut lacking = Vec::new();
        for other in &self.others {
            let found = other.total(own, self.run, self.numbers);
            match found.and_then(|total| add(&mut all, total)) {
                Ok(()) => {}
                Err(why) => lacking.push(format!("{} ({why})", other.name)),
            }
        }
        if lacking.is_empty() { Ok(all) } else { Err(lacking.join(", ")) }
    }
}

impl Other {
    /// Its total for the round of `own`, if that is one for `run`.
    fn total(&self, own: &FleetTotal, run: RunId, numbers: usize) -> Result<&FleetTotal, String> {
        let total = self.totals[place(own.round)].as_ref();
        // What the broker kept of a run that is past, on either side, is not for this one.
        let is_ours = |total: &&FleetTotal| {
            let theirs = self.at.is_some_and(|(theirs, _)| total.run == theirs);
            theirs && total.round == own.round && total.partners.contains(&run)
        };
        let Some(total) = total.filter(is_ours) else {
            return Err(match self.at {
                None => "not heard of".into(),
                Some((_, round)) => format!("in its round {round}"),
            });
        };
        if total.settings != own.settings {
            return Err("it has another model or other settings of [train] or `follow`".into());
        }
        if total.base != own.base {
            let (theirs, ours) = (total.base.short(), own.base.short());
            return Err(format!(
                "its adapter is {theirs}, here it is {ours}: begin both anew from one of them"
            ));
        }
        let wanted = if total.devices == 0 { 0 } else { numbers };
        if total.numbers.len() != wanted || (total.examples == 0) != (total.devices == 0) {
            return Err(format!("{} numbers in its total, not {wanted}", total.numbers.len()));
        }
        Ok(total)
    }
}

/// Adds `total` to `all`.
fn add(all: &mut FleetTotal, total: &FleetTotal) -> Result<(), String> {
    let beyond = || "numbers that no devices have".to_owned();
    let devices = all.devices.checked_add(total.devices).ok_or_else(beyond)?;
    let examples = all.examples.checked_add(total.examples).ok_or_else(beyond)?;
    let numbers = match (&all.numbers[..], &total.numbers[..]) {
        (_, []) => all.numbers.clone(),
        ([], theirs) => theirs.to_vec(),
        (ours, theirs) => {
            let sums = ours.iter().zip(theirs).map(|(a, b)| a.checked_add(*b));
            sums.collect::<Option<Vec<i64>>>().ok_or_else(beyond)?
        }
    };
    (all.devices, all.examples, all.numbers) = (devices, examples, numbers);
    Ok(())
}

/// Where totals of a round are.
fn place(round: u32) -> usize {
    round as usize % 2
}

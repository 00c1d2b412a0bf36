//! A plan: named regions of memory, what the ladder gave up for them, and whether they fit.

use crate::Bytes;
use serde::{Deserialize, Serialize};

/// Where the bytes of a region live.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Pages of a file mapped read-only; the kernel may take them back.
    Mapped,
    /// Slices of the one arena.
    Arena,
    /// Ordinary allocations.
    Heap,
    /// What the process holds before it plans: code, stacks, allocator overhead.
    Fixed,
}

impl Kind {
    /// The word used in tables and JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Kind::Mapped => "mapped",
            Kind::Arena => "arena",
            Kind::Heap => "heap",
            Kind::Fixed => "fixed",
        }
    }
}

/// One named piece of a plan.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Region {
    /// What lives there.
    pub name: String,
    /// Where it lives.
    pub kind: Kind,
    /// Its bytes, padding included.
    pub bytes: Bytes,
    /// How the bytes come about ("2 layers + head tile"); may be empty.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub note: String,
}

impl Region {
    /// A region without a note.
    pub fn new(name: impl Into<String>, kind: Kind, bytes: Bytes) -> Region {
        Region { name: name.into(), kind, bytes, note: String::new() }
    }

    /// The same region with a note.
    pub fn note(mut self, note: impl Into<String>) -> Region {
        self.note = note.into();
        self
    }
}

/// A step taken down the ladder: memory bought with time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Rung {
    /// Its name ("fewer tangents per pass").
    pub rung: String,
    /// What was changed, from what to what.
    pub why: String,
    /// Estimated time of a step against before (1.0: no cost).
    pub time_factor: f64,
}

/// What a run will hold at its peak. As JSON it also carries the totals, which are derived from
/// the regions and so ignored when read back.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(from = "PlanJson", into = "PlanJson")]
pub struct Plan {
    /// The most the process may hold.
    pub budget: Bytes,
    /// The smallest budget the whole ladder can reach.
    pub smallest_budget: Bytes,
    /// All regions that are alive at the peak.
    pub regions: Vec<Region>,
    /// Rungs taken, in order.
    pub ladder: Vec<Rung>,
}

impl Plan {
    /// A plan that took no rung; its own total is the smallest budget known.
    pub fn new(budget: Bytes, regions: Vec<Region>) -> Plan {
        let smallest_budget = regions.iter().map(|r| r.bytes).sum();
        Plan { budget, smallest_budget, regions, ladder: Vec::new() }
    }

    /// Everything.
    pub fn total(&self) -> Bytes {
        self.regions.iter().map(|r| r.bytes).sum()
    }

    /// Bytes of one kind.
    pub fn of_kind(&self, kind: Kind) -> Bytes {
        self.regions.iter().filter(|r| r.kind == kind).map(|r| r.bytes).sum()
    }

    /// Mapped file pages.
    pub fn mapped(&self) -> Bytes {
        self.of_kind(Kind::Mapped)
    }

    /// Everything that is not mapped: arena, heap and fixed.
    pub fn heap(&self) -> Bytes {
        self.regions.iter().filter(|r| r.kind != Kind::Mapped).map(|r| r.bytes).sum()
    }

    /// The arena to allocate.
    pub fn arena(&self) -> Bytes {
        self.of_kind(Kind::Arena)
    }

    /// Whether the total is within the budget.
    pub fn fits(&self) -> bool {
        self.total() <= self.budget
    }

    /// Product of the time factors of the rungs taken.
    pub fn time_factor(&self) -> f64 {
        self.ladder.iter().map(|r| r.time_factor).product()
    }
}

/// The plan on paper; scripts read these names.
#[derive(Serialize, Deserialize)]
struct PlanJson {
    #[serde(skip_deserializing)]
    fits: bool,
    budget_bytes: Bytes,
    #[serde(skip_deserializing)]
    total_bytes: Bytes,
    #[serde(skip_deserializing)]
    mapped_bytes: Bytes,
    #[serde(skip_deserializing)]
    heap_bytes: Bytes,
    smallest_budget_bytes: Bytes,
    regions: Vec<Region>,
    ladder: Vec<Rung>,
}

impl From<Plan> for PlanJson {
    fn from(plan: Plan) -> PlanJson {
        PlanJson {
            fits: plan.fits(),
            budget_bytes: plan.budget,
            total_bytes: plan.total(),
            mapped_bytes: plan.mapped(),
            heap_bytes: plan.heap(),
            smallest_budget_bytes: plan.smallest_budget,
            regions: plan.regions,
            ladder: plan.ladder,
        }
    }
}

impl From<PlanJson> for Plan {
    fn from(json: PlanJson) -> Plan {
        Plan {
            budget: json.budget_bytes,
            smallest_budget: json.smallest_budget_bytes,
            regions: json.regions,
            ladder: json.ladder,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_is_the_contract_and_reads_back() {
        let mut plan = Plan::new(
            Bytes(100),
            vec![
                Region::new("weights", Kind::Mapped, Bytes(60)),
                Region::new("scratch", Kind::Arena, Bytes(30)),
            ],
        );
        plan.ladder.push(Rung { rung: "tiles".into(), why: "256 to 128".into(), time_factor: 1.5 });
        let text = serde_json::to_string(&plan).unwrap();
        assert_eq!(
            text,
            r#"{"fits":true,"budget_bytes":100,"total_bytes":90,"mapped_bytes":60,"heap_bytes":30,"smallest_budget_bytes":90,"regions":[{"name":"weights","kind":"mapped","bytes":60},{"name":"scratch","kind":"arena","bytes":30}],"ladder":[{"rung":"tiles","why":"256 to 128","time_factor":1.5}]}"#
        );
        assert_eq!(serde_json::from_str::<Plan>(&text).unwrap(), plan);
    }

    #[test]
    fn a_forged_total_is_not_believed() {
        let text = r#"{"fits":true,"budget_bytes":10,"total_bytes":1,"mapped_bytes":0,"heap_bytes":0,"smallest_budget_bytes":1,"regions":[{"name":"w","kind":"fixed","bytes":11}],"ladder":[]}"#;
        let plan: Plan = serde_json::from_str(text).unwrap();
        assert!(!plan.fits() && plan.total() == Bytes(11));
    }
}

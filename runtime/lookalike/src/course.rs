//! The order of supervised steps and preferences (specification 3 and 4). Only that they alternate is the paper's.

use serde::{Deserialize, Serialize};
use sprig_ground::names;

/// How supervised steps and preferences follow one another.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Schedule {
    /// A: in every cycle supervised steps, mining anew, preferences.
    #[default]
    Cycles,
    /// B: the same, mined once, after the first supervised steps.
    Epochs,
    /// C: after the first supervised steps a supervised batch and one of preferences in turn, mined once.
    Batches,
    /// After the first supervised steps both in every batch, mined once.
    Joint,
    /// Supervised steps, then preferences, mined once.
    Once,
    /// Supervised steps alone: what the others have to beat.
    Supervised,
}

names!(
    Schedule,
    "schedule",
    [Cycles = "a", Epochs = "b", Batches = "c", Joint = "joint", Once = "once", Supervised = "sft"]
);

/// Steps of a cycle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Steps {
    /// Supervised ones.
    pub supervised: u64,
    /// Of preferences.
    pub preferred: u64,
}

/// What a phase trains.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Goal {
    /// The gold answers of all questions.
    Supervised,
    /// Gold answers against mined ones.
    Preferred,
    /// Either in turn, batch by batch.
    Alternating,
    /// Mined pairs by both at once.
    Joint,
}

/// Steps under one optimiser, whose learning rate rises and falls once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Phase {
    /// What it trains.
    pub goal: Goal,
    /// Its steps.
    pub steps: u64,
    /// Whether pairs are mined before it, with the model as it is then.
    pub mines: bool,
}

/// The phases of `cycles` cycles: of any schedule as many steps in all.
pub fn phases(schedule: Schedule, cycles: u64, steps: Steps) -> Vec<Phase> {
    let Steps { supervised, preferred } = steps;
    let all = cycles * (supervised + preferred);
    let phase = |goal, steps, mines| Phase { goal, steps, mines };
    let first = phase(Goal::Supervised, supervised, false);
    let rest = |goal| vec![first, phase(goal, all.saturating_sub(supervised), true)];
    let cycle = |cycle: u64| {
        let mines = schedule == Schedule::Cycles || cycle == 0;
        [first, phase(Goal::Preferred, preferred, mines)]
    };
    let planned = match schedule {
        Schedule::Cycles | Schedule::Epochs => (0..cycles).flat_map(cycle).collect(),
        Schedule::Batches => rest(Goal::Alternating),
        Schedule::Joint => rest(Goal::Joint),
        Schedule::Once => vec![
            phase(Goal::Supervised, cycles * supervised, false),
            phase(Goal::Preferred, cycles * preferred, true),
        ],
        Schedule::Supervised => vec![phase(Goal::Supervised, all, false)],
    };
    joined(planned)
}

/// Without phases of no steps, and what then follows its like is one.
fn joined(planned: Vec<Phase>) -> Vec<Phase> {
    let mut phases: Vec<Phase> = Vec::new();
    for next in planned.into_iter().filter(|phase| phase.steps > 0) {
        match phases.last_mut() {
            Some(last) if last.goal == next.goal && !next.mines => last.steps += next.steps,
            _ => phases.push(next),
        }
    }
    phases
}

#[cfg(test)]
mod tests {
    use super::*;

    const STEPS: Steps = Steps { supervised: 30, preferred: 20 };

    #[test]
    fn every_schedule_takes_as_many_steps() {
        for schedule in Schedule::ALL {
            let phases = phases(schedule, 3, STEPS);
            assert_eq!(phases.iter().map(|phase| phase.steps).sum::<u64>(), 150, "{schedule}");
            assert_eq!(phases[0].goal, Goal::Supervised, "{schedule}");
            let mined = phases.iter().filter(|phase| phase.mines).count();
            let wanted = match schedule {
                Schedule::Cycles => 3,
                Schedule::Supervised => 0,
                _ => 1,
            };
            assert_eq!(mined, wanted, "{schedule}");
            // Nothing is preferred before it was mined.
            let first = phases.iter().position(|phase| phase.goal != Goal::Supervised);
            assert!(first.is_none_or(|first| phases[first].mines), "{schedule}");
        }
    }

    /// V14.
    #[test]
    fn cycles_without_preferences_are_supervised_steps() {
        let none = Steps { preferred: 0, ..STEPS };
        assert_eq!(phases(Schedule::Cycles, 3, none), phases(Schedule::Supervised, 3, none));
    }
}

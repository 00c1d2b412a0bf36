//! Which way of learning a training takes when nobody names one: of those that the budget has room for, the one that
//! learns most. The order rests on what docs/results.md compares: a read-out learns labels better than any gradient and
//! from one plain pass; exact gradients learn in a tenth of the passes of forward ones; those are what is left where the
//! memory is too little for either.

use crate::data::Task;
use crate::estimator::Method;
use crate::recipe::Way;
use sprig_budget::Bytes;

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Question {
    /// The way that was named, or [`Way::Auto`].
    pub asked: Way,
    /// What is learnt.
    pub task: Task,
    /// Whether steps were asked for: how many, how far, or what they train.
    pub steps: bool,
    /// Whether something was asked of directions.
    pub directions: bool,
}

/// A way to learn, as far as it was planned.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Candidate {
    /// The way.
    pub way: Way,
    /// What it would hold; or, where there is no room for it, the smallest budget that would do.
    pub room: Result<Bytes, Bytes>,
}

/// What was decided of a candidate.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    /// Whether it is the one.
    pub chosen: bool,
    /// Why, or why not.
    pub why: String,
}

const REVERSE: Way = Way::Steps(Method::Reverse);
const FORWARD: Way = Way::Steps(Method::Forward);

impl Question {
    /// The ways that can answer it, the one that learns most first.
    pub fn ways(&self) -> impl Iterator<Item = Way> + use<> {
        let read_out = (self.task != Task::Lm).then_some(Way::ReadOut);
        read_out.into_iter().chain([REVERSE, FORWARD, Way::Steps(Method::Mezo)])
    }

    /// Decides among `candidates`, which are in the order of [`ways`](Self::ways): the one that was named, or the first
    /// that there is room for. Where there is room for none, nothing is chosen.
    pub fn choose(&self, candidates: &[Candidate]) -> Vec<Verdict> {
        let fits = |c: &&Candidate| c.room.is_ok() && self.takes(c.way);
        let chosen = match self.asked {
            Way::Auto => candidates.iter().find(fits).map(|c| c.way),
            named => Some(named),
        };
        candidates.iter().map(|candidate| self.verdict(candidate, chosen)).collect()
    }

    /// Whether it may be answered by `way` without that being named.
    pub fn takes(&self, way: Way) -> bool {
        self.against(way).is_none()
    }

    fn verdict(&self, candidate: &Candidate, chosen: Option<Way>) -> Verdict {
        let Candidate { way, room } = *candidate;
        let (named, chosen) = (self.asked != Way::Auto, chosen.map(|chosen| (chosen, chosen == way)));
        let why = match (room, chosen) {
            (Err(smallest), _) => format!("needs a budget of {smallest} or more"),
            (Ok(_), Some((_, true))) if named => "was named".to_owned(),
            (Ok(_), Some((_, true))) => merit(way).to_owned(),
            (Ok(_), Some((other, false))) if named => format!("{other} was named"),
            (Ok(_), chosen) => match (self.against(way), chosen) {
                (Some(why), _) => why.to_owned(),
                (None, Some((better, _))) => format!("there is room for {better}, which learns more"),
                (None, None) => merit(way).to_owned(),
            },
        };
        Verdict { chosen: chosen.is_some_and(|(_, mine)| mine), why }
    }

    /// Why `way` is not taken unless it is named.
    fn against(&self, way: Way) -> Option<&'static str> {
        match way {
            Way::ReadOut if self.task != Task::Label => Some("is measured on labels alone"),
            Way::ReadOut if self.steps || self.directions => Some("takes no steps, which were asked for"),
            Way::Steps(Method::Reverse) if self.directions => {
                Some("takes no directions, which were asked for")
            }
            Way::Steps(Method::Mezo | Method::Baffle | Method::FwdLlm) => Some("is there to compare with"),
            Way::Auto | Way::ReadOut | Way::Steps(_) => None,
        }
    }
}

/// What speaks for a way.
fn merit(way: Way) -> &'static str {
    match way {
        Way::ReadOut => "learns labels in closed form, from one plain pass",
        REVERSE => "has the exact gradient, and there is room for it",
        _ => "takes the least memory",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const AUTO: Question = Question { asked: Way::Auto, task: Task::Label, steps: false, directions: false };

    fn decide(question: Question, room: [Result<u64, u64>; 3]) -> Vec<(bool, String)> {
        let candidates: Vec<_> = [Way::ReadOut, REVERSE, FORWARD]
            .into_iter()
            .zip(room)
            .map(|(way, room)| Candidate { way, room: room.map(Bytes::mib).map_err(Bytes::mib) })
            .collect();
        question.choose(&candidates).into_iter().map(|v| (v.chosen, v.why)).collect()
    }

    fn chosen(question: Question, room: [Result<u64, u64>; 3]) -> Option<usize> {
        decide(question, room).iter().position(|(chosen, _)| *chosen)
    }

    #[test]
    fn the_first_that_fits_is_taken() {
        let verdicts = decide(AUTO, [Err(40), Ok(20), Ok(10)]);
        assert_eq!(verdicts.iter().map(|v| v.0).collect::<Vec<_>>(), [false, true, false]);
        assert!(
            verdicts[0].1.contains("40.0 MiB") && verdicts[2].1.contains("room for reverse"),
            "{verdicts:?}"
        );
        assert_eq!(chosen(AUTO, [Ok(40), Ok(20), Ok(10)]), Some(0));
        assert_eq!(chosen(AUTO, [Err(40), Err(20), Err(10)]), None);
    }

    #[test]
    fn what_was_asked_for_leaves_out_what_has_it_not() {
        let all = [Ok(3), Ok(2), Ok(1)];
        assert_eq!(chosen(Question { task: Task::Choice, ..AUTO }, all), Some(1));
        assert_eq!(chosen(Question { steps: true, ..AUTO }, all), Some(1));
        assert_eq!(chosen(Question { directions: true, ..AUTO }, all), Some(2));
        assert_eq!(chosen(Question { asked: FORWARD, ..AUTO }, all), Some(2));
        assert_eq!(decide(Question { asked: FORWARD, ..AUTO }, all)[0].1, "forward was named");
        let ways = |task| Question { task, ..AUTO }.ways().collect::<Vec<_>>();
        assert_eq!((ways(Task::Label)[0], ways(Task::Lm)[0]), (Way::ReadOut, REVERSE));
    }
}

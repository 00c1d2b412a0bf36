//! Which way of learning a training takes when nobody names one: of those that the budget has room for, the one that
//! learns most. The order rests on what docs/results.md compares: a read-out learns labels as well as any gradient and from
//! one plain pass; exact gradients learn in a tenth of the passes of forward ones; those are what is left where the
//! memory is too little for either.

use crate::data::Task;
use crate::estimator::Method;
use crate::recipe::Way;
use sprig_budget::Bytes;

/// What is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    /// The way that was named, or [`Way::Auto`].
    pub asked: Way,
    /// What is learnt.
    pub task: Task,
    /// Settings that were given, by the names a user knows them by, and what has a use for each.
    pub given: Vec<(Use, String)>,
}

/// What a setting that not every way has a use for is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Use {
    /// Steps: how many, how far, and what they train.
    Steps,
    /// Directions that derivatives are taken along.
    Directions,
    /// How far weights are moved along them.
    Differences,
    /// How much estimates may vary.
    Variance,
    /// Sums over examples.
    Sums,
}

/// A way to learn, as far as it was planned.
#[derive(Clone, Debug, PartialEq)]
pub struct Candidate {
    /// The way.
    pub way: Way,
    /// What it would hold; or, where there is no room for it, the smallest budget that would do.
    pub room: Result<Bytes, Bytes>,
    /// Why it cannot learn from the data, where it cannot.
    pub unfit: Option<String>,
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

impl Use {
    /// Whether `way` has a use for it.
    pub const fn is_of(self, way: Way) -> bool {
        match (self, way) {
            (Self::Sums, way) => matches!(way, Way::ReadOut),
            (_, Way::Auto | Way::ReadOut) => false,
            (Self::Steps, Way::Steps(_)) => true,
            (Self::Directions, Way::Steps(method)) => !matches!(method, Method::Reverse),
            (Self::Differences, Way::Steps(method)) => method.is_by_differences(),
            (Self::Variance, Way::Steps(method)) => matches!(method, Method::FwdLlm),
        }
    }

    /// A way that has.
    pub const fn way(self) -> Way {
        match self {
            Self::Steps => REVERSE,
            Self::Directions => FORWARD,
            Self::Differences => Way::Steps(Method::Mezo),
            Self::Variance => Way::Steps(Method::FwdLlm),
            Self::Sums => Way::ReadOut,
        }
    }
}

impl Question {
    /// The ways that can answer it, the one that learns most first.
    pub fn ways(&self) -> impl Iterator<Item = Way> + use<> {
        let read_out = matches!(self.task, Task::Label | Task::Choice).then_some(Way::ReadOut);
        read_out.into_iter().chain([REVERSE, FORWARD, Way::Steps(Method::Mezo)])
    }

    /// A setting that was given and that the way that was named has no use for, and a way that has.
    pub fn useless(&self) -> Option<(&str, Way)> {
        let (what, setting) = self.given.iter().find(|(what, _)| !what.is_of(self.asked))?;
        (self.asked != Way::Auto).then_some((setting, what.way()))
    }

    /// Decides among `candidates`, which are in the order of [`ways`](Self::ways): the one that was named, or the first
    /// that there is room for and that can learn from the data. Where there is none, nothing is chosen.
    pub fn choose(&self, candidates: &[Candidate]) -> Vec<Verdict> {
        let fits = |c: &&Candidate| c.room.is_ok() && c.unfit.is_none() && self.takes(c.way);
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
        let Candidate { way, room, ref unfit } = *candidate;
        let (named, chosen) = (self.asked != Way::Auto, chosen.map(|chosen| (chosen, chosen == way)));
        let against = || unfit.clone().or_else(|| self.against(way));
        let why = match (room, chosen) {
            (Err(smallest), _) => format!("needs a budget of {smallest} or more"),
            (Ok(_), Some((_, true))) if named => "was named".to_owned(),
            (Ok(_), Some((_, true))) => merit(way).to_owned(),
            (Ok(_), Some((other, false))) if named => format!("{other} was named"),
            (Ok(_), chosen) => match (against(), chosen) {
                (Some(why), _) => why,
                (None, Some((better, _))) => format!("there is room for {better}, which learns more"),
                (None, None) => merit(way).to_owned(),
            },
        };
        Verdict { chosen: chosen.is_some_and(|(_, mine)| mine), why }
    }

    /// Why `way` is not taken unless it is named.
    fn against(&self, way: Way) -> Option<String> {
        let useless = self.given.iter().find(|(what, _)| !what.is_of(way));
        match way {
            Way::ReadOut if self.task != Task::Label => Some("is measured on labels alone".to_owned()),
            Way::Steps(Method::Mezo | Method::Baffle | Method::FwdLlm) => {
                Some("is there to compare with".to_owned())
            }
            Way::Auto | Way::ReadOut | Way::Steps(_) => {
                useless.map(|(_, setting)| format!("has no use for {setting}, which was given"))
            }
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

    const AUTO: Question = Question { asked: Way::Auto, task: Task::Label, given: Vec::new() };
    const ALL: [Result<u64, u64>; 3] = [Ok(3), Ok(2), Ok(1)];

    fn given(what: Use, setting: &str) -> Question {
        Question { given: vec![(what, setting.to_owned())], ..AUTO }
    }

    fn candidates(room: [Result<u64, u64>; 3]) -> Vec<Candidate> {
        let room = room.map(|room| room.map(Bytes::mib).map_err(Bytes::mib));
        let ways = [Way::ReadOut, REVERSE, FORWARD].into_iter().zip(room);
        ways.map(|(way, room)| Candidate { way, room, unfit: None }).collect()
    }

    fn place(verdicts: &[Verdict]) -> Option<usize> {
        verdicts.iter().position(|verdict| verdict.chosen)
    }

    fn chosen(question: &Question, room: [Result<u64, u64>; 3]) -> Option<usize> {
        place(&question.choose(&candidates(room)))
    }

    #[test]
    fn the_first_that_fits_is_taken() {
        let verdicts = AUTO.choose(&candidates([Err(40), Ok(20), Ok(10)]));
        assert_eq!(place(&verdicts), Some(1));
        assert!(verdicts[0].why.contains("40.0 MiB"), "{verdicts:?}");
        assert!(verdicts[2].why.contains("room for reverse"), "{verdicts:?}");
        assert_eq!(chosen(&AUTO, [Ok(40), Ok(20), Ok(10)]), Some(0));
        assert_eq!(chosen(&AUTO, [Err(40), Err(20), Err(10)]), None);
    }

    #[test]
    fn what_was_asked_for_leaves_out_what_has_it_not() {
        assert_eq!(chosen(&Question { task: Task::Choice, ..AUTO }, ALL), Some(1));
        assert_eq!(chosen(&given(Use::Steps, "--lr"), ALL), Some(1));
        assert_eq!(chosen(&given(Use::Directions, "--tangents"), ALL), Some(2));
        assert_eq!(chosen(&given(Use::Variance, "--variance-limit"), ALL), None);
        let why = given(Use::Steps, "--lr").choose(&candidates(ALL)).swap_remove(0).why;
        assert_eq!(why, "has no use for --lr, which was given");
        let named = Question { asked: FORWARD, ..AUTO };
        assert_eq!(chosen(&named, ALL), Some(2));
        assert_eq!(named.choose(&candidates(ALL))[0].why, "forward was named");
        let ways = |task| Question { task, ..AUTO }.ways().collect::<Vec<_>>();
        assert_eq!((ways(Task::Label)[0], ways(Task::Lm)[0]), (Way::ReadOut, REVERSE));
    }

    #[test]
    fn data_that_a_way_cannot_take_leave_it_out() {
        let mut candidates = candidates(ALL);
        candidates[0].unfit = Some("cannot take weights".to_owned());
        let verdicts = AUTO.choose(&candidates);
        assert_eq!((place(&verdicts), &*verdicts[0].why), (Some(1), "cannot take weights"));
    }

    #[test]
    fn settings_without_a_use_are_told_of_where_a_way_was_named() {
        let of = |asked, what| Question { asked, ..given(what, "--x") };
        for (asked, what, remedy) in [
            (REVERSE, Use::Directions, FORWARD),
            (Way::ReadOut, Use::Steps, REVERSE),
            (FORWARD, Use::Differences, Way::Steps(Method::Mezo)),
            (Way::Steps(Method::Mezo), Use::Variance, Way::Steps(Method::FwdLlm)),
            (FORWARD, Use::Sums, Way::ReadOut),
        ] {
            assert_eq!(of(asked, what).useless(), Some(("--x", remedy)), "{asked}");
            assert!(what.is_of(remedy) && of(remedy, what).useless().is_none());
            assert_eq!(of(Way::Auto, what).useless(), None);
        }
    }
}

//! What of a model's answers contradicts what it was asked, by execution (specification 4 and 6.4): no opinion is asked for.

use sprig_ground::names;
use sprig_mcq::{Answer, Code, Item, agree, apply, canon, explain};

/// How an answer is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// The right answer, where a wrong one was asked for.
    Key,
    /// M2, a swap: the wrong answer of another error of the same stem.
    Swap,
    /// M1, a mismatch: an answer that the error asked about does not lead to, nor any other.
    Mismatch,
    /// M3, a broken cycle: an error that does not lead back to the wrong answer.
    Cycle,
}

names!(Kind, "kind", [Key = "key", Swap = "swap", Mismatch = "mismatch", Cycle = "cycle"]);

/// What an answer is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wrong {
    /// As asked, if perhaps by another route: never to be learnt against.
    Not,
    /// It has no canonical form.
    Malformed,
    /// Wrong, and how; two with the same form are one.
    So(Kind, Form),
}

/// What two answers that mean the same have in common.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Form {
    /// A wrong answer.
    Answer(Answer),
    /// An error.
    Code(Code),
}

/// What `text` is as the answer that follows from the error `asked` (T1).
pub fn wrong_answer(item: &Item, asked: Code, text: &str) -> Wrong {
    let Ok(given) = canon(text) else { return Wrong::Malformed };
    // An answer of the asked error is right by whichever route it came.
    let makers = explain(&item.stem, &given);
    let follows = apply(asked, &item.stem).is_ok_and(|wanted| agree(&item.stem, &given, &wanted));
    let kind = match (agree(&item.stem, &given, &item.key), makers.is_empty()) {
        _ if follows || makers.contains(&asked) => return Wrong::Not,
        (true, _) => Kind::Key,
        (false, false) => Kind::Swap,
        (false, true) => Kind::Mismatch,
    };
    Wrong::So(kind, Form::Answer(given))
}

/// What `text` is as the error that leads to `shown` (T2).
pub fn wrong_name(item: &Item, shown: &Answer, text: &str) -> Wrong {
    let Some(named) = Code::read(text) else { return Wrong::Malformed };
    let leads = apply(named, &item.stem).is_ok_and(|answer| agree(&item.stem, &answer, shown));
    if leads { Wrong::Not } else { Wrong::So(Kind::Cycle, Form::Code(named)) }
}

impl Form {
    /// Whether both mean the same of `item`.
    pub fn same(&self, other: &Self, item: &Item) -> bool {
        match (self, other) {
            (Self::Answer(one), Self::Answer(two)) => agree(&item.stem, one, two),
            (Self::Code(one), Self::Code(two)) => one == two,
            _ => false,
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use sprig_mcq::{Family, Fault, Stem, Template};

    /// -4x + 6 = 26: right -5; ADDSAME -8, DROPNEG 5, MULDIV2 -80, SUBCOEF2 24.
    pub(crate) fn item() -> Item {
        let stem = Stem::TwoStep { a: -4, b: 6, c: 26 };
        let fault = |code: Code| Fault { code, text: code.closed(), answer: apply(code, &stem).unwrap() };
        Item {
            family: Family::LinMinus,
            index: 0,
            stem,
            template: Template::Bare,
            text: Template::Bare.tell(Family::LinMinus, &stem),
            key: Answer::whole(-5).unwrap(),
            faults: [Code::AddSame, Code::DropNeg, Code::MulDiv2, Code::SubCoef2].map(fault).to_vec(),
        }
    }

    #[test]
    fn answers_are_typed_by_what_leads_to_them() {
        let kind = |text: &str| match wrong_answer(&item(), Code::AddSame, text) {
            Wrong::So(kind, _) => Some(kind),
            Wrong::Not | Wrong::Malformed => None,
        };
        assert_eq!(kind("x = -8"), None, "as asked");
        assert_eq!(kind("-16/2"), None, "the same in other words");
        assert_eq!(kind("-5"), Some(Kind::Key));
        assert_eq!(kind("24"), Some(Kind::Swap));
        assert_eq!(kind("17"), Some(Kind::Mismatch));
        assert_eq!(wrong_answer(&item(), Code::AddSame, "many"), Wrong::Malformed);
    }

    /// V10: REVSUB makes 5 of this stem as DROPNEG does, so that naming it is no inconsistency.
    #[test]
    fn another_route_to_the_same_answer_is_not_wrong() {
        let shown = Answer::whole(5).unwrap();
        assert_eq!(wrong_name(&item(), &shown, &Code::RevSub.closed()), Wrong::Not);
        assert_eq!(wrong_name(&item(), &shown, &Code::DropNeg.closed()), Wrong::Not);
        let cycle = wrong_name(&item(), &shown, &Code::AddSame.closed());
        assert_eq!(cycle, Wrong::So(Kind::Cycle, Form::Code(Code::AddSame)));
        // An error that the stem is outside of leads nowhere.
        assert!(matches!(wrong_name(&item(), &shown, &Code::Sfl.closed()), Wrong::So(Kind::Cycle, _)));
        assert_eq!(wrong_name(&item(), &shown, "E99 guesses"), Wrong::Malformed);
    }
}

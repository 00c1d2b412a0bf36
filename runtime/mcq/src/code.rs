//! The error library's codes and where each is documented (specification 6.5).

use sprig_ground::names;

/// A systematic error: what a student does instead of the right thing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[allow(missing_docs, reason = "`Code::description` says what each does")]
pub enum Code {
    Sfl,
    Bnd,
    Znn,
    Sbz,
    AddBoth,
    LcdKeep,
    IgnDen,
    SubBoth,
    KeepDen,
    NoInv,
    InvDividend,
    InvBoth,
    ScaleBoth,
    HalfSimp,
    Longer,
    DecJoin,
    DecBring,
    DecLeft,
    SignAdd,
    SignDiv,
    Ltr,
    SubFirst,
    BothFirst,
    AddSame,
    SubNeg,
    DropNeg,
    RevSub,
    MulDiv,
    MulDiv2,
    DivMul,
    SubCoef,
    SubCoef2,
    PTimesN,
    DivNoPct,
    AddPct,
    PartWhole,
    NoMid,
    Switch,
    ConstMul,
}

names!(
    Code,
    "error code",
    [
        Sfl = "SFL",
        Bnd = "BND",
        Znn = "ZNN",
        Sbz = "SBZ",
        AddBoth = "ADDBOTH",
        LcdKeep = "LCDKEEP",
        IgnDen = "IGNDEN",
        SubBoth = "SUBBOTH",
        KeepDen = "KEEPDEN",
        NoInv = "NOINV",
        InvDividend = "INVDIVIDEND",
        InvBoth = "INVBOTH",
        ScaleBoth = "SCALEBOTH",
        HalfSimp = "HALFSIMP",
        Longer = "LONGER",
        DecJoin = "DECJOIN",
        DecBring = "DECBRING",
        DecLeft = "DECLEFT",
        SignAdd = "SIGNADD",
        SignDiv = "SIGNDIV",
        Ltr = "LTR",
        SubFirst = "SUBFIRST",
        BothFirst = "BOTHFIRST",
        AddSame = "ADDSAME",
        SubNeg = "SUBNEG",
        DropNeg = "DROPNEG",
        RevSub = "REVSUB",
        MulDiv = "MULDIV",
        MulDiv2 = "MULDIV2",
        DivMul = "DIVMUL",
        SubCoef = "SUBCOEF",
        SubCoef2 = "SUBCOEF2",
        PTimesN = "PTIMESN",
        DivNoPct = "DIVNOPCT",
        AddPct = "ADDPCT",
        PartWhole = "PARTWHOLE",
        NoMid = "NOMID",
        Switch = "SWITCH",
        ConstMul = "CONSTMUL",
    ]
);

/// Where an error is documented.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Source {
    /// The BUGGY family (Brown and Burton 1978), or a misconception list, as Malrule-Diagnose indexes it.
    Buggy,
    /// A misconception's number in MaE.
    Mae(u8),
    /// A label's index in CogTutorBugs.
    CogTutor(u8),
    /// This library's own addition, documented nowhere.
    Own,
}

impl Code {
    /// Its place in the library, from 1: part of its closed text, so it never changes.
    pub const fn number(self) -> usize {
        self as usize + 1
    }

    /// Where it is documented; one that is the library's own has that source alone.
    pub const fn sources(self) -> &'static [Source] {
        use Source::{Buggy, CogTutor, Mae, Own};
        match self {
            Self::Sfl => &[Buggy, Mae(21)],
            Self::Bnd | Self::Znn | Self::Sbz => &[Buggy],
            Self::AddBoth => &[Mae(8), Buggy],
            Self::LcdKeep => &[Mae(9)],
            Self::IgnDen | Self::SubBoth | Self::KeepDen | Self::NoInv => &[Buggy],
            Self::InvDividend => &[Mae(15)],
            Self::ScaleBoth => &[Mae(13)],
            Self::HalfSimp => &[Mae(7)],
            Self::Longer => &[Mae(5)],
            Self::DecJoin => &[Mae(16)],
            Self::DecBring => &[Mae(17)],
            Self::DecLeft => &[Mae(20)],
            Self::SignAdd => &[Mae(18), CogTutor(15)],
            Self::SignDiv => &[CogTutor(9)],
            Self::Ltr => &[Mae(34)],
            Self::AddSame => &[CogTutor(6)],
            Self::SubNeg => &[CogTutor(7)],
            Self::DropNeg => &[CogTutor(12), CogTutor(14)],
            Self::RevSub => &[Mae(33), CogTutor(4)],
            Self::MulDiv | Self::DivMul => &[CogTutor(10)],
            Self::SubCoef => &[CogTutor(2)],
            Self::PTimesN => &[Mae(30)],
            Self::PartWhole => &[Mae(29)],
            Self::NoMid => &[Mae(4)],
            Self::Switch => &[Mae(45)],
            Self::ConstMul => &[Mae(42)],
            Self::InvBoth
            | Self::SubFirst
            | Self::BothFirst
            | Self::MulDiv2
            | Self::SubCoef2
            | Self::DivNoPct
            | Self::AddPct => &[Own],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_the_places_in_the_table() {
        let numbers: Vec<usize> = Code::ALL.map(Code::number).to_vec();
        assert_eq!(numbers, (1..=39).collect::<Vec<_>>());
        assert_eq!((Code::Sfl.number(), Code::AddSame.number(), Code::ConstMul.number()), (1, 24, 39));
    }

    #[test]
    fn what_is_our_own_is_never_called_documented() {
        let own: Vec<&str> =
            Code::ALL.iter().filter(|code| code.sources() == [Source::Own]).map(|code| code.name()).collect();
        assert_eq!(own, ["INVBOTH", "SUBFIRST", "BOTHFIRST", "MULDIV2", "SUBCOEF2", "DIVNOPCT", "ADDPCT"]);
        let mixed = |code: &Code| code.sources().len() > 1 && code.sources().contains(&Source::Own);
        assert!(!Code::ALL.iter().any(mixed));
    }
}

//! Which board a machine is: what it says of itself must agree, or it is none that we know.

use crate::board::{Board, means};
use crate::boards::Boards;
use crate::facts::{Cpu, Facts};
use serde::Serialize;
use std::fmt;

/// Why a machine is taken for a board.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum How {
    /// This entry of the device tree's `compatible`.
    Compatible(String),
    /// The device tree's `model`.
    Model(String),
    /// The user named the board.
    Named,
    /// It is a profile: no machine was looked at.
    Profile,
    /// The device tree's `model` is of a board without a profile.
    Unlisted(String),
    /// There is no device tree: not a board of this kind.
    NoDeviceTree,
    /// Two things that it says are of different boards.
    Contradiction(String),
}

impl How {
    /// What an operator should know, where this is no known board for certain.
    pub(crate) fn warning(&self) -> Option<String> {
        match self {
            Self::Compatible(_) | Self::Model(_) | Self::Named | Self::Profile | Self::NoDeviceTree => None,
            Self::Unlisted(model) => {
                Some(format!("there is no profile of {model}: half of its memory is taken for a budget"))
            }
            Self::Contradiction(what) => {
                Some(format!("no board is certain: {what}; name it with --board, or [agent] board"))
            }
        }
    }
}

impl fmt::Display for How {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            How::Compatible(entry) => write!(f, "the device tree is compatible with {entry}"),
            How::Model(model) => write!(f, "the device tree's model is {model}"),
            How::Named => write!(f, "named by the user"),
            How::Profile => write!(f, "by its profile, wherever one is"),
            How::Unlisted(model) => write!(f, "there is no profile of {model}"),
            How::NoDeviceTree => write!(f, "there is no device tree"),
            How::Contradiction(what) => f.write_str(what),
        }
    }
}

/// The board that `facts` are of, and why; one of the generic ones where they are of none, or of more than one.
pub(crate) fn recognise<'b>(boards: &'b Boards, facts: &Facts) -> (&'b Board, How) {
    let generic = |how| (generic(boards, &facts.cpu), how);
    let (named, how) = named(boards, facts);
    let family = match &named[..] {
        [] => {
            return generic(match facts.model.clone().or_else(|| facts.compatible.first().cloned()) {
                Some(model) => How::Unlisted(model),
                None => How::NoDeviceTree,
            });
        }
        [family] => family,
        [one, other, ..] => {
            let what = format!("{how}, as {} and {} are", one.title, other.title);
            return generic(How::Contradiction(what));
        }
    };
    if let Some(what) = contradiction(boards, family, &how, facts) {
        return generic(How::Contradiction(what));
    }
    (of_size(boards, &family.family, facts), how)
}

/// A board of each profile that the device tree names, and what of it does.
fn named<'b>(boards: &'b Boards, facts: &Facts) -> (Vec<&'b Board>, How) {
    // The first entries are the most particular, as the device tree specification has it.
    for entry in &facts.compatible {
        let mut found: Vec<&Board> =
            boards.iter().filter(|board| means(&board.signs.compatible, entry)).collect();
        found.dedup_by(|a, b| a.family == b.family);
        // The firmware gives a 3A+ the device tree of a 3B+, but for its model.
        if found.len() > 1 {
            let model = facts.model.as_ref().and_then(|model| of_model(boards, model));
            found.retain(|board| match (model, facts.cpu.revision) {
                (Some(model), _) => board.family == model.family,
                (None, Some(revision)) => board.signs.revision.contains(&revision.kind),
                (None, None) => true,
            });
        }
        if !found.is_empty() {
            return (found, How::Compatible(entry.clone()));
        }
    }
    // What a carrier calls itself is no sign of the module on it.
    let model = facts.model.clone().unwrap_or_default();
    let found = of_model(boards, &model).filter(|board| !board.signs.are_numbers());
    (found.into_iter().collect(), How::Model(model))
}

/// The profile whose model's beginning is the longest: `Raspberry Pi 4 Model B` before `Raspberry Pi 4`.
fn of_model<'b>(boards: &'b Boards, model: &str) -> Option<&'b Board> {
    let begins = |board: &Board| {
        board.signs.model.iter().filter(|start| model.starts_with(start.as_str())).map(String::len).max()
    };
    boards.iter().filter(|board| begins(board).is_some()).max_by_key(|board| begins(board))
}

/// What speaks against the machine being of this profile.
fn contradiction(boards: &Boards, found: &Board, how: &How, facts: &Facts) -> Option<String> {
    let family = &found.family;
    let others = || boards.iter().filter(|board| board.family != *family);
    for entry in &facts.compatible {
        let own = means(&found.signs.compatible, entry);
        if let Some(other) = others().find(|other| !own && means(&other.signs.compatible, entry)) {
            return Some(format!("{how}, and with {entry}, which is {}", other.title));
        }
        let own = means(&found.signs.chip, entry) || found.signs.chip.is_empty();
        if others().any(|other| !own && means(&other.signs.chip, entry)) {
            return Some(format!("{how}, and its chip is {entry}"));
        }
    }
    let own = |model: &String| {
        found.signs.are_numbers() || found.signs.model.iter().any(|start| model.starts_with(start.as_str()))
    };
    if let Some(model) = facts.model.as_ref().filter(|model| !own(model))
        && let Some(other) = of_model(boards, model).filter(|other| other.family != *family)
    {
        return Some(format!("{how}, and its model is {model}, which is {}", other.title));
    }
    let strange = |kind: &&&str| !found.cores.iter().any(|cores| cores.kind == ***kind);
    if let Some(kind) = facts.cpu.kinds.iter().find(strange) {
        return Some(format!("{how}, and its CPU is {kind}"));
    }
    let revision = facts.cpu.revision.filter(|_| !found.signs.revision.is_empty())?;
    let wrong = !found.signs.revision.contains(&revision.kind);
    wrong.then(|| format!("{how}, and its revision code says type {:#04x}", revision.kind))
}

/// The board of a family by what says the size of its memory: the module's number, the revision code, else the smallest
/// that has the memory seen, for the kernel manages somewhat less than is soldered on. Where nothing is known of the
/// memory, the smallest.
fn of_size<'b>(boards: &'b Boards, family: &str, facts: &Facts) -> &'b Board {
    let all = || boards.iter().filter(|board| board.family == family);
    let holds = |board: &&Board| board.ram() >= facts.memory.unwrap_or(0);
    // A module of half the memory may have another's number: what the kernel sees is there.
    let near =
        |board: &&Board| holds(board) && facts.memory.is_none_or(|memory| memory > board.ram() / 10 * 6);
    let by_module =
        || facts.compatible.iter().find_map(|entry| all().find(|b| means(&b.signs.module, entry) && near(b)));
    let by_revision = || {
        let mib = facts.cpu.revision.filter(|_| all().any(|board| !board.signs.revision.is_empty()))?.mib;
        // Memory may have been soldered anew.
        all().find(|board| board.ram_mib == mib && holds(board))
    };
    by_module()
        .or_else(by_revision)
        .or_else(|| all().filter(holds).min_by_key(|board| board.ram_mib))
        .or_else(|| all().max_by_key(|board| board.ram_mib))
        .unwrap_or_else(|| generic(boards, &facts.cpu))
}

/// What stands for a machine without a profile: one of its architecture.
fn generic<'b>(boards: &'b Boards, cpu: &Cpu) -> &'b Board {
    let name = match (cpu.is_arm, cpu.is_x86) {
        (true, false) => "generic-aarch64",
        (false, true) => "generic-x86-64",
        _ => "generic",
    };
    boards.iter().find(|board| board.name == name).unwrap_or_else(|| boards.last())
}

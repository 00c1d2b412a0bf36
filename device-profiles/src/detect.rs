//! Which of the boards this machine is, and what it has today.

use crate::{Board, Feature, UnknownBoard, boards, by_name, facts};
use serde::Serialize;
use std::fmt;
use std::path::Path;

/// A machine: the board it is, and what its kernel says of it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Detected {
    /// The board; `generic` if none matches.
    pub board: &'static Board,
    /// Bytes of memory the kernel manages; the board's where the kernel does not say.
    pub memory: u64,
    /// Bytes that the tightest cgroup around this process may hold, if one sets a limit.
    pub limit: Option<u64>,
    /// Page size in bytes; 4096 where the kernel does not say.
    pub page: u64,
    /// CPU cores online; the board's where the kernel does not say.
    pub cores: u32,
    /// CPU core by its part number, else the board's.
    pub core: Option<String>,
    /// Vector instructions that all cores have, in ascending order; the board's where the kernel does not say.
    pub features: Vec<Feature>,
    /// Why it is taken for this board.
    pub how: How,
}

impl Detected {
    /// Bytes this process may count on: the memory or the cgroup's limit, whichever is less.
    pub fn at_hand(&self) -> u64 {
        self.limit.map_or(self.memory, |limit| limit.min(self.memory))
    }

    /// The budget of a run unless told otherwise: the board's share of the memory, and never more than the
    /// cgroup's limit, which is ours alone.
    pub fn budget(&self) -> u64 {
        let share = (self.memory as f64 * self.board.budget_share) as u64;
        share.min(self.at_hand())
    }
}

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
    /// The device tree's `model` is of a board without a profile.
    Unlisted(String),
    /// There is no device tree: not a board of this kind.
    NoDeviceTree,
}

impl fmt::Display for How {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            How::Compatible(entry) => write!(f, "the device tree is compatible with {entry}"),
            How::Model(model) => write!(f, "the device tree's model is {model}"),
            How::Named => write!(f, "named by the user"),
            How::Unlisted(model) => write!(f, "there is no profile of {model}"),
            How::NoDeviceTree => write!(f, "there is no device tree"),
        }
    }
}

/// Looks at the machine whose files are below `root` (`/` for this one). Never fails: what is not known is
/// taken from the board, and a machine that is no known board is `generic`.
pub fn detect(root: &Path) -> Detected {
    let memory = facts::memory(root);
    let (board, how) = recognise(root, memory);
    describe(root, memory, board, how)
}

/// As [`detect`], but the board is the one named.
///
/// # Errors
/// There is no such board.
pub fn detect_as(root: &Path, name: &str) -> Result<Detected, UnknownBoard> {
    Ok(describe(root, facts::memory(root), by_name(name)?, How::Named))
}

fn describe(root: &Path, memory: Option<u64>, board: &'static Board, how: How) -> Detected {
    let cpu = facts::cpu(root);
    let features = if cpu.features.is_empty() { board.features.clone() } else { cpu.features };
    Detected {
        board,
        memory: memory.unwrap_or(board.ram()),
        limit: facts::cgroup_limit(root),
        page: facts::page(root).unwrap_or(4096),
        cores: if cpu.cores == 0 { board.cores } else { cpu.cores },
        core: cpu.core.map(str::to_owned).or_else(|| board.core.clone()),
        features,
        how,
    }
}

fn recognise(root: &Path, memory: Option<u64>) -> (&'static Board, How) {
    // The first entries are the most particular, as the device tree specification has it.
    for entry in facts::device_tree_strings(root, "compatible") {
        if let Some(board) = of_size(|board| board.is_compatible(&entry), memory) {
            return (board, How::Compatible(entry));
        }
    }
    let generic = &boards()[boards().len() - 1];
    let Some(model) = facts::device_tree_string(root, "model") else { return (generic, How::NoDeviceTree) };
    match of_size(|board| board.model.iter().any(|start| model.starts_with(start.as_str())), memory) {
        Some(board) => (board, How::Model(model)),
        None => (generic, How::Unlisted(model)),
    }
}

/// Of the boards that match, the smallest that has the memory seen: the kernel manages somewhat less than
/// is soldered on. Where nothing is known of the memory, the smallest.
fn of_size(matches: impl Fn(&Board) -> bool, memory: Option<u64>) -> Option<&'static Board> {
    let matching = || boards().iter().filter(|board| matches(board));
    let holds = |board: &&Board| board.ram() >= memory.unwrap_or(0);
    matching().filter(holds).min_by_key(|b| b.ram_mib).or_else(|| matching().max_by_key(|b| b.ram_mib))
}

//! What this machine is and what it has today.

use crate::condition::slows_at;
use crate::facts::{self, Facts};
use crate::recognise::recognise;
use crate::slots::Slots;
use crate::{Board, BoardError, Boards, Cores, Feature, How};
use serde::Serialize;
use std::path::Path;

/// A machine: the board it is, and what its kernel says of it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Detected {
    /// The board; a generic one if none matches.
    pub board: Board,
    /// Bytes of memory the kernel manages; the board's where the kernel does not say.
    pub memory: u64,
    /// Bytes that the tightest cgroup around this process may hold, if one sets a limit.
    pub limit: Option<u64>,
    /// Page size in bytes; the largest of the board's where the kernel does not say.
    pub page: u64,
    /// CPU cores online by kind, where the kernel tells it; else the board's.
    pub cores: Vec<Cores>,
    /// Vector instructions that all cores have and the kernel lets programs use, in ascending order; the board's where the
    /// kernel does not say.
    pub features: Vec<Feature>,
    /// Release of NVIDIA's Linux for Tegra, as `35.4.1`, on boards that have one.
    pub l4t: Option<String>,
    /// Its boot chains, on a Jetson whose firmware tells of them.
    pub slots: Option<Slots>,
    /// Why it is taken for this board.
    pub how: How,
    /// What an operator should know of.
    pub warnings: Vec<String>,
}

impl Detected {
    /// Bytes this process may count on: the memory or the cgroup's limit, whichever is less.
    pub fn at_hand(&self) -> u64 {
        self.limit.map_or(self.memory, |limit| limit.min(self.memory))
    }

    /// The budget of a run unless told otherwise: the board's share of the memory without what the system needs, and never
    /// more than the cgroup's limit, which is ours alone.
    pub fn budget(&self) -> u64 {
        self.board.budget(self.memory).min(self.at_hand())
    }

    /// Takes what this one machine says of itself over what its kind has.
    fn ask(&mut self, root: &Path) {
        self.slots = Slots::of(root);
        self.board.throttles_at = slows_at(root).or(self.board.throttles_at);
    }
}

/// Looks at the machine whose files are below `root` (`/` for this one). A machine that is no known board is a generic
/// one, and what is not known is taken from the board.
///
/// # Errors
/// A profile of the user's is none, or cannot be read.
pub fn detect(root: &Path) -> Result<Detected, BoardError> {
    let (boards, facts) = (Boards::of(root)?, facts::read(root));
    let (board, how) = recognise(&boards, &facts);
    let mut found = describe(facts, board.clone(), how);
    found.ask(root);
    Ok(found)
}

/// A board of this name by its profile alone, wherever one is: what is known before one is looked at. `root` has the
/// user's profiles.
///
/// # Errors
/// There is no such board, or as [`detect`].
pub fn described(root: &Path, name: &str) -> Result<Detected, BoardError> {
    let board = Boards::of(root)?.by_name(name)?.clone();
    Ok(describe(Facts::default(), board, How::Profile))
}

/// As [`detect`], but the board is the one named.
///
/// # Errors
/// There is no such board, or as [`detect`].
pub fn detect_as(root: &Path, name: &str) -> Result<Detected, BoardError> {
    let board = Boards::of(root)?.by_name(name)?.clone();
    let mut found = describe(facts::read(root), board, How::Named);
    found.ask(root);
    Ok(found)
}

fn describe(facts: Facts, board: Board, how: How) -> Detected {
    let Facts { cpu, memory, limit, page, l4t, no_memory_groups, .. } = facts;
    let warnings = [
        how.warning(),
        page.filter(|page| !board.pages.is_empty() && !board.pages.contains(page))
            .map(|page| format!("pages of {page} bytes are none that its usual kernels have")),
        no_memory_groups.then(|| {
            "the kernel has no memory control groups, so that a service's MemoryMax is silently ignored; add \
             cgroup_enable=memory to the kernel's command line and restart"
                .to_owned()
        }),
    ];
    Detected {
        memory: memory.unwrap_or(board.managed()),
        limit,
        page: page.or(board.pages.last().copied()).unwrap_or(4096),
        cores: if cpu.count == 0 { board.cores.clone() } else { cpu.cores() },
        features: if cpu.features.is_empty() { board.features.clone() } else { cpu.features },
        l4t,
        slots: None,
        how,
        warnings: warnings.into_iter().flatten().collect(),
        board,
    }
}

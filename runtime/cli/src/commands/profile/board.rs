//! The board that is profiled, as records have it.

use crate::commands::described::machine;
use crate::exit::Failure;
use sprig_report::profile::{Board, Condition};
use std::path::Path;

/// This machine.
pub fn here() -> Result<Board, Failure> {
    let board = sprig_device::detect(Path::new("/"))?.board;
    Ok(Board { name: board.name, title: board.title, throttles_at: board.throttles_at, machine: machine() })
}

/// How it fares now.
pub fn condition() -> Condition {
    let names = |holds: Vec<sprig_device::Hold>| holds.iter().map(ToString::to_string).collect();
    let found = sprig_device::Condition::of(Path::new("/"));
    Condition {
        celsius: found.celsius,
        clock_khz: found.clock_khz,
        clock_most_khz: found.clock_most_khz,
        held_back: found.held_back.map(names),
        was_held_back: found.was_held_back.map(names),
    }
}

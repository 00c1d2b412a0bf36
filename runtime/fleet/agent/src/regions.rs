//! A device's memory by region, for its reports.

use sprig_budget::{Kind, process};
use sprig_learn::session::Session;
use sprig_run::Running;
use sprig_transport::messages::Region;

/// Memory by region: planned, and measured where it is known.
pub(crate) fn regions(running: &Running<'_>, session: &Session<'_>) -> Vec<Region> {
    let (arena, _) = session.arena_high_water();
    let file = process::status().file.map(|b| b.0);
    let region = |r: &sprig_budget::Region| Region {
        name: r.name.clone(),
        planned: r.bytes.0,
        measured: if r.kind == Kind::Mapped { file } else { None },
    };
    let mut regions: Vec<_> =
        running.plan().regions.iter().filter(|r| r.kind != Kind::Arena).map(region).collect();
    // One line for the arena, which is measured as a whole.
    let arena =
        Region { name: "arena".to_owned(), planned: running.plan().arena().0, measured: Some(arena.0) };
    regions.insert(1.min(regions.len()), arena);
    regions
}

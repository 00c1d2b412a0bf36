//! `sprig device`: which board this is, and what it can hold.

use super::fits::Fits;
use crate::args::DeviceArgs;
use crate::exit::{Exit, Failure};
use crate::output::line;
use sprig_budget::Bytes;
use sprig_device::{Cores, Detected};
use std::path::Path;

pub fn run(args: &DeviceArgs) -> Result<Exit, Failure> {
    let root = Path::new("/");
    let found = match &args.board {
        None => sprig_device::detect(root)?,
        Some(name) => sprig_device::described(root, name)?,
    };
    let (budget, cores) = (Bytes(found.budget()), found.cores.iter().map(|cores| cores.count).sum::<u32>());
    let fits: Result<Vec<Fits>, Failure> =
        args.model.iter().map(|model| Fits::of(model, budget, cores.clamp(1, 64) as usize)).collect();
    let fits = fits?;
    if args.json {
        let mut value = serde_json::to_value(&found).map_err(|e| Failure::new(Exit::Bug, e))?;
        value["budget"] = found.budget().into();
        if !fits.is_empty() {
            value["fits"] = serde_json::to_value(&fits).map_err(|e| Failure::new(Exit::Bug, e))?;
        }
        line(value)?;
        return Ok(Exit::Done);
    }
    show(&found)?;
    fits.iter().flat_map(Fits::lines).try_for_each(line)?;
    Ok(Exit::Done)
}

fn show(found: &Detected) -> Result<(), Failure> {
    let board = &found.board;
    line(format_args!("board     {} ({}): {}", board.title, board.name, found.how))?;
    line(format_args!("cores     {}", found.cores.iter().map(cores).collect::<Vec<_>>().join(", ")))?;
    let features: Vec<_> = found.features.iter().map(ToString::to_string).collect();
    let known = if features.is_empty() { "none known".to_owned() } else { features.join(", ") };
    line(format_args!("vectors   {known}"))?;
    line(format_args!("memory    {}, pages of {}", Bytes(found.memory), Bytes(found.page)))?;
    if let Some(release) = &found.l4t {
        line(format_args!("L4T       {release}"))?;
    }
    if let Some(slots) = &found.slots {
        line(format_args!("boot      {slots}"))?;
    }
    if let Some(limit) = found.limit {
        line(format_args!("limit     {} (control group)", Bytes(limit)))?;
    }
    line(format_args!("budget    {} unless told otherwise", Bytes(found.budget())))?;
    if let Some(celsius) = board.throttles_at {
        line(format_args!("slows     at {celsius} °C"))?;
    }
    for trap in &board.traps {
        line(format_args!("mind      {trap}"))?;
    }
    for warning in &found.warnings {
        line(format_args!("warning   {warning}"))?;
    }
    Ok(())
}

fn cores(cores: &Cores) -> String {
    let kind = if cores.kind == "unknown" { "of an unknown kind" } else { &cores.kind };
    format!("{} x {kind}", cores.count)
}

//! `sprig device`: which board this is, and what it can hold.

use crate::args::DeviceArgs;
use crate::exit::{Exit, Failure};
use crate::output::line;
use sprig_budget::Bytes;
use std::path::Path;

pub fn run(args: &DeviceArgs) -> Result<Exit, Failure> {
    let root = Path::new("/");
    let found = match &args.board {
        None => sprig_device::detect(root),
        Some(name) => sprig_device::detect_as(root, name)
            .map_err(|e| Failure::new(Exit::Usage, format_args!("--board: {e}")))?,
    };
    let budget = found.budget();
    if args.json {
        let mut value = serde_json::to_value(&found).map_err(|e| Failure::new(Exit::Bug, e))?;
        value["budget"] = budget.into();
        line(value)?;
        return Ok(Exit::Done);
    }
    let features: Vec<_> = found.features.iter().map(ToString::to_string).collect();
    line(format_args!("board     {} ({}): {}", found.board.title, found.board.name, found.how))?;
    line(format_args!(
        "cores     {} x {}",
        found.cores,
        found.core.as_deref().unwrap_or("of an unknown kind")
    ))?;
    line(format_args!(
        "vectors   {}",
        if features.is_empty() { "none known".to_owned() } else { features.join(", ") }
    ))?;
    line(format_args!("memory    {}, pages of {}", Bytes(found.memory), Bytes(found.page)))?;
    if let Some(limit) = found.limit {
        line(format_args!("limit     {} (control group)", Bytes(limit)))?;
    }
    line(format_args!("budget    {} unless told otherwise", Bytes(budget)))?;
    Ok(Exit::Done)
}

//! `sprig simulate`: fleets without boards. With a model the devices learn, all on this one model; without, they are
//! light, thousands, and load a coordinator.

mod compared;
mod curve;
mod flow;
mod load;
mod study;

use crate::args::SimulateArgs;
use crate::exit::{Exit, Failure};

pub fn run(args: &SimulateArgs) -> Result<Exit, Failure> {
    match (&args.study.model, &args.study.config) {
        (None, None) => load::run(args),
        _ if args.study.flow => flow::run(args),
        _ => study::run(args),
    }
}

//! `sprig report`: a run record as one page that needs nothing beside itself.

mod axis;
mod bars;
mod charts;
#[cfg(feature = "coordinator")]
mod curve;
mod page;
mod record;
#[cfg(test)]
mod sample;
mod tables;
mod words;

#[cfg(feature = "coordinator")]
pub use curve::Curve;
pub use record::*;

/// The whole page. Nothing in it comes from outside, and it runs no script.
pub fn render(run: &RunRecord) -> String {
    page::page(run).into_string()
}

//! What a run says of itself: its record, charts as inline SVG, and pages that need nothing beside themselves.

pub mod chart;
pub mod page;
pub mod record;
pub mod words;

pub use page::training;
pub use record::{RecordError, RunRecord};

//! What runs say of themselves: their records and profiles, how two of them differ, charts as inline SVG, and pages that
//! need nothing beside themselves.

pub mod by_label;
pub mod chart;
pub mod diff;
mod document;
pub mod page;
pub mod profile;
pub mod record;
pub mod words;

pub use diff::Diff;
pub use document::Document;
pub use page::{profile_page, training};
pub use profile::Profile;
pub use record::{RecordError, RunRecord};

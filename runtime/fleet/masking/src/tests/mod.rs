//! Tests of whole rounds.

mod collectors_refuse;
mod hostile;
mod members_refuse;
mod restarts;
mod totals;

//! Byte budgets: what a run will need (plan), what it is given (arena), what it really takes
//! (counting allocator, process truth, timeline). Knows nothing of machine learning.

pub mod alloc;
mod arena;
mod cgroup;
pub mod code;
mod counts;
mod error;
pub mod filed;
mod ladder;
mod machine;
mod plan;
pub mod pressure;
pub mod process;
mod size;
mod sys;
mod table;
mod timeline;

pub use alloc::CountingAllocator;
pub use arena::{Arena, Stack, bytes_for, held_zeros};
pub use cgroup::CgroupMemory;
pub use error::BudgetError;
pub use ladder::{Move, Step, climb};
pub use machine::Machine;
pub use plan::{Kind, Plan, Region, Rung};
pub use size::{Bytes, Size, SizeError};
pub use timeline::{Sample, Timeline};

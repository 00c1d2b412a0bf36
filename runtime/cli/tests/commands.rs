//! The commands as a script sees them: the built binary, its exit codes, its JSON, its messages, its files.
//! Most run on a synthetic model of three blocks, which a test makes in milliseconds.

// Nobody imports a test: `pub` is between its modules.
#![allow(unreachable_pub)]
#![allow(clippy::unwrap_used)] // A failed unwrap is a failed test.

#[path = "commands/asked.rs"]
mod asked;
#[path = "commands/asking.rs"]
mod asking;
#[path = "commands/auto.rs"]
mod auto;
#[path = "commands/bad_input.rs"]
mod bad_input;
#[path = "commands/best_of.rs"]
mod best_of;
#[path = "commands/beyond.rs"]
mod beyond;
#[path = "commands/budget.rs"]
mod budget;
#[path = "commands/calibrate.rs"]
mod calibrate;
#[path = "commands/cases.rs"]
mod cases;
#[path = "commands/cgroup.rs"]
mod cgroup;
#[path = "commands/chat.rs"]
mod chat;
#[path = "commands/child.rs"]
mod child;
#[path = "commands/device.rs"]
mod device;
#[path = "commands/disk.rs"]
mod disk;
#[cfg(feature = "coordinator")]
#[path = "commands/export.rs"]
mod export;
#[path = "commands/faults.rs"]
mod faults;
#[path = "commands/files.rs"]
mod files;
#[path = "commands/flat.rs"]
mod flat;
#[path = "commands/forms.rs"]
mod forms;
#[cfg(feature = "coordinator")]
#[path = "commands/guide.rs"]
mod guide;
#[path = "commands/hangup.rs"]
mod hangup;
#[path = "commands/inspect.rs"]
mod inspect;
#[path = "commands/kill.rs"]
mod kill;
#[path = "commands/length.rs"]
mod length;
#[path = "commands/log.rs"]
mod log;
#[path = "commands/lookalike.rs"]
mod lookalike;
#[cfg(feature = "coordinator")]
#[path = "commands/mcq.rs"]
mod mcq;
#[path = "commands/memory.rs"]
mod memory;
#[path = "commands/messages.rs"]
mod messages;
#[path = "commands/openai.rs"]
mod openai;
#[path = "commands/personalise.rs"]
mod personalise;
#[path = "commands/plan.rs"]
mod plan;
#[path = "commands/preferences.rs"]
mod preferences;
#[path = "commands/prefix.rs"]
mod prefix;
#[path = "commands/profile.rs"]
mod profile;
#[path = "commands/prompts.rs"]
mod prompts;
#[path = "commands/readout.rs"]
mod readout;
#[path = "commands/real_model.rs"]
mod real_model;
#[path = "commands/resume.rs"]
mod resume;
#[path = "commands/runs.rs"]
mod runs;
#[path = "commands/sampling.rs"]
mod sampling;
#[path = "commands/scene.rs"]
mod scene;
#[path = "commands/serve.rs"]
mod serve;
#[cfg(feature = "coordinator")]
#[path = "commands/simulate.rs"]
mod simulate;
#[path = "commands/train.rs"]
mod train;
#[path = "commands/warm.rs"]
mod warm;

//! A whole fleet of processes: the built binary, Debian's mosquitto with certificates that `sprig provision` made, and a
//! synthetic model of three blocks, or the real one.

// Nobody imports a test: `pub` is between its modules.
#![allow(unreachable_pub)]
#![allow(clippy::unwrap_used)] // A failed unwrap is a failed test.

#[path = "fleet/after.rs"]
mod after;
#[path = "fleet/alert.rs"]
mod alert;
#[path = "fleet/backup.rs"]
mod backup;
#[path = "fleet/by_task.rs"]
mod by_task;
#[path = "fleet/cgroup.rs"]
mod cgroup;
#[path = "fleet/client.rs"]
mod client;
#[path = "fleet/dashboard.rs"]
mod dashboard;
#[path = "fleet/disk.rs"]
mod disk;
#[path = "fleet/doctor.rs"]
mod doctor;
#[path = "fleet/enrol.rs"]
mod enrol;
#[path = "fleet/exact.rs"]
mod exact;
#[path = "fleet/fold.rs"]
mod fold;
#[path = "fleet/ghosts.rs"]
mod ghosts;
#[path = "fleet/kill.rs"]
mod kill;
#[path = "commands/disk.rs"]
#[allow(dead_code)]
mod mounts;
#[path = "fleet/noise.rs"]
mod noise;
#[path = "fleet/objectives.rs"]
mod objectives;
#[path = "fleet/operator.rs"]
mod operator;
#[path = "fleet/pace.rs"]
mod pace;
#[path = "fleet/queue.rs"]
mod queue;
#[path = "fleet/readout.rs"]
mod readout;
#[path = "fleet/renew.rs"]
mod renew;
#[path = "fleet/rogue.rs"]
mod rogue;
#[path = "commands/scene.rs"]
#[allow(dead_code)]
mod scene;
#[path = "fleet/secure.rs"]
mod secure;
#[path = "fleet/service.rs"]
mod service;
#[path = "fleet/serving.rs"]
mod serving;
#[path = "fleet/two.rs"]
mod two;
#[path = "fleet/world.rs"]
mod world;

//! A child process as the kernel accounts for it.
#![allow(unsafe_code)] // `wait4` is in no safe crate of this workspace.

use sprig_budget::code;
use std::io::Read;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, ExitStatus, Stdio};

/// A child that ended.
pub struct Ended {
    pub status: ExitStatus,
    pub out: String,
    pub err: String,
    /// Most bytes that were resident: the kernel's figure, which no word of the child's can change.
    pub peak: u64,
    /// Processor time, user and system.
    pub seconds: f64,
}

/// Runs `command` to its end. Standard error has to fit a pipe (64 KiB).
#[allow(clippy::zombie_processes)] // `wait4` takes it away.
pub fn run(command: &mut Command) -> Ended {
    // The kernel begins the child's peak with what this process holds when it starts it: some MiB of code, mostly.
    code::divide();
    code::release();
    let mut child =
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let (mut out, mut err) = (String::new(), String::new());
    child.stdout.take().unwrap().read_to_string(&mut out).unwrap();
    child.stderr.take().unwrap().read_to_string(&mut err).unwrap();
    let (status, usage) = wait(&child);
    let seconds = |t: libc::timeval| t.tv_sec as f64 + t.tv_usec as f64 / 1e6;
    Ended {
        status,
        out,
        err,
        peak: usage.ru_maxrss as u64 * 1024,
        seconds: seconds(usage.ru_utime) + seconds(usage.ru_stime),
    }
}

fn wait(child: &Child) -> (ExitStatus, libc::rusage) {
    let mut status = 0;
    // SAFETY: rusage is a struct of numbers, for which all zeros is a value.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    // SAFETY: both pointers are to locals that outlive the call, and the child has not been waited for.
    let pid = unsafe { libc::wait4(child.id() as libc::pid_t, &mut status, 0, &mut usage) };
    assert_eq!(pid, child.id() as libc::pid_t, "{}", std::io::Error::last_os_error());
    (ExitStatus::from_raw(status), usage)
}

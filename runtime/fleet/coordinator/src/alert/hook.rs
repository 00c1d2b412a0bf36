//! One call of the command.

use rustix::process::{Pid, Signal, kill_process_group};
use std::ffi::OsString;
use std::io::Write;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Name of the variable that has the kind of the event.
const KIND: &str = "SPRIG_ALERT";
/// Time from one look at the command to the next.
const LOOK: Duration = Duration::from_millis(20);

/// Calls `command` with `line` on its standard input and waits until it is done, or has had as long as `limit` says now; what it
/// prints is not read, and what it complains of goes where the coordinator's complaints go. What went wrong, if anything did.
pub(super) fn call(
    command: &[OsString],
    kind: &str,
    line: &str,
    limit: &dyn Fn() -> Duration,
) -> Result<(), String> {
    let Some((program, arguments)) = command.split_first() else { return Err("no command is named".into()) };
    let shown = program.to_string_lossy();
    let begun = Instant::now();
    let mut child = Command::new(program)
        .args(arguments)
        .env(KIND, kind)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        // A group of its own: what it starts ends with it, and Ctrl-C is the coordinator's.
        .process_group(0)
        .spawn()
        .map_err(|e| format!("{shown} cannot be run: {e}"))?;
    if let Some(mut input) = child.stdin.take() {
        // One that does not read it need not. A pipe has room for a line.
        let _ = input.write_all(line.as_bytes());
    }
    loop {
        match child.try_wait() {
            Ok(Some(status)) if status.success() => return Ok(()),
            Ok(Some(status)) => return Err(format!("{shown} ended with {status}")),
            Ok(None) if begun.elapsed() < limit() => std::thread::sleep(LOOK),
            Ok(None) => {
                kill(&mut child);
                return Err(format!(
                    "{shown} was not done after {:.1} s and was killed",
                    begun.elapsed().as_secs_f64()
                ));
            }
            Err(e) => {
                kill(&mut child);
                return Err(format!("{shown}: {e}"));
            }
        }
    }
}

/// Ends the command and what it started.
fn kill(child: &mut Child) {
    if let Some(group) = i32::try_from(child.id()).ok().and_then(Pid::from_raw) {
        // One that is gone already is what is wanted.
        let _ = kill_process_group(group, Signal::KILL);
    }
    let _ = child.kill();
    let _ = child.wait();
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sh(script: &str, limit: Duration) -> Result<(), String> {
        let words = ["sh", "-c", script].map(OsString::from);
        call(&words, "rival", "{\"alert\":\"rival\"}\n", &|| limit)
    }

    const LONG: Duration = Duration::from_secs(30);

    #[test]
    fn a_command_gets_the_event_and_its_kind() {
        let dir = tempfile::tempdir().unwrap();
        let out = dir.path().join("got");
        sh(&format!("cat > {0}; echo $SPRIG_ALERT >> {0}", out.display()), LONG).unwrap();
        assert_eq!(std::fs::read_to_string(out).unwrap(), "{\"alert\":\"rival\"}\nrival\n");
        sh("exit 0", LONG).unwrap(); // which reads nothing
    }

    #[test]
    fn what_goes_wrong_is_told_and_what_takes_long_is_killed_with_all_it_started() {
        assert!(sh("exit 3", LONG).unwrap_err().contains("exit status: 3"));
        let nowhere = call(&["/nowhere/hook".into()], "rival", "", &|| LONG).unwrap_err();
        assert!(nowhere.starts_with("/nowhere/hook cannot be run"), "{nowhere}");
        let dir = tempfile::tempdir().unwrap();
        let late = dir.path().join("late");
        let begun = Instant::now();
        let script = format!("(sleep 3; touch {}) & wait", late.display());
        let killed = sh(&script, Duration::from_millis(200)).unwrap_err();
        assert!(killed.contains("was not done after 0.2 s and was killed"), "{killed}");
        assert!(begun.elapsed() < Duration::from_secs(3));
        std::thread::sleep(Duration::from_secs(4));
        assert!(!late.exists(), "what it started went on");
    }
}

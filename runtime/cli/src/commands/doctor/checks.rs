//! What is looked at, in this order.

use super::{Said, State};
use crate::args::DoctorArgs;
use crate::commands::fits::Fits;
use crate::commands::nonce;
use crate::exit::{Exit, Failure};
use crate::files::Files;
use sprig_budget::Bytes;
use sprig_ground::file;
use sprig_protocol::settings::DeviceSettings;
use sprig_transport::certificate::{Certificate, moment, now};
use sprig_transport::expiry::Expiry;
use sprig_transport::link::{Event, Link, LinkError};
use sprig_transport::mqtt::connect;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// A check: none where what it looks at is not there to be looked at.
type Look = fn(&mut Patient<'_>) -> Option<Said>;

/// Name and way of each.
pub(super) const ALL: [(&str, Look); 7] = [
    ("board", board),
    ("limits", |_| Some(limits(Path::new("/sys/fs/cgroup")))),
    ("settings", settings),
    ("clock", |patient| Some(clock(patient, now()))),
    ("storage", |patient| patient.settings.as_ref().map(|settings| storage(&settings.agent.state))),
    ("model", model),
    ("broker", broker),
];

/// This program was not there before: 2026-01-01T00:00:00Z. A board without a battery begins at 1970, or at its image's date.
const SINCE: i64 = 1_767_225_600;
/// Longest wait for a single event, between two looks at the deadline.
const TURN: Duration = Duration::from_secs(1);

/// What is looked at.
pub(super) struct Patient<'a> {
    args: &'a DoctorArgs,
    /// Once they are read.
    settings: Option<DeviceSettings>,
}

impl<'a> Patient<'a> {
    pub(super) fn new(args: &'a DoctorArgs) -> Self {
        Self { args, settings: None }
    }
}

fn good(text: impl Into<String>) -> Said {
    Ok((State::Good, text.into()))
}

fn warning(text: impl Into<String>) -> Said {
    Ok((State::Warning, text.into()))
}

fn board(_: &mut Patient<'_>) -> Option<Said> {
    Some(sprig_device::detect(Path::new("/")).map_err(Failure::from).and_then(|found| {
        let board = &found.board;
        let said = format!(
            "{} ({}), {} of memory, budget {}",
            board.title,
            board.name,
            Bytes(found.memory),
            Bytes(found.budget())
        );
        match found.warnings.is_empty() {
            true => good(said),
            false => warning(format!("{said}; {}", found.warnings.join("; "))),
        }
    }))
}

/// Whether the kernel holds a service to its limit of memory; Raspberry Pi OS has that switched off, and says nothing.
fn limits(groups: &Path) -> Said {
    match fs::read_to_string(groups.join("cgroup.controllers")) {
        Ok(controllers) if controllers.split_whitespace().any(|one| one == "memory") => {
            good("the kernel holds control groups to their memory")
        }
        Ok(_) => warning(
            "the kernel ignores limits of memory: add cgroup_enable=memory to its command line and start again",
        ),
        Err(_) => warning("no unified control groups here, so a service's limits are not seen"),
    }
}

fn settings(patient: &mut Patient<'_>) -> Option<Said> {
    let config = patient.args.config.as_ref()?;
    Some(DeviceSettings::read(config).map_err(Failure::from).and_then(|settings| {
        Files::of_device(config, &settings).check()?;
        let device = settings.fleet.device()?;
        let said = format!("{}: {device} of fleet {}", config.display(), settings.fleet.name);
        patient.settings = Some(settings);
        good(said)
    }))
}

/// A clock that is wrong lets nobody in: certificates hold from one moment to another.
fn clock(patient: &Patient<'_>, now: i64) -> Said {
    let told = moment(now);
    if now < SINCE {
        let remedy = "is it set over the network (timedatectl), or by a battery?";
        return Err(Failure::new(
            Exit::Usage,
            format_args!("{told} is before this program was made; {remedy}"),
        ));
    }
    let files: Vec<&PathBuf> =
        patient.settings.iter().flat_map(|settings| settings.fleet.certificates()).collect();
    for path in &files {
        let certificate = Certificate::read(path).map_err(|e| Failure::new(Exit::BadFile, e).about(path))?;
        if now < certificate.not_before() {
            let from = moment(certificate.not_before());
            let text =
                format!("{told} is before {from}, from which on {} holds; set the clock", path.display());
            return Err(Failure::new(Exit::Usage, text));
        }
        if certificate.days_left(now) < 0 {
            let ended = moment(certificate.not_after());
            let text =
                format!("{} ended at {ended}, and it is {told}; renew it, or set the clock", path.display());
            return Err(Failure::new(Exit::Usage, text));
        }
    }
    let near: Vec<String> = Expiry::of(files.into_iter().cloned())
        .all()
        .iter()
        .filter(|ending| ending.is_near())
        .map(ToString::to_string)
        .collect();
    if near.is_empty() { good(told) } else { warning(near.join("; ")) }
}

/// Whether what an agent keeps can be kept: a file is written there, brought to the disk and taken away.
fn storage(state: &Path) -> Said {
    // Made by the agent when it first starts.
    let folder = if state.exists() { state } else { file::folder_of(state) };
    let attempt = folder.join(format!(".doctor-{}", std::process::id()));
    let written = fs::write(&attempt, [0_u8; 4096]).and_then(|()| fs::File::open(&attempt)?.sync_all());
    let removed = fs::remove_file(&attempt);
    match (written, removed) {
        (Ok(()), Ok(())) => good(format!("{} takes what the agent keeps", folder.display())),
        (Err(e), _) | (_, Err(e)) => Err(unwritable(folder, e)),
    }
}

fn unwritable(folder: &Path, error: io::Error) -> Failure {
    Failure::io("keep a file in", folder, error)
}

/// One plan: something can be learnt of this model within this device's budget.
fn model(patient: &mut Patient<'_>) -> Option<Said> {
    let settings = patient.settings.as_ref()?;
    let (path, threads) = (&settings.model.path, settings.model.threads());
    let plan = || -> Said {
        let budget = sprig_run::budget(settings.model.budget, settings.agent.board.as_deref())?;
        let fits = Fits::of(path, budget, threads)?;
        let room = fits.roomiest().ok_or_else(|| {
            let smallest = fits.smallest();
            Failure::new(
                Exit::Budget,
                format_args!(
                    "nothing can be learnt of {} in {budget}; {smallest} is the smallest budget for records of 64 tokens",
                    path.display()
                ),
            )
        })?;
        good(format!("{}: {room} in a budget of {budget}", path.display()))
    };
    Some(plan())
}

/// Is let in by the device's own certificate. A provisioned broker has one session for each: an agent that is connected makes
/// room for this one and comes back when it is over, within seconds.
fn broker(patient: &mut Patient<'_>) -> Option<Said> {
    let settings = patient.settings.as_ref()?;
    let reach = || -> Said {
        let begun = Instant::now();
        let mut link = connect(&settings.fleet.link(&format!("sprig-doctor-{:016x}", nonce()?))?)?;
        let deadline = Duration::from_secs(patient.args.wait);
        let mut trouble = String::new();
        while begun.elapsed() < deadline {
            match link.next(TURN.min(deadline)) {
                Ok(Some(Event::Connected)) => {
                    let seconds = begun.elapsed().as_secs_f64();
                    Box::new(link).close(None)?;
                    return good(format!("{} let us in after {seconds:.1} s", settings.fleet.broker));
                }
                Ok(Some(Event::Disconnected(reason))) => trouble = reason,
                Err(e @ LinkError::Closed(_)) => return Err(e.into()),
                // A clock may be set meanwhile.
                Err(e) if e.is_worth_waiting(false) => trouble = e.to_string(),
                Err(e) => return Err(e.into()),
                Ok(_) => {}
            }
        }
        let why = if trouble.is_empty() { "no answer".to_owned() } else { trouble };
        let waited = deadline.as_secs();
        Err(Failure::new(
            Exit::Peer,
            format_args!("{} was not reached in {waited} s: {why}", settings.fleet.broker),
        ))
    };
    Some(reach())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_that_the_kernel_ignores_are_told() {
        let folder = tempfile::tempdir().unwrap();
        let said = |folder: &Path| limits(folder).map(|(state, text)| (state == State::Good, text)).unwrap();
        assert!(!said(folder.path()).0);
        fs::write(folder.path().join("cgroup.controllers"), "cpuset cpu io pids\n").unwrap();
        let (good, text) = said(folder.path());
        assert!(!good && text.contains("cgroup_enable=memory"), "{text}");
        fs::write(folder.path().join("cgroup.controllers"), "cpuset cpu io memory pids\n").unwrap();
        assert!(said(folder.path()).0);
    }

    #[test]
    fn a_clock_from_before_the_program_is_bad() {
        let args = DoctorArgs { config: None, wait: 1, json: false };
        let patient = Patient::new(&args);
        let text = clock(&patient, 86_400).map(|_| ()).unwrap_err().to_string();
        assert!(text.starts_with("1970-01-02"), "{text}");
        assert!(clock(&patient, SINCE).is_ok());
    }

    #[test]
    fn a_folder_that_takes_nothing_is_bad_and_one_that_does_is_left_as_it_was() {
        let folder = tempfile::tempdir().unwrap();
        assert!(storage(&folder.path().join("state")).is_ok());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
        assert!(storage(&folder.path().join("nowhere/state")).is_err());
    }
}

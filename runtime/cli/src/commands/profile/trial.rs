//! One setting, measured in a process of its own, so that its peak is its own.

use super::board;
use crate::args::ProfileArgs;
use crate::exit::{Exit, Failure};
use crate::interrupt::Interrupt;
use serde_json::Value;
use sprig_budget::{Bytes, Sample, Timeline};
use sprig_ground::kernel;
use sprig_report::profile::{Heat, Outcome, Ran, Setting};
use sprig_report::record::{Model, RunRecord};
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// This program, also where its file was replaced meanwhile.
const PROGRAM: &str = "/proc/self/exe";

/// How often the process is looked at.
const LOOK: Duration = Duration::from_millis(40);

/// And the board's sensors, which are a dozen files.
const FEEL: Duration = Duration::from_secs(1);

/// Memory samples kept of a setting.
const SAMPLES: usize = 96;

/// Bytes read of what a process said as it ended.
const SAID: u64 = 16 << 10;

/// What all settings have in common.
pub struct Trials<'a> {
    pub args: &'a ProfileArgs,
    pub budget: Bytes,
    /// Where their files go.
    pub folder: &'a Path,
    /// The records they learn from.
    pub data: &'a Path,
    pub interrupt: &'a Interrupt,
}

/// What was seen of a setting.
pub struct Trial {
    pub outcome: Outcome,
    /// The model, where it ran.
    pub model: Option<Model>,
    pub took: Duration,
    pub heat: Heat,
    pub timeline: Vec<Sample>,
}

/// What was seen of a process until it ended.
struct Watched {
    status: ExitStatus,
    /// The most it held, as the kernel tells others.
    peak: Bytes,
    hottest: Option<f64>,
    timeline: Timeline,
}

/// Flags of a training that a setting gives: of two, the later one would count, and the profile tell of the other.
const OURS: [&str; 14] = [
    "--model",
    "--budget",
    "--task",
    "--steps",
    "--len",
    "--batch",
    "--weights",
    "--estimator",
    "--tangents",
    "--rank",
    "--threads",
    "--data",
    "--out",
    "--run",
];

/// Refuses flags of every training that are a setting's own.
pub fn check(flags: &[String]) -> Result<(), Failure> {
    let name = |flag: &str| flag.split_once('=').map_or(flag, |(name, _)| name).to_owned();
    match flags.iter().map(|flag| name(flag)).find(|name| OURS.contains(&name.as_str())) {
        None => Ok(()),
        Some(name) => {
            let message = format!("{name} is a profile's own: give it before --, or leave it out");
            Err(Failure::new(Exit::Usage, message))
        }
    }
}

impl Trials<'_> {
    /// Runs a setting; none when interrupted.
    ///
    /// # Errors
    /// The model or the data are bad or cannot be read: no other setting would run either.
    pub fn run(&self, setting: &Setting) -> Result<Option<Trial>, Failure> {
        let (before, began) = (board::condition(), Instant::now());
        let record = self.folder.join("run.json");
        let _ = std::fs::remove_file(&record); // of the setting before
        let (told, said) = (self.folder.join("told"), self.folder.join("said"));
        let mut command = self.command(setting);
        command.arg("--data").arg(self.data).arg("--out").arg(self.folder.join("adapter.gguf"));
        command.arg("--run").arg(&record).args(["--checkpoint-every", "0"]);
        command.args(&self.args.train);
        let new = |path: &Path| File::create(path).map_err(|error| Failure::io("write", path, error));
        command.stdin(Stdio::null()).stdout(new(&told)?).stderr(new(&said)?);
        let child = command.spawn().map_err(|e| Failure::io("start", Path::new(PROGRAM), e))?;
        let Some(watched) = self.watch(child)? else { return Ok(None) };
        let took = began.elapsed();
        let after = board::condition();
        let hottest = [before.celsius, watched.hottest, after.celsius].into_iter().flatten().reduce(f64::max);
        let (outcome, model) = match watched.status.code() {
            Some(0) => ran(&record, watched.peak)?,
            Some(code) if code == Exit::BadFile as i32 || code == Exit::Io as i32 => {
                let exit = if code == Exit::Io as i32 { Exit::Io } else { Exit::BadFile };
                return Err(Failure::new(exit, last_words(&said)));
            }
            exit => (refused(&told).unwrap_or_else(|| failed(exit, watched.status, &said)), None),
        };
        let heat = Heat { before, after, hottest };
        Ok(Some(Trial { outcome, model, took, heat, timeline: watched.timeline.iter().copied().collect() }))
    }

    /// The training of a setting, without its files.
    fn command(&self, setting: &Setting) -> Command {
        let args = self.args;
        let mut command = Command::new(PROGRAM);
        command.arg0("sprig").args(["train", "--json"]).arg("--model").arg(&args.model);
        let mut flag = |flag: &str, value: &dyn ToString| {
            command.arg(flag).arg(value.to_string());
        };
        flag("--budget", &self.budget.get());
        flag("--task", &args.task);
        flag("--steps", &args.steps);
        flag("--len", &setting.len);
        flag("--batch", &setting.batch);
        flag("--weights", &setting.weights);
        flag("--estimator", &setting.estimator);
        let optional = [("--tangents", setting.tangents), ("--rank", setting.rank)];
        for (name, value) in optional.into_iter().filter_map(|(name, value)| Some((name, value?))) {
            flag(name, &value);
        }
        if let Some(threads) = args.threads {
            flag("--threads", &threads);
        }
        command
    }

    /// Looks at a process until it ends; none, and an end to it, when interrupted.
    fn watch(&self, mut child: Child) -> Result<Option<Watched>, Failure> {
        let (began, mut felt) = (Instant::now(), Instant::now());
        let (mut timeline, mut hottest, mut peak) = (Timeline::new(SAMPLES), None, Bytes::ZERO);
        loop {
            if let Some(process) = kernel::process(child.id()) {
                let ms = began.elapsed().as_millis() as u64;
                peak = peak.max(Bytes(process.peak));
                timeline.push(Sample { ms, heap: Bytes::ZERO, rss: Bytes(process.resident), step: 0 });
            }
            match child.try_wait() {
                Ok(Some(status)) => return Ok(Some(Watched { status, peak, hottest, timeline })),
                Ok(None) if !self.interrupt.raised() => {}
                ended => {
                    // Nothing of it is wanted: its files are this command's own.
                    let _ = child.kill();
                    let _ = child.wait();
                    return match ended {
                        Err(e) => Err(Failure::io("wait for", Path::new(PROGRAM), e)),
                        Ok(_) => Ok(None),
                    };
                }
            }
            if felt.elapsed() >= FEEL {
                felt = Instant::now();
                hottest = [hottest, board::condition().celsius].into_iter().flatten().reduce(f64::max);
            }
            std::thread::sleep(LOOK);
        }
    }
}

/// What a run's record has for the profile, and the most that was seen of its process: the last of it, as it writes the
/// record, is not in there.
fn ran(path: &Path, peak: Bytes) -> Result<(Outcome, Option<Model>), Failure> {
    let RunRecord { settings, adapter, plan, mut measured, speed, steps, threads, isa, model, .. } =
        RunRecord::read(path)?;
    let estimator = settings.into_iter().find(|(name, _)| name == "estimator").map(|(_, value)| value);
    let (steps, rank) = (steps.last().map_or(0, |step| step.step), adapter.rank);
    let estimator = estimator.unwrap_or_default();
    measured.peak_rss = measured.peak_rss.max(peak);
    let ran = Ran { estimator, rank, plan, measured, speed, steps, threads, isa };
    Ok((Outcome::Ran(Box::new(ran)), Some(model)))
}

/// That the budget had no room for it, if that is the last that it told.
fn refused(told: &Path) -> Option<Outcome> {
    let text = end_of(told);
    let event: Value = serde_json::from_str(text.lines().next_back()?).ok()?;
    let smallest = event["smallest_budget_bytes"].as_u64().filter(|_| event["event"] == "refused")?;
    Some(Outcome::Refused { smallest_budget: Bytes(smallest) })
}

fn failed(exit: Option<i32>, status: ExitStatus, said: &Path) -> Outcome {
    let why = match exit {
        Some(_) => last_words(said),
        None => format!("its process was ended ({status}); where memory is short the kernel does that"),
    };
    Outcome::Failed { exit, why }
}

/// The line with which a process ended: the parser's first, else its last.
fn last_words(said: &Path) -> String {
    let text = end_of(said);
    let lines = || text.lines().map(str::trim).filter(|line| !line.is_empty());
    let line = lines().find(|line| line.starts_with("error: ")).or_else(|| lines().next_back());
    let line = line.unwrap_or("it said nothing");
    line.strip_prefix("sprig: ").or(line.strip_prefix("error: ")).unwrap_or(line).to_owned()
}

/// The last of what a process wrote; what cannot be read is nothing.
fn end_of(path: &Path) -> String {
    let read = || {
        let mut file = File::open(path)?;
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(SAID)))?;
        let mut bytes = Vec::new();
        file.take(SAID).read_to_end(&mut bytes).map(|_| bytes)
    };
    String::from_utf8_lossy(&read().unwrap_or_default()).into_owned()
}

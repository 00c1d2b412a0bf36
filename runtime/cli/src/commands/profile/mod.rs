//! `sprig profile`: what a board holds and how fast it is, at one setting of a training or over a grid of them.

mod board;
mod grid;
mod trial;
mod words;

use super::described::name;
use super::record::now;
use crate::args::ProfileArgs;
use crate::exit::{Exit, Failure};
use crate::files::{Content, Files, check_writable};
use crate::interrupt::Interrupt;
use crate::output::Output;
use serde_json::{Value, json};
use sprig_budget::Bytes;
use sprig_ground::file;
use sprig_learn::data::Task;
use sprig_report::profile::{Outcome, Point, Profile, Setting, VERSION};
use sprig_report::{profile_page, words as spelled};
use std::path::{Path, PathBuf};
use std::time::Instant;
use trial::{Trial, Trials};

/// The commit a build is of, where whoever built it said so.
const COMMIT: Option<&str> = option_env!("SPRIG_COMMIT");

/// Bytes of the profile and its page, about, for the check that there is room.
const RESULT: u64 = 1 << 20;

pub fn run(args: &ProfileArgs) -> Result<Exit, Failure> {
    let interrupt = Interrupt::listen();
    let page = args.page();
    let files = Files::new().reads("--model", args.model.as_path()).reads("--data", args.data.as_deref());
    let files = files.writes("--out", args.out.as_path(), Content::Profile);
    files.writes("--page", page.as_path(), Content::Page).check()?;
    let settings = grid::settings(args)?;
    trial::check(&args.train)?;
    if args.data.is_none() && args.task != Task::Lm {
        let message = format!("--task {} needs records of its kind; name them with --data", args.task);
        return Err(Failure::new(Exit::Usage, message));
    }
    let model = args.model();
    drop(model.open()?); // a model that is none is told before anything is written
    let mut profile = begun(args, model.budget()?)?;
    check_writable(&args.out, RESULT)?;
    // Beside the profile: the folder for temporary files is memory on many boards.
    let folder = tempfile::Builder::new().prefix(".sprig-profile-").tempdir_in(file::folder_of(&args.out));
    let folder = folder.map_err(|e| Failure::io("write in", file::folder_of(&args.out), e))?;
    let mut output = Output::new(args.json);
    output.begin("profiling", settings.len() as u64, 0);
    let whole = measure(args, &settings, &mut profile, (folder.path(), &interrupt, &output));
    output.end();
    if !profile.points.is_empty() {
        profile.write(&args.out)?;
        file::write(&page, profile_page(&profile).as_bytes())?;
    }
    if !whole? {
        let text = format!(
            "interrupted after {} of {} settings; the same command with --resume measures the rest",
            done(&profile, &settings),
            settings.len()
        );
        output.event(json!({ "event": "interrupted", "points": profile.points.len() }), || Some(text));
        return Ok(Exit::Interrupted);
    }
    ended(args, &profile, &settings, &output)
}

/// The profile to add to: the one that is there if it is to be gone on with, else an empty one.
fn begun(args: &ProfileArgs, budget: Bytes) -> Result<Profile, Failure> {
    let new = Profile {
        profile_version: VERSION,
        sprig_version: env!("CARGO_PKG_VERSION").to_owned(),
        commit: COMMIT.map(str::to_owned),
        command: super::command_line(),
        started: now(),
        ended: now(),
        budget,
        task: args.task.to_string(),
        steps: args.steps.get().into(),
        model_file: name(&args.model),
        model: None,
        board: board::here()?,
        also: args.train.clone(),
        points: Vec::new(),
    };
    if !args.resume || !args.out.exists() {
        return Ok(new);
    }
    let there = Profile::read(&args.out)?;
    let same = [
        ("--budget", there.budget.get().to_string(), budget.get().to_string()),
        ("--task", there.task.clone(), new.task.clone()),
        ("--steps", there.steps.to_string(), new.steps.to_string()),
        ("--model", there.model_file.clone(), new.model_file.clone()),
        ("version", there.sprig_version.clone(), new.sprig_version.clone()),
        ("commit", there.commit.clone().unwrap_or_default(), new.commit.clone().unwrap_or_default()),
        ("board", there.board.name.clone(), new.board.name.clone()),
        ("flags behind --", there.also.join(" "), new.also.join(" ")),
    ];
    if let Some((what, was, is)) = same.iter().find(|(_, was, is)| was != is) {
        let shown = args.out.display();
        let message = format!(
            "{shown} was made with another {what} ({was}, now {is}); give the same, name another --out, or leave out \
             --resume"
        );
        return Err(Failure::new(Exit::Usage, message));
    }
    // What failed is tried again.
    let kept = there.points.into_iter().filter(|point| !matches!(point.outcome, Outcome::Failed { .. }));
    Ok(Profile { started: there.started, model: there.model, points: kept.collect(), ..new })
}

/// Measures the settings that are not there yet, and writes the profile after each. False when interrupted.
fn measure(
    args: &ProfileArgs,
    settings: &[Setting],
    profile: &mut Profile,
    (folder, interrupt, output): (&Path, &Interrupt, &Output),
) -> Result<bool, Failure> {
    let (began, budget) = (Instant::now(), profile.budget);
    let earlier = profile.points.iter().map(|point| point.at_s + point.took_s).fold(0.0, f64::max);
    for (i, setting) in settings.iter().enumerate() {
        if profile.points.iter().any(|point| point.setting == *setting) {
            continue;
        }
        if interrupt.raised() {
            return Ok(false);
        }
        output.at(i as u64, || setting.to_string());
        let data = data(args, setting, folder)?;
        let trials = Trials { args, budget, folder, data: &data, interrupt };
        let at_s = earlier + began.elapsed().as_secs_f64();
        let Some(trial) = trials.run(setting)? else { return Ok(false) };
        let Trial { outcome, model, took, heat, timeline } = trial;
        let (setting, took_s) = (setting.clone(), took.as_secs_f64());
        let point = Point { setting, outcome, at_s, took_s, heat, timeline };
        output.event(event(&point, i + 1, settings.len()), || Some(line(&point, i + 1, settings.len())));
        profile.points.push(point);
        profile.model = model.or(profile.model.take());
        profile.ended = now();
        profile.write(&args.out)?;
    }
    Ok(true)
}

/// The records that a setting learns from: those given, or texts of its length, no example twice.
fn data(args: &ProfileArgs, setting: &Setting, folder: &Path) -> Result<PathBuf, Failure> {
    if let Some(data) = &args.data {
        return Ok(data.clone());
    }
    let path = folder.join("data.jsonl");
    let examples = u64::from(setting.batch).saturating_mul(args.steps.get().into()).min(4096) as usize;
    file::write(
        &path,
        words::records(examples.max(setting.batch as usize), setting.len as usize).as_bytes(),
    )?;
    Ok(path)
}

/// The settings of this command that are measured.
fn done(profile: &Profile, settings: &[Setting]) -> usize {
    settings.iter().filter(|setting| profile.points.iter().any(|point| point.setting == **setting)).count()
}

/// The last event, and how the command ends: well, if anything ran.
fn ended(
    args: &ProfileArgs,
    profile: &Profile,
    settings: &[Setting],
    output: &Output,
) -> Result<Exit, Failure> {
    let points = || profile.points.iter().filter(|point| settings.contains(&point.setting));
    let count = |of: fn(&Outcome) -> bool| points().filter(|point| of(&point.outcome)).count();
    let ran = count(|outcome| matches!(outcome, Outcome::Ran(_)));
    let refused = count(|outcome| matches!(outcome, Outcome::Refused { .. }));
    let failed = count(|outcome| matches!(outcome, Outcome::Failed { .. }));
    let (out, page) = (args.out.display(), args.page());
    let event = json!({
        "event": "done", "out": args.out, "page": page, "ran": ran, "refused": refused, "failed": failed,
        "budget_bytes": profile.budget,
    });
    output.event(event, || {
        let page = page.display();
        Some(format!("wrote {out} and {page}: {ran} ran, {refused} refused for the budget, {failed} failed"))
    });
    if ran > 0 {
        return Ok(Exit::Done);
    }
    let needs = points().filter_map(|point| match point.outcome {
        Outcome::Refused { smallest_budget } => Some((smallest_budget, &point.setting)),
        Outcome::Ran(_) | Outcome::Failed { .. } => None,
    });
    if let Some((smallest, setting)) = needs.min_by_key(|(smallest, _)| *smallest) {
        let message = format!(
            "a budget of {} holds none of the settings; the smallest that would do is {smallest}, for {setting}; give \
             --budget {} or more",
            profile.budget,
            smallest.get()
        );
        return Err(Failure::new(Exit::Budget, message));
    }
    let failure = points().find_map(|point| match &point.outcome {
        Outcome::Failed { exit, why } => Some((*exit, format!("{}: {why}", point.setting))),
        Outcome::Ran(_) | Outcome::Refused { .. } => None,
    });
    let (exit, why) = failure.unwrap_or((None, "no setting was measured".to_owned()));
    // A process without a code was killed, for want of memory as a rule.
    Err(Failure::new(exit.map_or(Exit::Budget, Exit::of_code), why))
}

/// A point for scripts.
fn event(point: &Point, n: usize, of: usize) -> Value {
    let mut event = json!({
        "event": "point", "n": n, "of": of, "setting": point.setting, "took_s": point.took_s,
        "celsius_before": point.heat.before.celsius, "celsius_hottest": point.heat.hottest,
        "celsius_after": point.heat.after.celsius, "held_back": point.heat.after.held_back,
    });
    let more = match &point.outcome {
        Outcome::Ran(ran) => json!({
            "outcome": "ran", "estimator": ran.estimator, "plan_bytes": ran.plan.total(),
            "peak_rss_bytes": ran.measured.peak_rss, "step_ms_median": ran.speed.step_ms_median,
            "tokens_per_s": ran.speed.tokens_per_s,
        }),
        Outcome::Refused { smallest_budget } => {
            json!({ "outcome": "refused", "smallest_budget_bytes": smallest_budget })
        }
        Outcome::Failed { exit, why } => json!({ "outcome": "failed", "exit": exit, "why": why }),
    };
    if let (Value::Object(event), Value::Object(more)) = (&mut event, more) {
        event.extend(more);
    }
    event
}

/// The same for people.
fn line(point: &Point, n: usize, of: usize) -> String {
    let what = match &point.outcome {
        Outcome::Ran(ran) => format!(
            "peak {} of {} planned, {} a step, {} tokens/s",
            ran.measured.peak_rss,
            ran.plan.total(),
            spelled::millis(ran.speed.step_ms_median),
            spelled::number(ran.speed.tokens_per_s)
        ),
        Outcome::Refused { smallest_budget } => format!("refused, needs {smallest_budget}"),
        Outcome::Failed { why, .. } => format!("failed: {why}"),
    };
    let warm = point.heat.hottest.map_or_else(String::new, |celsius| format!(", {celsius:.0} °C"));
    format!("{n} of {of}  {}: {what}{warm}", point.setting)
}

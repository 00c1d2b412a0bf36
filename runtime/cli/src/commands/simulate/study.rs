//! A fleet that learns, in this process: settings from the command line, progress, the last line and the curve.

use super::curve::Curve;
use crate::args::{SimulateArgs, StudyArgs};
use crate::commands::eval::describe;
use crate::exit::{Exit, Failure};
use crate::files::{Content, Files, check_writable, scratch};
use crate::interrupt::Interrupt;
use crate::output::Output;
use serde_json::{Value, json};
use sprig_budget::{Bytes, Plan, process};
use sprig_learn::privacy::DELTA;
use sprig_protocol::FleetError;
use sprig_protocol::settings::{FleetSettings, Mode, Train};
use sprig_simulate::{Dealt, Findings, Follower, Point, Skew, Study};
use std::path::{Path, PathBuf};

pub fn run(args: &SimulateArgs) -> Result<Exit, Failure> {
    let folder = Folder::of(args)?;
    let interrupt = Interrupt::listen();
    let study = study(args, folder.path())?;
    check_files(args, &study)?;
    for path in [&args.study.out, &args.study.curve].into_iter().flatten() {
        check_writable(path, 0)?;
    }
    let mut teller = Teller {
        output: Output::new(args.json),
        interrupt,
        rounds: study.settings.rounds.count.get(),
        points: Vec::new(),
        keep: args.study.curve.is_some(),
        evaluating: false,
    };
    let findings = study.run(&mut teller)?;
    teller.output.end();
    if let Some(path) = &args.study.curve {
        let page = curve(&study, &findings, &teller.points).render();
        std::fs::write(path, page).map_err(|e| Failure::io("write", path, e))?;
    }
    teller.output.event(last(&findings), || Some(line(&findings)));
    Ok(if findings.stopped { Exit::Interrupted } else { Exit::Done })
}

/// Where activations are kept.
pub(super) enum Folder {
    Kept(PathBuf),
    Temporary(tempfile::TempDir),
}

impl Folder {
    /// The one that was named, which is made if it is not there, or a temporary one.
    pub(super) fn of(args: &SimulateArgs) -> Result<Self, Failure> {
        let Some(folder) = &args.study.cache else {
            let disk = scratch();
            let made = tempfile::tempdir_in(&disk).map_err(|e| Failure::io("make a folder in", &disk, e))?;
            return Ok(Self::Temporary(made));
        };
        std::fs::create_dir_all(folder).map_err(|e| Failure::io("make the folder", folder, e))?;
        Ok(Self::Kept(folder.clone()))
    }

    pub(super) fn path(&self) -> &Path {
        match self {
            Self::Kept(path) => path,
            Self::Temporary(folder) => folder.path(),
        }
    }
}

/// No result over what is read, nor over another.
pub(super) fn check_files(args: &SimulateArgs, study: &Study) -> Result<(), Failure> {
    Files::new()
        .reads("--config", args.study.config.as_deref())
        .reads("the model", study.settings.model.path.as_path())
        .reads("--data", study.data.as_path())
        .reads("the held-out data", study.held_out.as_path())
        .writes("--out", args.study.out.as_deref(), Content::Adapter)
        .writes("--curve", args.study.curve.as_deref(), Content::Page)
        .check()
}

/// What the command line asks for.
pub(super) fn study(args: &SimulateArgs, cache: &Path) -> Result<Study, Failure> {
    let StudyArgs { model, config, set, preset, data, eval_data, per_round, .. } = &args.study;
    if let Some(m) = per_round.filter(|m| *m > args.devices) {
        let message = format!("--per-round {m} is more than the {} devices there are", args.devices);
        return Err(Failure::new(Exit::Usage, message));
    }
    if let Some(n) = args.study.liars.filter(|n| *n > args.devices) {
        let message = format!("--liars {n} is more than the {} devices there are", args.devices);
        return Err(Failure::new(Exit::Usage, message));
    }
    let flags = [
        ("seed", args.study.seed),
        ("rounds.count", args.rounds),
        ("rounds.devices", *per_round),
        ("rounds.evaluate_every", args.study.evaluate_every),
    ];
    let flags = flags.into_iter().filter_map(|(key, value)| Some(format!("{key}={}", value?)));
    let changes: Vec<String> = set.iter().cloned().chain(flags).collect();
    let mut settings = FleetSettings::simulated(config.as_deref(), model.as_deref(), *preset, &changes)?;
    settings.model.budget = args.study.budget.or(settings.model.budget);
    settings.model.threads = args.study.threads.or(settings.model.threads);
    let Some(data) = data else {
        return Err(Failure::new(Exit::Usage, "--data is missing: the records to deal to the devices"));
    };
    // Flow's devices are judged on data of their own.
    let own = args.study.flow.then_some(data);
    let Some(held_out) = own.or(eval_data.as_ref()).or(settings.coordinator.eval_data.as_ref()) else {
        let message =
            "--eval-data is missing, and --config names no eval_data: a curve needs records to judge by";
        return Err(Failure::new(Exit::Usage, message));
    };
    let by_label = args.study.labels_per_device.map(|n| Skew::Labels(n.into()));
    Ok(Study {
        devices: args.devices,
        skew: by_label.or(args.study.skew.map(Skew::Dirichlet)),
        data: data.clone(),
        held_out: held_out.clone(),
        personal: args.study.personal,
        liars: args.study.liars.zip(args.study.attack),
        cache: cache.to_owned(),
        out: args.study.out.clone(),
        settings,
    })
}

/// Says what happens.
struct Teller {
    output: Output,
    interrupt: Interrupt,
    rounds: u32,
    points: Vec<Point>,
    /// Whether `points` are wanted.
    keep: bool,
    evaluating: bool,
}

impl Follower for Teller {
    fn stop(&self) -> bool {
        self.interrupt.raised()
    }

    fn planned(&mut self, plan: &Plan) -> Result<(), FleetError> {
        self.output.event(json!({ "event": "plan", "plan": plan }), || Some(plan.brief().to_string()));
        Ok(())
    }

    fn dealt(&mut self, dealt: &Dealt) {
        let Dealt { devices, excluded, fewest, most } = dealt;
        let mut value = json!(dealt);
        value["event"] = "dealt".into();
        self.output.event(value, || {
            let left_out = match excluded {
                0 => String::new(),
                n => format!("; {n} more have none or too few and are left out"),
            };
            Some(format!("{devices} devices with {fewest} to {most} examples each{left_out}"))
        });
    }

    fn evaluating(&mut self, done: usize, of: usize) {
        if !self.evaluating {
            self.output.end();
            self.output.begin("evaluating", of as u64, 0);
        }
        self.evaluating = true;
        self.output.at(done as u64, || "evaluating".to_owned());
    }

    fn point(&mut self, point: &Point) {
        if self.keep {
            self.points.push(*point);
        }
        let Point { round, found, train_loss, .. } = point;
        let mut value = json!(point);
        value["event"] = if found.is_some() { "evaluated" } else { "round" }.into();
        if found.is_some() {
            self.output.end();
        }
        self.output.event(value, || {
            let personal = point.acc_g.zip(point.acc_p).map_or_else(String::new, |(g, p)| {
                let (g, p) = (100.0 * g.0.accuracy, 100.0 * p.0.accuracy);
                format!("; on the devices' own data {g:.1} %, by their own models {p:.1} %")
            });
            Some(format!("round {round}: {}{personal}", describe(found.as_ref()?)))
        });
        if self.evaluating || *round == 0 {
            self.output.begin("training", self.rounds.into(), (*round).into());
        }
        self.evaluating = false;
        let loss = train_loss.map_or_else(String::new, |loss| format!(", loss {loss:.3}"));
        self.output.at((*round).into(), || format!("training{loss}"));
    }
}

/// The last line, for scripts.
fn last(findings: &Findings) -> Value {
    let Findings { before, after, .. } = findings;
    json!({
        "event": if findings.stopped { "interrupted" } else { "done" },
        "devices": findings.devices,
        "rounds": findings.rounds,
        "mode": findings.mode,
        "accuracy_before": before.map(|e| e.accuracy),
        "interval_before": before.map(|e| e.interval),
        "loss_before": before.map(|e| e.loss),
        "accuracy_after": after.map(|e| e.accuracy),
        "interval_after": after.map(|e| e.interval),
        "loss_after": after.map(|e| e.loss),
        "n": after.or(*before).map(|e| e.n),
        "seconds": findings.seconds,
        "peak_rss_bytes": process::status().peak_rss,
        "coverage": findings.coverage,
        "budget_bytes": findings.budget_bytes,
        "adapter_digest": findings.adapter_digest,
    })
}

/// The same for people.
fn line(findings: &Findings) -> String {
    let Findings { devices, rounds, before, after, seconds, budget_bytes, .. } = findings;
    let share = |e: &Option<sprig_learn::evaluate::Evaluation>| {
        e.map_or_else(|| "not measured".to_owned(), |e| format!("{:.1} %", 100.0 * e.accuracy))
    };
    let stopped = if findings.stopped { "interrupted: " } else { "" };
    let peak = process::status().peak_rss.unwrap_or(Bytes::ZERO);
    format!(
        "{stopped}{devices} devices, {rounds} rounds in {seconds:.0} s: accuracy {} before, {} after; peak {peak} of {budget_bytes}",
        share(before),
        share(after)
    )
}

fn curve<'a>(study: &Study, findings: &'a Findings, points: &'a [Point]) -> Curve<'a> {
    let train = &study.settings.train;
    let skew = match study.skew {
        Some(Skew::Labels(n)) => format!("{n} labels a device"),
        Some(Skew::Dirichlet(alpha)) => format!("Dirichlet, {alpha}"),
        _ => "Dirichlet, 1, where there are labels".to_owned(),
    };
    let mut settings = vec![
        ("model", study.settings.model.path.display().to_string()),
        ("data", study.data.display().to_string()),
        ("held-out data", study.held_out.display().to_string()),
        (
            "devices",
            format!(
                "{}, {} a round",
                findings.devices,
                study.settings.rounds.devices.get().min(findings.devices)
            ),
        ),
        ("label skew", skew),
        (
            "mode",
            match (train.readout, train.mode) {
                (Some(readout), _) => format!("read-out, {} directions", readout.directions),
                (None, Mode::PerIteration) => train.mode.to_string(),
                (None, Mode::PerEpoch) => format!("{}, {} steps", train.mode, train.local_steps),
            },
        ),
        ("differential privacy", private(train)),
        ("adapter", format!("{}, r = {}, on {}", train.adapter, train.rank, train.targets)),
        ("batch, K", format!("{}, {}", train.batch, train.tangents)),
        ("directions", format!("{}, {} seeds", train.directions, train.seeds)),
        ("learning rate", train.lr.to_string()),
        ("server", format!("{}, eta {}", train.server.rule, train.server.eta)),
        ("seed", train.seed.to_string()),
        ("adapter's digest", findings.adapter_digest.clone()),
    ];
    if train.readout.is_some() {
        settings.retain(|(name, _)| !OF_STEPS.contains(name));
    }
    let ended = super::super::record::now();
    let command = crate::commands::command_line();
    Curve { points, findings, settings, command, ended }
}

/// Settings that a read-out has no use for.
const OF_STEPS: [&str; 5] = ["adapter", "batch, K", "directions", "learning rate", "server"];

/// What noise a training has.
fn private(train: &Train) -> String {
    let dp = train.readout.map_or(train.noise.map(|noise| noise.dp), |readout| readout.dp);
    dp.map_or_else(|| "no noise".to_owned(), |epsilon| format!("ε = {epsilon}, δ = {DELTA}"))
}

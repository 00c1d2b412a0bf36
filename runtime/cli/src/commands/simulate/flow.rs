//! Flow and its controls, in this process: a line for each.

use super::compared::Compared;
use super::study::{Folder, check_files, study};
use crate::args::SimulateArgs;
use crate::exit::{Exit, Failure};
use crate::files::check_writable;
use crate::interrupt::Interrupt;
use crate::output::Output;
use serde_json::json;
use sprig_budget::{Plan, process};
use sprig_ground::file;
use sprig_learn::data::Task;
use sprig_protocol::FleetError;
use sprig_simulate::{Control, Finding, FlowFollower, FlowStudy, Study};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};

/// Most devices of a folder.
const MOST: usize = 10_000;

pub fn run(args: &SimulateArgs) -> Result<Exit, Failure> {
    let folder = Folder::of(args)?;
    let cache = folder.path();
    let mut study = study(args, cache)?;
    check_files(args, &study)?;
    args.study.curve.as_deref().map_or(Ok(()), |path| check_writable(path, 0))?;
    // Nobody else's file: the folder of activations may be the user's.
    let temporary = std::env::temp_dir();
    let whole = tempfile::NamedTempFile::new().map_err(|e| Failure::io("make a file in", &temporary, e))?;
    let data = study.data.clone();
    let owners = if study.data.is_dir() { Some(gather(&study.data, whole.path())?) } else { None };
    if let Some(owners) = &owners {
        study.data = whole.path().to_owned();
        study.devices = owners.len() as u32;
    }
    let train = &study.settings.train;
    let flow = train.flow.unwrap_or_default();
    let controls = match args.study.controls.as_deref() {
        None => vec![Control::Flow],
        // All that there are for the task.
        Some([]) if train.task == Task::Label => Control::ALL.to_vec(),
        Some([]) => Control::ALL.iter().copied().filter(|c| *c != Control::ReadOut).collect(),
        Some(some) => some.to_vec(),
    };
    let settings = settings(&study, &data);
    let flow = FlowStudy { rules: train.flow()?, routing: flow.routing(train.task), owners, controls, study };
    let mut teller = Teller {
        output: Output::new(args.json),
        interrupt: Interrupt::listen(),
        now: None,
        found: Vec::new(),
    };
    let whole = flow.run(&mut teller)?;
    teller.output.end();
    if let Some(path) = &args.study.curve {
        let (found, ended) = (&teller.found, super::super::record::now());
        let page = Compared { found, settings, command: super::super::command_line(), ended }.render();
        file::write(path, page.as_bytes())?;
    }
    let event = json!({
        "event": if whole { "done" } else { "interrupted" },
        "peak_rss_bytes": process::status().peak_rss,
    });
    teller.output.event(event, || None);
    Ok(if whole { Exit::Done } else { Exit::Interrupted })
}

/// What a page says of how it was found out.
fn settings(study: &Study, data: &Path) -> Vec<(&'static str, String)> {
    let (train, rounds) = (&study.settings.train, &study.settings.rounds);
    let flow = train.flow.unwrap_or_default();
    vec![
        ("model", study.settings.model.path.display().to_string()),
        ("data", data.display().to_string()),
        ("rounds", format!("{}, of {} devices", rounds.count, rounds.devices)),
        ("adapter", format!("{}, r = {}, on {}", train.adapter, train.rank, train.targets)),
        (
            "steps",
            format!(
                "{}, batch {}, at most {} a half and round",
                train.estimator, train.batch, train.local_steps
            ),
        ),
        (
            "epochs",
            format!("{} of the own adapter, {} of what is shared", flow.local_epochs, flow.shared_epochs),
        ),
        ("learning rate", train.lr.to_string()),
        ("routers", format!("by {}, see {}, gamma {}", flow.router, flow.sees, flow.gamma)),
        ("seed", train.seed.to_string()),
    ]
}

/// Puts the files of a folder, each a device's, one behind another into `whole`; the records of each.
fn gather(folder: &Path, whole: &Path) -> Result<Vec<usize>, Failure> {
    let read = |e| Failure::io("read", folder, e);
    let entries = std::fs::read_dir(folder).map_err(read)?;
    let mut files: Vec<PathBuf> =
        entries.map(|entry| entry.map(|entry| entry.path())).collect::<Result<_, _>>().map_err(read)?;
    files.retain(|path| path.extension().is_some_and(|e| e == "jsonl"));
    files.sort();
    if files.is_empty() || files.len() > MOST {
        let found = files.len();
        let message = format!(
            "--data {}: the folder has {found} files *.jsonl; give 1 to {MOST}, one for each device",
            folder.display()
        );
        return Err(Failure::new(Exit::Usage, message));
    }
    let write = |e| Failure::io("write", whole, e);
    let mut out = std::io::BufWriter::new(std::fs::File::create(whole).map_err(write)?);
    let mut records = Vec::with_capacity(files.len());
    for path in &files {
        let read = |e| Failure::io("read", path, e);
        let lines = BufReader::new(std::fs::File::open(path).map_err(read)?).lines();
        let mut n = 0;
        for line in lines {
            let line = line.map_err(read)?;
            if !line.trim().is_empty() {
                writeln!(out, "{line}").map_err(write)?;
                n += 1;
            }
        }
        records.push(n);
    }
    out.flush().map_err(write)?;
    Ok(records)
}

/// Says what happens.
struct Teller {
    output: Output,
    interrupt: Interrupt,
    now: Option<Control>,
    found: Vec<Finding>,
}

impl FlowFollower for Teller {
    fn stop(&self) -> bool {
        self.interrupt.raised()
    }

    fn devices(&mut self, taking_part: usize, new: usize, left_out: usize) {
        let event =
            json!({ "event": "devices", "taking_part": taking_part, "new": new, "left_out": left_out });
        self.output.event(event, || {
            let few = match left_out {
                0 => String::new(),
                n => format!("; {n} with fewer than three records are left out"),
            };
            Some(format!(
                "{taking_part} devices take part, {new} are served in the end without having done so{few}"
            ))
        });
    }

    fn planned(&mut self, plan: &Plan) -> Result<(), FleetError> {
        self.output.event(json!({ "event": "plan", "plan": plan }), || Some(plan.brief().to_string()));
        Ok(())
    }

    fn at(&mut self, control: Control, done: u32, of: u32) {
        if self.now != Some(control) {
            self.output.end();
            self.output.begin(control.name(), of.into(), 0);
            self.now = Some(control);
        }
        self.output.at(done.into(), || control.name().to_owned());
    }

    fn found(&mut self, found: &Finding) {
        self.output.end();
        self.now = None;
        self.found.push(found.clone());
        let mut value = json!(found);
        value["event"] = "control".into();
        self.output.event(value, || {
            let share = |v: f64| 100.0 * v;
            let [from, to] = found.interval.map(share);
            Some(format!(
                "{}: server {:.1} %, own {:.1} %, personal {:.1} % ({from:.1} to {to:.1}), hard {:.1} %; {} devices better, \
                 {} as well, {} worse; {:.0} s",
                found.control,
                share(found.accuracy_global),
                share(found.accuracy_local),
                share(found.accuracy_personal),
                share(found.accuracy_personal_hard),
                found.devices_better,
                found.devices_equal,
                found.devices_worse,
                found.seconds,
            ))
        });
    }
}

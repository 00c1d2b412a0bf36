//! `sprig fleet`: look at a fleet's training and its devices, pause it, go on, take an adapter out of it.

use super::fold::fold;
use super::{authority, backup, export};
use crate::args::{ExportArgs, FleetArgs, FleetCommand, FleetQuery, MemberArgs};
use crate::exit::{Exit, Failure};
use crate::files::{Content, Files};
use crate::output::line;
use serde_json::json;
use sprig_budget::Bytes;
use sprig_coordinator::{Act, CertificateView, CoordinatorError, DeviceView, LedgerError, RoundRow, control};
use sprig_learn::readout::fleet::FleetSums;
use sprig_protocol::settings::FleetSettings;
use sprig_transport::certificate::moment;
use sprig_transport::messages::Digest;
use std::fmt::Display;
use std::path::Path;

pub fn run(args: &FleetArgs) -> Result<Exit, Failure> {
    match &args.what {
        FleetCommand::Status(query) => status(query),
        FleetCommand::Devices(query) => devices(query),
        FleetCommand::Quarantine(args) => decide(args, Act::Quarantine),
        FleetCommand::Allow(args) => decide(args, Act::Allow),
        FleetCommand::Replace(args) => decide(args, Act::Replace),
        FleetCommand::Remove(args) => decide(args, Act::Remove),
        FleetCommand::Pause(query) => {
            tell(query, control::pause, "paused: the round under way stays open, no other begins")
        }
        FleetCommand::Resume(query) => tell(query, control::resume, "goes on"),
        FleetCommand::TakeOver(query) => take_over(query),
        FleetCommand::History(query) => history(query),
        FleetCommand::Coverage(query) => coverage(query),
        FleetCommand::Export(args) => export(args),
        FleetCommand::Requests(query) => authority::requests(query),
        FleetCommand::Approve(args) => authority::approve(args),
        FleetCommand::Reject(args) => authority::reject(args),
        FleetCommand::Revoke(args) => authority::revoke(args),
        FleetCommand::Certificates(query) => authority::certificates(query),
        FleetCommand::Backup(args) => backup::backup(args),
        FleetCommand::Restore(args) => backup::restore(args),
    }?;
    Ok(Exit::Done)
}

fn status(query: &FleetQuery) -> Result<(), Failure> {
    let settings = FleetSettings::read(&query.config)?;
    let state = &settings.coordinator.state;
    let view = match control::status(state) {
        Err(gone @ CoordinatorError::NotRunning { .. }) => {
            // Of a run that is over, the ledger knows as much as a coordinator would.
            let Ok(Some(rounds)) = control::finished(state) else { return Err(gone.into()) };
            let fleet = &settings.fleet.name;
            if query.json {
                return line(
                    json!({ "fleet": fleet, "state": "finished", "round": rounds, "rounds": rounds }),
                );
            }
            return line(format_args!("{fleet}: finished after {rounds} rounds; no coordinator is running"));
        }
        found => found?,
    };
    if query.json {
        return line(json!(view));
    }
    line(format_args!(
        "{}: {}, round {} of {}, {}",
        view.fleet, view.state, view.round, view.rounds, view.mode
    ))?;
    if !view.waiting_for.is_empty() {
        line(format_args!("waits for {}", view.waiting_for))?;
    }
    line(format_args!("{} devices, {} here", view.devices_total, view.devices_online))?;
    for CertificateView { path, not_after, .. } in view.certificates.iter().filter(|c| c.near) {
        line(format_args!("the certificate {path} holds until {}", moment(*not_after)))?;
    }
    line(
        "device            board               state     budget      peak        planned     round    warm     updates  refused",
    )?;
    for d in &view.devices {
        line(format_args!(
            "{:<17} {:<19} {:<9} {:<11} {:<11} {:<11} {:<8} {:<8} {:>7}  {:>7}{}",
            d.id,
            d.board,
            d.state,
            Bytes(d.budget_bytes).to_string(),
            told(d.peak_bytes.map(Bytes)),
            told(d.planned_bytes.map(Bytes)),
            told(d.round_s.map(|seconds| format!("{seconds:.1} s"))),
            told(d.celsius.map(|celsius| format!("{celsius:.0} °C"))),
            d.accepted,
            d.refused,
            d.held_back
                .as_ref()
                .filter(|holds| !holds.is_empty())
                .map_or_else(String::new, |holds| { format!("  {}", holds.join(", ")) })
        ))?;
    }
    Ok(())
}

/// What a device told, or that it did not.
fn told(value: Option<impl Display>) -> String {
    value.map_or_else(|| "-".to_owned(), |value| value.to_string())
}

fn devices(query: &FleetQuery) -> Result<(), Failure> {
    let settings = FleetSettings::read(&query.config)?;
    let (devices, left_out) = match control::status(&settings.coordinator.state) {
        Ok(view) => {
            let left_out = view.devices_total.saturating_sub(view.devices.len() as u32);
            (view.devices, Some(left_out))
        }
        Err(gone @ CoordinatorError::NotRunning { .. }) => {
            match control::known(&settings.coordinator.state) {
                Err(CoordinatorError::Ledger(LedgerError::None { .. })) => return Err(gone.into()),
                known => (known?, None),
            }
        }
        Err(other) => return Err(other.into()),
    };
    if query.json {
        return devices.iter().try_for_each(|device| line(json!(device)));
    }
    table(&devices)?;
    match left_out {
        None => line("no coordinator is running; this is what its ledger holds"),
        Some(0) => Ok(()),
        Some(more) => line(format_args!("and {more} more that are not here")),
    }
}

/// How each device did.
fn table(devices: &[DeviceView]) -> Result<(), Failure> {
    line(
        "device            state        heard     usual     selected  in time  missed  late  refused  last refusal",
    )?;
    for d in devices {
        let seconds = |found: Option<f64>| found.map_or_else(|| "-".to_owned(), |s| format!("{s:.0} s"));
        line(format_args!(
            "{:<17} {:<12} {:<9} {:<9} {:>8}  {:>7}  {:>6}  {:>4}  {:>7}  {}",
            d.id,
            d.state,
            seconds(d.heard_s),
            seconds(d.usual_s),
            d.selected,
            d.accepted,
            d.missed,
            d.late,
            d.refused,
            d.last_refusal.as_deref().unwrap_or("-"),
        ))?;
    }
    Ok(())
}

fn decide(args: &MemberArgs, act: Act) -> Result<(), Failure> {
    let settings = FleetSettings::read(&args.query.config)?;
    control::decide(&settings.coordinator.state, &args.device, act)?;
    if args.query.json {
        return line(json!({ "done": true }));
    }
    let done = match act {
        Act::Quarantine => "is not selected until it is allowed",
        Act::Allow => "may take part",
        Act::Replace => "is another board from now on",
        Act::Remove => "is removed; its name is free",
    };
    line(format_args!("{} {done}", args.device))
}

fn tell(
    query: &FleetQuery,
    command: fn(&Path) -> Result<(), CoordinatorError>,
    done: &str,
) -> Result<(), Failure> {
    let settings = FleetSettings::read(&query.config)?;
    command(&settings.coordinator.state)?;
    if query.json { line(json!({ "done": true })) } else { line(done) }
}

fn take_over(query: &FleetQuery) -> Result<(), Failure> {
    let settings = FleetSettings::read(&query.config)?;
    let other = control::take_over(&settings.coordinator.state)?.map(|run| run.to_string());
    if query.json {
        return line(json!({ "done": true, "stood_down_for": other }));
    }
    match other {
        Some(run) => {
            line(format_args!("leads again when it is started next; it had stood down for run {run}"))
        }
        None => line("it had not stood down; nothing is changed"),
    }
}

fn history(query: &FleetQuery) -> Result<(), Failure> {
    let settings = FleetSettings::read(&query.config)?;
    let rows: Vec<RoundRow> = control::history(&settings.coordinator.state)?;
    if query.json {
        return rows.iter().try_for_each(|row| line(json!(row)));
    }
    line("round  state      devices  refused  loss    accuracy  up          down        seconds  adapter")?;
    for r in &rows {
        line(format_args!(
            "{:>5}  {:<9}  {:>3}/{:<3}  {:>7}  {:<6}  {:<8}  {:<10}  {:<10}  {:>7.1}  {}",
            r.round,
            r.state,
            r.reported,
            r.selected,
            r.refused,
            r.loss.map_or_else(|| "-".to_owned(), |l| format!("{l:.3}")),
            r.accuracy.map_or_else(|| "-".to_owned(), |a| format!("{:.1} %", 100.0 * a)),
            Bytes(r.bytes_up).to_string(),
            Bytes(r.bytes_down).to_string(),
            r.seconds,
            r.adapter_digest.get(..8).unwrap_or(&r.adapter_digest)
        ))?;
    }
    Ok(())
}

fn coverage(query: &FleetQuery) -> Result<(), Failure> {
    let settings = FleetSettings::read(&query.config)?;
    let rows = control::coverage(&settings.coordinator.state)?;
    if query.json {
        return rows.iter().try_for_each(|row| line(json!(row)));
    }
    line("device  examples behind each group, by block and layer")?;
    for row in &rows {
        let counts: Vec<String> = row.examples.iter().map(u64::to_string).collect();
        line(format_args!("{:>6}  {}", row.number, counts.join(" ")))?;
    }
    Ok(())
}

fn export(args: &ExportArgs) -> Result<(), Failure> {
    let settings = FleetSettings::read(&args.query.config)?;
    let files = Files::of_fleet(&args.query.config, &settings);
    let files = args.with.iter().fold(files, |files, path| files.reads("--with", path.as_path()));
    files.writes("--out", args.out.as_path(), Content::Adapter).check()?;
    let found = control::adapter(&settings.coordinator.state, args.digest.as_deref())?;
    if !args.with.is_empty() {
        return folded(args, &fold(&settings, &found.values, &args.with)?, &settings);
    }
    export::write(&settings, &found.values, &args.out)?;
    let (rounds, digest) = (found.round, found.after.to_string());
    if args.query.json {
        return line(json!({ "out": args.out, "rounds": rounds, "adapter_digest": digest }));
    }
    line(format_args!("adapter {} after {rounds} rounds: {}", &digest[..8], args.out.display()))
}

/// Writes the adapter of what several fleets have summed up.
fn folded(args: &ExportArgs, total: &FleetSums, settings: &FleetSettings) -> Result<(), Failure> {
    export::write(settings, &total.values(), &args.out)?;
    let (fleets, examples) = (1 + args.with.len(), total.examples());
    let digest = Digest(total.digest()).to_string();
    if args.query.json {
        return line(
            json!({ "out": args.out, "fleets": fleets, "examples": examples, "adapter_digest": digest }),
        );
    }
    let (short, out) = (&digest[..8], args.out.display());
    line(format_args!("adapter {short} of {examples} examples of {fleets} fleets: {out}"))
}

//! `sprig fleet backup` and `sprig fleet restore`: a copy of the coordinator's ledger, and a state folder made of one.

use crate::args::{BackupArgs, RestoreArgs};
use crate::exit::{Exit, Failure};
use crate::files::Files;
use crate::output::Output;
use serde_json::{Value, json};
use sprig_budget::Bytes;
use sprig_coordinator::{Copied, Held, control, restore as put_back};
use sprig_protocol::settings::FleetSettings;
use std::path::absolute;

pub fn backup(args: &BackupArgs) -> Result<(), Failure> {
    let settings = FleetSettings::read(&args.query.config)?;
    let files = Files::of_fleet(&args.query.config, &settings);
    files.keeps("--out", &args.out).check()?;
    if args.out.symlink_metadata().is_ok() {
        let problem = format!("--out {} is there already; name another file", args.out.display());
        return Err(Failure::new(Exit::Usage, problem));
    }
    // A running coordinator writes it, whose folder is another.
    let out = absolute(&args.out).map_err(|e| Failure::io("find", &args.out, e))?;
    if out.to_str().is_none() {
        let problem = format!("--out {}: its name is no UTF-8; name another", args.out.display());
        return Err(Failure::new(Exit::Usage, problem));
    }
    let mut output = Output::new(args.query.json);
    output.begin("copying", 0, 0);
    let held = control::backup(&settings.coordinator.state, &out, &mut |copied: Copied| {
        output.event(event("copied", &json!(copied)), || None);
        output.of(copied.rows, copied.of, || format!("copying, {}", Bytes(copied.bytes)));
    })?;
    output.end();
    let mut last = event("backup", &json!(held));
    last["out"] = json!(args.out);
    output.event(last, || Some(format!("{}: {}", args.out.display(), described(&held))));
    Ok(())
}

pub fn restore(args: &RestoreArgs) -> Result<(), Failure> {
    let settings = FleetSettings::read(&args.query.config)?;
    let mut output = Output::new(args.query.json);
    output.begin("copying", 0, 0);
    let state = &settings.coordinator.state;
    let restored = put_back(state, &args.file, args.replace, &mut |bytes, of| {
        output.event(json!({ "event": "copied", "bytes": bytes, "of": of }), || None);
        output.of(bytes, of, || format!("copying, {}", Bytes(bytes)));
    })?;
    output.end();
    let mut last = event("restore", &json!(restored.held));
    (last["ledger"], last["aside"]) = (json!(restored.ledger), json!(restored.aside));
    output.event(last, || {
        let held = described(&restored.held);
        let aside = restored.aside.as_ref();
        let aside = aside.map_or_else(String::new, |aside| {
            format!("; the ledger that was there is now {}", aside.display())
        });
        Some(format!(
            "{}: {held}{aside}; `sprig coordinate` goes on from there, as a further epoch if the fleet has gone further",
            restored.ledger.display()
        ))
    });
    Ok(())
}

/// An event with what `fields` has.
fn event(name: &str, fields: &Value) -> Value {
    let mut event = fields.clone();
    event["event"] = name.into();
    event
}

fn described(held: &Held) -> String {
    let Held { run, epoch, round, finished, devices, bytes } = held;
    let round = if *finished { format!("finished after {round} rounds") } else { format!("round {round}") };
    format!("run {run:.8}, epoch {epoch}, {round}, {devices} devices, {}", Bytes(*bytes))
}

//! Many light devices against a real coordinator, ledger, wire format and broker.

use crate::args::SimulateArgs;
use crate::exit::{Exit, Failure};
use crate::interrupt::Interrupt;
use crate::output::line;
use sprig_budget::{Bytes, process};
use sprig_simulate::{Habits, Load, Plan};
use sprig_transport::broker::Broker;
use sprig_transport::link::LinkConfig;
use sprig_transport::mqtt::{self, Many};
use std::ffi::OsStr;
use std::path::Path;
use std::process::{Command, Stdio};

/// Bytes of messages on their way, each direction, of a connection that carries thousands of devices.
const QUEUE: usize = 8 << 20;
/// The same of one among many.
const FEW: usize = 256 << 10;
/// Connections beyond which they share a thread.
const THREADS: u32 = 64;

/// Files that are open beside the connections, with room to spare: some three a thread.
const FILES: u64 = 256;
/// Rounds unless told otherwise.
const ROUNDS: u32 = 20;

pub fn run(args: &SimulateArgs) -> Result<Exit, Failure> {
    let interrupt = Interrupt::listen();
    let rounds = args.rounds.unwrap_or(ROUNDS);
    let plan = planned(args, rounds)?;
    check_files(&plan, args.broker.is_none())?;
    if let (Some(state), Some(url)) = (&args.coordinator_state, &args.broker) {
        let link = mqtt::connect(&config(args, url, (&format!("{}-coordinator", plan.fleet), QUEUE)))?;
        sprig_simulate::coordinate(&plan, state, link, Box::new(|_| ()), interrupt.flag())?;
        return Ok(Exit::Done);
    }
    let broker = match &args.broker {
        Some(_) => None,
        None => {
            let any = std::net::SocketAddr::from(([127, 0, 0, 1], 0));
            Some(Broker::start(any).map_err(|e| Failure::new(Exit::Io, e))?)
        }
    };
    let url = args.broker.clone().or_else(|| broker.as_ref().map(Broker::url)).unwrap_or_default();
    let folder = tempfile::tempdir().map_err(|e| Failure::io("make a folder in", Path::new("/tmp"), e))?;
    let state = folder.path().join(&plan.fleet);
    std::fs::create_dir(&state).map_err(|e| Failure::io("make", &state, e))?;
    let many = Many::start().map_err(|e| Failure::new(Exit::Io, e))?;
    // The coordinator is another process, so that what it takes is its own.
    let program = std::env::current_exe().map_err(|e| Failure::io("find", Path::new("sprig"), e))?;
    let mut coordinator = Command::new(program)
        .args(["simulate", "--broker", &url, "--coordinator-state"])
        .arg(&state)
        .args(["--devices", &args.devices.to_string(), "--rounds", &rounds.to_string()])
        .args(["--per-round", &plan.per_round.to_string(), "--follow", args.follow.name()])
        .args(troubled(&plan.habits))
        .args(args.ca.iter().flat_map(|ca| [OsStr::new("--ca"), ca.as_os_str()]))
        .stdout(Stdio::null())
        .spawn()
        .map_err(|e| Failure::new(Exit::Io, format_args!("cannot start the coordinator: {e}")))?;
    let found = sprig_simulate::load(&plan, coordinator.id(), |name| match plan.connections {
        ..=THREADS => mqtt::connect(&config(args, &url, (&format!("{}-{name}", plan.fleet), QUEUE))),
        _ => many.connect(&config(args, &url, (&format!("{}-{name}", plan.fleet), FEW))),
    });
    if found.is_err() {
        let _ = coordinator.kill();
    }
    let _ = coordinator.wait();
    let found = found.map_err(|e| Failure::new(Exit::Peer, e))?;
    let ledger = std::fs::metadata(state.join("ledger.redb")).map_or(0, |m| m.len());
    tell(args, &found, ledger)
}

/// Says what was found.
fn tell(args: &SimulateArgs, found: &Load, ledger: u64) -> Result<Exit, Failure> {
    let plan = &found.plan;
    if args.json {
        let mut value = serde_json::to_value(found).map_err(|e| Failure::new(Exit::Bug, e))?;
        value["event"] = "done".into();
        value["ledger_bytes"] = ledger.into();
        line(value)?;
        return Ok(Exit::Done);
    }

    let measured = found.rss_rounds.len();
    let mut seconds = found.seconds_of_rounds.clone();
    seconds.sort_by(f64::total_cmp);
    let at = |i: usize| found.rss_rounds.get(i).map_or_else(|| "-".to_owned(), |b| Bytes(*b).to_string());
    line(format_args!(
        "{} devices on {} connections, {} rounds in {:.1} s ({:.2} a second); {} updates in the ledger",
        plan.devices, plan.connections, plan.rounds, found.seconds, found.rounds_per_second, found.accepted
    ))?;
    if plan.by_task {
        line(format_args!("adapters     {} fetched", found.fetched))?;
    }
    if let (Some(median), Some(longest)) = (seconds.get(seconds.len() / 2), seconds.last()) {
        line(format_args!("a round      {median:.2} s (median), {longest:.2} s at most"))?;
    }
    line(format_args!("messages     {:.0} a second, both directions", found.messages_per_second))?;
    line(format_args!(
        "coordinator  {} idle, {} at most; {} after round 1, {} after round {measured}",
        Bytes(found.rss_idle),
        Bytes(found.rss_peak),
        at(0),
        at(measured.saturating_sub(1)),
    ))?;
    line(format_args!(
        "             {:.0} bytes a device, {:.3} processor seconds per 1,000 devices and round",
        found.bytes_per_device, found.cpu_seconds_per_1000_devices
    ))?;
    line(format_args!("ledger       {} on disk", Bytes(ledger)))?;
    Ok(Exit::Done)
}

/// The load that is asked for.
fn planned(args: &SimulateArgs, rounds: u32) -> Result<Plan, Failure> {
    let per_round = args.study.per_round.unwrap_or(args.devices).min(args.devices);
    let habits = Habits {
        work: args.work.unwrap_or_default(),
        trouble: args.trouble,
        troubled: args.troubled.unwrap_or_default(),
    };
    if habits.troubled >= args.devices {
        let problem = format!(
            "--troubled {}: at least one of the {} devices has to do its part",
            habits.troubled, args.devices
        );
        return Err(Failure::new(Exit::Usage, problem));
    }
    let (connections, by_task) = (args.connections.min(args.devices), args.follow.is_by_task());
    // A name of its own: another load may have the same broker. Its coordinator, which is a process of its own, is told by its
    // folder's.
    let led = args.coordinator_state.as_ref().and_then(|state| state.file_name());
    let fleet = led.map_or_else(
        || format!("simulation-{}", std::process::id()),
        |name| name.to_string_lossy().into_owned(),
    );
    Ok(Plan { per_round, habits, connections, by_task, ..Plan::new(&fleet, args.devices, rounds) })
}

/// Each connection is an open file, and two where the broker is in this process too.
fn check_files(plan: &Plan, own_broker: bool) -> Result<(), Failure> {
    let connections = u64::from(plan.connections);
    let need = FILES + connections * if own_broker { 2 } else { 1 };
    let may = process::allow_files(need).map_err(|e| Failure::new(Exit::Io, e))?;
    if may >= need {
        return Ok(());
    }
    Err(Failure::new(
        Exit::Usage,
        format!(
            "--connections {connections} takes {need} open files, and this process may have {may} (`ulimit -Hn`); use fewer \
             connections, or raise that limit"
        ),
    ))
}

/// The same for the coordinator, which need not know how long devices work.
fn troubled(habits: &Habits) -> Vec<String> {
    habits.trouble.map_or_else(Vec::new, |trouble| {
        ["--trouble", trouble.name(), "--troubled", &habits.troubled.to_string()].map(str::to_owned).to_vec()
    })
}

/// A connection of that name, which holds so many bytes each way.
fn config(args: &SimulateArgs, url: &str, (name, bytes): (&str, usize)) -> LinkConfig {
    LinkConfig { queue_bytes: bytes, inbox_bytes: bytes, ca: args.ca.clone(), ..LinkConfig::new(url, name) }
}

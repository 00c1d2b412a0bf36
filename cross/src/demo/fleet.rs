//! The fleet on one machine: a broker, a coordinator and several devices as processes of their own, each inside its
//! budget and with records of its own.

use super::alone::{judge, percent};
use super::broker::Broker;
use super::configs::{Configs, Way};
use super::examples;
use super::processes::{Process, Said};
use super::shards;
use crate::sprig::{Evaluation, Sprig};
use crate::{data, model, sys};
use anyhow::{Context, Result, bail, ensure};
use indicatif::{HumanDuration, ProgressBar, ProgressState, ProgressStyle};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};
use std::{fmt, fs};

/// Longest a process may take to begin or to end.
const PATIENCE: Duration = Duration::from_secs(120);

/// Rounds after which a line says so where there is no terminal to draw a bar on.
const LINE: u64 = 10;

/// Held-out records that the fleet is judged by on its way; by all of them before and after.
const PART: usize = 120;

/// Runs the command.
pub fn run(args: &super::Args) -> Result<()> {
    let out = std::path::absolute(args.out.clone().unwrap_or_else(|| sys::target_dir().join("demo")))?;
    let start = Instant::now();
    eprintln!(
        "model and data, a build, {} rounds of {} devices, one of a read-out, and what they came to: some 5 minutes on two \
         cores, and the first time a download of 98 MB and minutes of building",
        args.rounds(),
        args.devices
    );
    let model = model::fetch("smollm2")?;
    let files = data::write(args.data, Some(&out.join("data")), 1)?;
    let shards = shards::deal(&files.train, &files.labels, args.devices as usize, 1, &out.join("data"))?;
    let sprig = Sprig::build()?;
    // A ledger of an earlier demo is another run's.
    let work = out.join("fleet");
    let _ = fs::remove_dir_all(&work);
    fs::create_dir_all(&work).with_context(|| format!("cannot create {}", work.display()))?;

    let part = work.join("part.jsonl");
    begin_of(&files.held_out, &part)?;

    let (say, said) = channel();
    let names: Vec<String> = (1..=shards.len()).map(|i| format!("device-{i}")).collect();
    let mut broker = Broker::start(&args.broker, &sprig, &names, &work, &say)?;
    let url = broker.url.clone();
    let steps = Configs {
        way: Way::Steps,
        mode: args.mode,
        rounds: args.rounds(),
        devices: names.len(),
        model: &model.path,
        files: &files,
        judged: &part,
        broker: &args.broker,
        url: &url,
        work: &work,
    };
    let mut ran = Ran { sprig: &sprig, names: &names, shards: &shards, args, say, said, broker: &mut broker };
    let (mut done, training) = ran.train(&steps)?;
    let (mut read, reading) = ran.train(&Configs { way: Way::ReadOut, rounds: 1, ..steps })?;
    eprintln!("judging by all {} records held out", files.held_out_records);
    let judge = |adapter: Option<&str>| {
        judge(&sprig, &model.path, adapter.map(|name| work.join(name)).as_deref(), &files)
    };
    (done["before"], done["after"]) = (judge(None)?, judge(Some("adapter.gguf"))?);
    (read["before"], read["after"]) = (done["before"].clone(), judge(Some("adapter-readout.gguf"))?);
    let total = start.elapsed().as_secs_f64();
    if args.json {
        let mut summary = summary(&done, args, training, total, &work);
        summary["readout"] = read.clone();
        summary["readout"]["training_seconds"] = json!(reading);
        summary["readout"]["adapter"] = json!(work.join("adapter-readout.gguf"));
        println!("{summary}");
    } else {
        print!("{}{}", text(&done, args, training, total, &work), read_out(&read, reading, &work));
        let adapter = work.join("adapter-readout.gguf");
        print!("{}", examples::answers(&sprig, &model.path, &adapter, &files.held_out)?);
    }
    Ok(())
}

/// Writes the first [`PART`] lines of `from`, whose order is drawn.
fn begin_of(from: &Path, to: &Path) -> Result<()> {
    let text = fs::read_to_string(from).with_context(|| format!("cannot read {}", from.display()))?;
    let part: String = text.split_inclusive('\n').take(PART).collect();
    fs::write(to, part).with_context(|| format!("cannot write {}", to.display()))
}

/// The devices of the demo, who train one way after another.
struct Ran<'a> {
    sprig: &'a Sprig,
    names: &'a [String],
    shards: &'a [PathBuf],
    args: &'a super::Args,
    say: Sender<Said>,
    said: Receiver<Said>,
    broker: &'a mut Broker,
}

impl Ran<'_> {
    /// Trains as `configs` say: the coordinator's last line, and seconds.
    fn train(&mut self, configs: &Configs<'_>) -> Result<(Value, f64)> {
        let Self { sprig, names, shards, args, say, said, broker } = self;
        let mut processes = Vec::new();
        let fleet = configs.coordinator()?;
        let devices: Vec<PathBuf> = names
            .iter()
            .zip(*shards)
            .map(|(name, shard)| configs.device(name, shard))
            .collect::<Result<_>>()?;
        let mut coordinator = sprig.command(&["coordinate", "--json", "--config"]);
        coordinator.arg(&fleet);
        processes.push(Process::start("coordinator", coordinator, say)?);
        leads(said, &mut processes)?;
        for (name, device) in names.iter().zip(&devices) {
            let mut agent = sprig.command(&["agent", "--json", "--config"]);
            agent.arg(device);
            processes.push(Process::start(name, agent, say)?);
        }

        let training = Instant::now();
        let done = follow(said, &mut processes, broker, args, configs.rounds)?;
        let training = training.elapsed().as_secs_f64();
        for process in processes {
            process.join(PATIENCE)?;
        }
        // Whatever they still said is of this training.
        while said.try_recv().is_ok() {}
        Ok((done, training))
    }
}

/// Waits until the coordinator has the broker, and tells where its dashboard is: a device that comes before would find the run
/// that was over, take what that learnt, and be done.
fn leads(said: &Receiver<Said>, processes: &mut [Process]) -> Result<()> {
    let until = Instant::now() + PATIENCE;
    loop {
        if let Ok(Said { event: Some(event), .. }) = said.recv_timeout(Duration::from_secs(1)) {
            match event["event"].as_str() {
                Some("dashboard") => eprintln!("dashboard at {}", event["url"].as_str().unwrap_or("")),
                Some("connected") => return Ok(()),
                _ => {}
            }
        }
        if let Some(problem) = processes.iter_mut().find_map(Process::failed) {
            bail!("{problem}");
        }
        ensure!(Instant::now() < until, "the coordinator found no broker in {PATIENCE:?}");
    }
}

/// Follows the processes until the coordinator is done, and returns its last line.
fn follow(
    said: &Receiver<Said>,
    processes: &mut [Process],
    broker: &mut Broker,
    args: &super::Args,
    rounds: u32,
) -> Result<Value> {
    let bar = ProgressBar::new(u64::from(rounds)).with_style(
        ProgressStyle::with_template("{msg}  {bar:12} round {pos}/{len}, {elapsed} gone{left}")?
            .with_key("left", left),
    );
    bar.set_message("gathering");
    loop {
        match said.recv_timeout(Duration::from_secs(1)) {
            Ok(Said { name, event: Some(event) }) if name == "coordinator" => match event["event"].as_str() {
                Some("round") => {
                    let round = event["round"].as_u64().map_or(0, |r| r + 1);
                    bar.set_position(round);
                    if bar.is_hidden() && round.is_multiple_of(LINE) {
                        eprintln!("round {round} of {rounds}, {} s", bar.elapsed().as_secs());
                    }
                    if let Some(loss) = event["loss"].as_f64() {
                        bar.set_message(format!("loss {loss:.3}"));
                    }
                    if args.json {
                        println!("{event}");
                    }
                }
                Some("done") => {
                    bar.finish_and_clear();
                    return Ok(event);
                }
                _ => {}
            },
            Ok(Said { name, event: None }) if name == "coordinator" => {
                bail!("the coordinator ended without its last line");
            }
            _ => {}
        }
        if let Some(problem) = processes.iter_mut().find_map(Process::failed).or_else(|| broker.failed()) {
            bail!("{problem}");
        }
    }
}

/// How long it still takes, once a round has told.
fn left(state: &ProgressState, to: &mut dyn fmt::Write) {
    if state.pos() > 0 {
        let _ = write!(to, ", {:#} left", HumanDuration(state.eta()));
    }
}

fn summary(done: &Value, args: &super::Args, training: f64, total: f64, work: &Path) -> Value {
    let mut summary = done.clone();
    summary["data"] = json!(format!("{:?}", args.data).to_lowercase());
    summary["broker"] = json!(args.broker.to_string());
    summary["mode"] = json!(args.mode.name());
    summary["training_seconds"] = json!(training);
    summary["total_seconds"] = json!(total);
    summary["adapter"] = json!(work.join("adapter.gguf"));
    summary["page"] = json!(work.join("fleet.html"));
    summary
}

fn text(done: &Value, args: &super::Args, training: f64, total: f64, work: &Path) -> String {
    let evaluation = |key: &str| {
        let found: Option<Evaluation> = serde_json::from_value(done[key].clone()).ok();
        found.as_ref().map_or_else(|| "not measured".to_owned(), percent)
    };
    let number = |key: &str| done[key].as_f64().unwrap_or(f64::NAN);
    let mib = |bytes: f64| format!("{:.1} MiB", bytes / f64::from(1 << 20));
    let minutes = |seconds: f64| format!("{:.1} minutes", seconds / 60.0);
    let mut text = format!("\nuntouched   {}\n", evaluation("before"));
    text += &format!("finetuned   {}\n", evaluation("after"));
    text += &format!("held out    {} examples\n", done["after"]["n"]);
    text += &format!("devices     {}, {} rounds in {}\n", args.devices, number("rounds"), minutes(training));
    text += &format!("exchanged   {}, broker {}\n", args.mode.name(), args.broker);
    text += &format!(
        "travelled   {:.0} bytes up and {:.0} down, a device and round; the adapter's weights are {:.0}\n",
        number("bytes_up_per_device_round"),
        number("bytes_down_per_device_round"),
        number("weights_bytes"),
    );
    text += &format!(
        "peak        {} of a budget of {} (the highest of the devices)\n",
        mib(number("peak_rss_bytes_max")),
        mib(number("budget_bytes"))
    );
    text += &format!("in all      {}\n", minutes(total));
    text += &format!("adapter     {}\n", work.join("adapter.gguf").display());
    text += &format!("page        file://{}\n", work.join("fleet.html").display());
    text
}

/// What the read-out came to, over the same devices.
fn read_out(done: &Value, seconds: f64, work: &Path) -> String {
    let found: Option<Evaluation> = serde_json::from_value(done["after"].clone()).ok();
    let number = |key: &str| done[key].as_f64().unwrap_or(f64::NAN);
    format!(
        "\nread-out    {}, in one round and {:.1} minutes\ntravelled   {:.0} bytes up and {:.0} down, a device, once\n\
         adapter     {}\n",
        found.as_ref().map_or_else(|| "not measured".to_owned(), percent),
        seconds / 60.0,
        number("bytes_up_per_device_round"),
        number("bytes_down_per_device_round"),
        work.join("adapter-readout.gguf").display()
    )
}

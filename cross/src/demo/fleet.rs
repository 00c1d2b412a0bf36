//! The fleet on one machine: a broker, a coordinator and several devices as processes of their own, each inside its
//! budget and with records of its own.

use super::alone::percent;
use super::processes::{Process, Said};
use super::shards;
use crate::sprig::{Evaluation, Sprig};
use crate::{data, model, sys};
use anyhow::{Context, Result, bail};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Value, json};
use std::fs;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

/// Rounds unless told otherwise.
pub const ROUNDS: u32 = 60;
/// What a device may hold.
const BUDGET: &str = "200MiB";
/// Longest a process may take to begin or to end.
const PATIENCE: Duration = Duration::from_secs(120);

/// What every device trains: as `cargo xtask demo --alone`, one step of one device a round.
const TRAIN: &str = r#"
[train]
task = "label"
raw = true
len = 96
batch = 8
tangents = 4
adapter = "lora-xs"
rank = 8
targets = "q,v,o"
layers = "22..30"
seed = 1
mode = "per-iteration"
"#;

/// Runs the command.
pub fn run(args: &super::Args) -> Result<()> {
    let out = std::path::absolute(args.out.clone().unwrap_or_else(|| sys::target_dir().join("demo")))?;
    let start = Instant::now();
    let model = model::fetch("smollm2")?;
    let files = data::write(args.data, Some(&out.join("data")), 1)?;
    let shards = shards::deal(&files.train, &files.labels, args.devices as usize, 1, &out.join("data"))?;
    let sprig = Sprig::build()?;
    // A ledger of an earlier demo is another run's.
    let work = out.join("fleet");
    let _ = fs::remove_dir_all(&work);
    fs::create_dir_all(&work).with_context(|| format!("cannot create {}", work.display()))?;

    let (say, said) = channel();
    let mut processes = Vec::new();
    let broker = match &args.broker {
        Some(url) => url.clone(),
        None => {
            let (process, url) = start_broker(&sprig, &say)?;
            processes.push(process);
            url
        }
    };
    let setting = Setting { args, model: &model.path, files: &files, broker: &broker, work: &work };
    let fleet = setting.write_fleet()?;
    let devices: Vec<PathBuf> = shards
        .iter()
        .enumerate()
        .map(|(i, shard)| setting.write_device(i + 1, shard))
        .collect::<Result<_>>()?;
    let mut coordinator = sprig.command(&["coordinate", "--json", "--config"]);
    coordinator.arg(&fleet);
    processes.push(Process::start("coordinator", coordinator, &say)?);
    for (i, device) in devices.iter().enumerate() {
        let mut agent = sprig.command(&["agent", "--json", "--config"]);
        agent.arg(device);
        processes.push(Process::start(&format!("device-{}", i + 1), agent, &say)?);
    }

    let training = Instant::now();
    let done = follow(&said, &mut processes, args)?;
    let training = training.elapsed().as_secs_f64();
    for process in processes.into_iter().filter(|p| p.name() != "broker") {
        process.join(PATIENCE)?;
    }
    let total = start.elapsed().as_secs_f64();
    if args.json {
        println!("{}", summary(&done, args, training, total, &work));
    } else {
        print!("{}", text(&done, args, training, total, &work));
    }
    Ok(())
}

/// Starts the embedded broker on a free port and waits until it answers.
fn start_broker(sprig: &Sprig, say: &Sender<Said>) -> Result<(Process, String)> {
    let address = TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).context("no free port")?;
    let process =
        Process::start("broker", sprig.command(&["broker", "--listen", &address.to_string()]), say)?;
    let until = Instant::now() + PATIENCE;
    while !answers(address) {
        if Instant::now() > until {
            bail!("the embedded broker does not answer at {address}");
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok((process, format!("mqtt://{address}")))
}

fn answers(address: SocketAddr) -> bool {
    TcpStream::connect_timeout(&address, Duration::from_secs(1)).is_ok()
}

/// What the configurations are written from.
struct Setting<'a> {
    args: &'a super::Args,
    model: &'a Path,
    files: &'a data::Files,
    broker: &'a str,
    work: &'a Path,
}

impl Setting<'_> {
    fn write_fleet(&self) -> Result<PathBuf> {
        let devices = self.args.devices;
        let text = format!(
            "{head}\n[rounds]\ncount = {rounds}\ndevices = {devices}\nmin_devices = {devices}\nquorum = {devices}\n\
             deadline_seconds = 120\nevaluate_every = 0\n{TRAIN}template = {template}\nlabels = {labels}\n\
             server = {{ eta = 0.05, decay_rounds = {rounds} }}\n\n\
             [coordinator]\nstate = \"coordinator\"\ndashboard = \"127.0.0.1:0\"\neval_data = {held_out}\n\
             adapter = \"adapter.gguf\"\npage = \"fleet.html\"\n",
            head = self.head(None),
            rounds = self.args.rounds,
            template = quoted(self.files.template),
            labels = serde_json::to_string(&self.files.labels)?,
            held_out = quoted(&self.files.held_out.to_string_lossy()),
        );
        self.write("fleet.toml", &text)
    }

    fn write_device(&self, number: usize, shard: &Path) -> Result<PathBuf> {
        let name = format!("device-{number}");
        let text = format!(
            "{}budget = \"{BUDGET}\"\nthreads = 1\n\n[data]\ntrain = {}\n\n[agent]\nstate = \"{name}\"\n",
            self.head(Some(&name)),
            quoted(&shard.to_string_lossy()),
        );
        self.write(&format!("{name}.toml"), &text)
    }

    fn head(&self, id: Option<&str>) -> String {
        let id = id.map_or_else(String::new, |id| format!("id = \"{id}\"\n"));
        format!(
            "[fleet]\nname = \"demo\"\nbroker = {}\n{id}\n[model]\npath = {}\n",
            quoted(self.broker),
            quoted(&self.model.to_string_lossy())
        )
    }

    fn write(&self, name: &str, text: &str) -> Result<PathBuf> {
        let path = self.work.join(name);
        fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
        Ok(path)
    }
}

/// A text as TOML has it; JSON's escapes are a part of TOML's.
fn quoted(text: &str) -> String {
    Value::from(text).to_string()
}

/// Follows the processes until the coordinator is done, and returns its last line.
fn follow(said: &Receiver<Said>, processes: &mut [Process], args: &super::Args) -> Result<Value> {
    let bar = ProgressBar::new(u64::from(args.rounds)).with_style(ProgressStyle::with_template(
        "{msg}  {bar:30} round {pos}/{len}, {elapsed} gone, {eta} left",
    )?);
    bar.set_message("gathering");
    loop {
        match said.recv_timeout(Duration::from_secs(1)) {
            Ok(Said { name, event: Some(event) }) if name == "coordinator" => match event["event"].as_str() {
                Some("round") => {
                    bar.set_position(event["round"].as_u64().map_or(0, |r| r + 1));
                    if let Some(loss) = event["loss"].as_f64() {
                        bar.set_message(format!("loss {loss:.3}"));
                    }
                    if args.json {
                        println!("{event}");
                    }
                }
                Some("dashboard") => {
                    bar.suspend(|| eprintln!("dashboard at {}", event["url"].as_str().unwrap_or("")));
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
        if let Some(problem) = processes.iter_mut().find_map(Process::failed) {
            bail!("{problem}");
        }
    }
}

fn summary(done: &Value, args: &super::Args, training: f64, total: f64, work: &Path) -> Value {
    let mut summary = done.clone();
    summary["data"] = json!(format!("{:?}", args.data).to_lowercase());
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
    text += &format!("held out    {} examples\n", number("n"));
    text += &format!("devices     {}, {} rounds in {}\n", args.devices, number("rounds"), minutes(training));
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
    text += &format!("page        {}\n", work.join("fleet.html").display());
    text
}

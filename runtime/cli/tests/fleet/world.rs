//! Broker, coordinator and devices as processes, and what they print.

use super::scene::Scene;
use serde_json::Value;
use sprig_testkit::group::Group;
use sprig_testkit::mosquitto::{self, Mosquitto};
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

/// Longest a fleet may take; a loaded machine needs some of it.
const LIMIT: Duration = Duration::from_secs(300);
pub const DEVICES: usize = 2;
pub const ROUNDS: usize = 4;

/// How a fleet differs from two devices that train the tiny model for four rounds.
pub struct Setup {
    pub devices: usize,
    pub rounds: usize,
    /// Lines of `[train]` besides task and labels.
    pub train: String,
    /// Files of the scene that coordinator and devices open.
    pub models: [&'static str; 2],
    /// What a device may hold.
    pub budget: &'static str,
    /// Who keeps its state in the scene's folder `disk`.
    pub on_disk: String,
}

impl Default for Setup {
    fn default() -> Self {
        let train = "len = 64\nbatch = 2\ntangents = 2\nrank = 2\ntargets = \"q,v\"\nlayers = \"1..3\"\n";
        Self {
            devices: DEVICES,
            rounds: ROUNDS,
            train: train.to_owned(),
            models: ["tiny.gguf"; 2],
            budget: "80%",
            on_disk: String::new(),
        }
    }
}

pub struct World {
    pub scene: Scene,
    broker: Option<Mosquitto>,
    port: u16,
    processes: Vec<Process>,
    say: Sender<(String, Option<Value>)>,
    said: Receiver<(String, Option<Value>)>,
    /// Members of a control group in which devices are started.
    pub group: Option<PathBuf>,
    /// Environment of processes that are started from now on.
    pub set: Vec<(&'static str, PathBuf)>,
    /// Everything that was said, in order.
    pub events: Vec<(String, Value)>,
}

struct Process {
    name: String,
    child: Child,
}

impl World {
    /// A provisioned fleet whose broker runs; `train` is added to its `[train]` table.
    pub fn new(train: &str) -> Self {
        let setup = Setup::default();
        Self::with(Scene::new(), &Setup { train: setup.train + train, ..setup })
    }

    /// The same in a scene that has what `setup` names.
    pub fn with(scene: Scene, setup: &Setup) -> Self {
        let Setup { devices, rounds, train, models, budget, on_disk } = setup;
        let port = mosquitto::free_port();
        scene.done(&format!("provision --out fleet --fleet test --devices {devices} --port {port}"));
        let head = |file: &str, id: &str, model: &str| {
            format!(
                "[fleet]\nname = \"test\"\n{id}broker = \"mqtts://localhost:{port}\"\nca = \"ca.crt\"\n\
                 cert = \"{file}.crt\"\nkey = \"{file}.key\"\n\n[model]\npath = {:?}\nthreads = 1\n",
                scene.path(model)
            )
        };
        let state = |who: &str| if who == on_disk { scene.path("disk") } else { PathBuf::from("state") };
        let data = scene.path("label.jsonl");
        let fleet = format!(
            "{}\n[rounds]\ncount = {rounds}\ndevices = {devices}\nmin_devices = {devices}\nquorum = {devices}\n\
             deadline_seconds = 60\n\n[train]\ntask = \"label\"\nlabels = [\"down\", \"up\"]\n{train}\n\n\
             [coordinator]\nstate = {:?}\neval_data = {data:?}\nadapter = \"adapter.gguf\"\npage = \"fleet.html\"\n",
            head("coordinator", "", models[0]),
            state("coordinator"),
        );
        scene.write("fleet/coordinator/fleet.toml", &fleet);
        for i in 1..=*devices {
            let id = device(i);
            let text = format!(
                "{}budget = {budget:?}\n\n[data]\ntrain = {data:?}\n\n[agent]\nstate = {:?}\nresend_seconds = 0.5\n",
                head("device", &format!("id = {id:?}\n"), models[1]),
                state(&id),
            );
            scene.write(&format!("fleet/devices/{id}/device.toml"), &text);
        }
        let (say, said) = channel();
        let (broker, processes, events) = (None, Vec::new(), Vec::new());
        let mut world =
            Self { scene, broker, port, processes, say, said, events, group: None, set: Vec::new() };
        world.start_broker();
        world
    }

    pub fn start_broker(&mut self) {
        self.broker = Some(Mosquitto::configured(&self.scene.path("fleet/broker"), self.port));
    }

    pub fn stop_broker(&mut self) {
        self.broker = None;
    }

    /// Has the broker read its files anew.
    pub fn reload_broker(&self) {
        self.broker.as_ref().unwrap().reload();
    }

    /// Starts `coordinator`, a `second` one or a device.
    pub fn start(&mut self, name: &str) {
        let line = match name {
            "coordinator" => "coordinate --json --config fleet/coordinator/fleet.toml".to_owned(),
            "second" => "coordinate --json --config fleet/coordinator/second.toml".to_owned(),
            device => format!("agent --json --config fleet/devices/{device}/device.toml"),
        };
        self.start_as(name, &line);
    }

    /// Starts the process `name` with that command line.
    pub fn start_as(&mut self, name: &str, line: &str) {
        let mut command = self.scene.command(line);
        command.envs(self.set.iter().cloned());
        if let Some(members) = self.group.as_ref().filter(|_| name != "coordinator") {
            command = Group::member(members, &command);
        }
        let errors = File::create(self.scene.path(&format!("{name}.err"))).unwrap();
        let mut child = command.stdout(Stdio::piped()).stderr(errors).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let (say, teller) = (self.say.clone(), name.to_owned());
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                let event = serde_json::from_str(&line).unwrap_or_else(|e| panic!("{e}: {line}"));
                let _ = say.send((teller.clone(), Some(event)));
            }
            let _ = say.send((teller, None));
        });
        self.processes.push(Process { name: name.to_owned(), child });
    }

    /// Starts everyone, devices one after another so that each has its number.
    pub fn start_all(&mut self) {
        self.start("coordinator");
        for i in 1..=DEVICES {
            self.start(&device(i));
            let name = device(i);
            self.until("joined", |who, e| {
                who == "coordinator" && e["event"] == "joined" && e["device"] == *name
            });
        }
    }

    /// Ends a process as a power cut does.
    pub fn kill(&mut self, name: &str) {
        let at = self.processes.iter().position(|p| p.name == name).unwrap();
        let mut process = self.processes.remove(at);
        process.child.kill().unwrap();
        process.child.wait().unwrap();
        // What it printed before.
        while self.next(Duration::from_secs(5)).is_some_and(|(who, e)| who != name || e.is_some()) {}
    }

    /// Exit code and message of a process, if it has ended.
    pub fn ended(&mut self, name: &str) -> Option<(Option<i32>, String)> {
        let at = self.processes.iter().position(|p| p.name == name)?;
        let status = self.processes[at].child.try_wait().unwrap()?;
        self.processes.remove(at);
        Some((status.code(), self.message(name)))
    }

    /// What a process wrote on standard error.
    fn message(&self, name: &str) -> String {
        String::from_utf8(self.scene.bytes(&format!("{name}.err"))).unwrap()
    }

    /// Stops a process as it stands, until it is to go on.
    pub fn freeze(&self, name: &str, frozen: bool) {
        self.send(name, if frozen { "-STOP" } else { "-CONT" });
    }

    /// Sends a process a signal.
    pub fn send(&self, name: &str, signal: &str) {
        let process = self.processes.iter().find(|p| p.name == name).unwrap();
        let sent = Command::new("kill").args([signal, &process.child.id().to_string()]).status();
        assert!(sent.unwrap().success());
    }

    /// The next line, or the end of a process.
    pub fn next(&mut self, wait: Duration) -> Option<(String, Option<Value>)> {
        let (who, event) = self.said.recv_timeout(wait).ok()?;
        if let Some(event) = &event {
            self.events.push((who.clone(), event.clone()));
        }
        Some((who, event))
    }

    /// Waits for an event.
    pub fn until(&mut self, what: &str, mut wanted: impl FnMut(&str, &Value) -> bool) -> Value {
        let until = Instant::now() + LIMIT;
        loop {
            assert!(Instant::now() < until, "no {what} in {LIMIT:?}: {:#?}", self.tail());
            match self.next(Duration::from_millis(200)) {
                Some((who, Some(event))) if wanted(&who, &event) => return event,
                _ => {}
            }
        }
    }

    /// Waits until everyone has ended well; the coordinator's last line.
    pub fn finish(&mut self) -> Value {
        let until = Instant::now() + LIMIT;
        while let Some(mut process) = self.processes.pop() {
            let status = loop {
                if let Some(status) = process.child.try_wait().unwrap() {
                    break status;
                }
                assert!(Instant::now() < until, "{} does not end: {:#?}", process.name, self.tail());
                self.next(Duration::from_millis(20));
            };
            let message = self.message(&process.name);
            assert!(status.success(), "{}: {status}: {message} {:#?}", process.name, self.tail());
        }
        while self.next(Duration::from_millis(200)).is_some() {}
        let done = self.events.iter().rev().find(|(_, e)| e["event"] == "done");
        done.unwrap_or_else(|| panic!("no last line: {:#?}", self.tail())).1.clone()
    }

    /// What must be the same however the run was disturbed: rounds, who took part, adapters.
    pub fn ledger(&self) -> Vec<Value> {
        let ran = self.scene.done("fleet history --json --config fleet/coordinator/fleet.toml");
        let kept = [
            "round",
            "state",
            "selected",
            "reported",
            "loss",
            "calibration",
            "weights",
            "accuracy",
            "adapter_digest",
        ];
        let row = |e: Value| kept.iter().map(|k| (k.to_string(), e[*k].clone())).collect::<Value>();
        ran.events().into_iter().map(row).collect()
    }

    pub fn adapter(&self) -> Vec<u8> {
        self.scene.bytes("fleet/coordinator/adapter.gguf")
    }

    pub fn folder(&self, name: &str) -> PathBuf {
        self.scene.path(name)
    }

    /// Replaces `from` in a file, where it is.
    pub fn edit(&self, file: &str, from: &str, to: &str) {
        let text = std::fs::read_to_string(self.folder(file)).unwrap();
        assert!(text.contains(from), "{from} is not in {text}");
        self.scene.write(file, &text.replace(from, to));
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    fn tail(&self) -> Vec<String> {
        let shown = |(who, e): &(String, Value)| format!("{who}: {e}");
        self.events.iter().rev().take(12).rev().map(shown).collect()
    }
}

impl Drop for World {
    fn drop(&mut self) {
        for process in &mut self.processes {
            let _ = process.child.kill();
            let _ = process.child.wait();
        }
        self.stop_broker();
    }
}

/// Name of device `i`, from 1, as `provision` gives it.
pub fn device(i: usize) -> String {
    format!("device-{i:03}")
}

//! Training killed with SIGKILL at random moments: what is on disk is always whole, and the run that goes on ends as
//! the undisturbed one does, bit for bit.

use crate::scene::{Scene, model, number};
use serde_json::Value;
use sprig_engine::gguf::Gguf;
use sprig_testkit::random::Random;
use std::collections::BTreeMap;
use std::os::unix::process::ExitStatusExt;
use std::time::{Duration, Instant};

/// One command, run straight into `a.*` and killed and resumed into `b.*` until it was killed `kills` times.
struct Torture<'a> {
    scene: &'a Scene,
    /// The command without its outputs.
    line: String,
    /// Steps between two checkpoints.
    every: u64,
    random: Random,
    /// Files that were there before.
    inputs: Vec<String>,
    /// Kills by what the run was doing.
    hits: BTreeMap<&'static str, usize>,
    runs: usize,
}

/// When to kill.
enum Moment {
    /// So long after the start.
    After(Duration),
    /// So long after a checkpoint's temporary file was seen.
    Writing(Duration),
}

impl<'a> Torture<'a> {
    fn new(scene: &'a Scene, line: String, every: u64, seed: u64) -> Self {
        let inputs = scene.list();
        let line = format!("{line} --checkpoint-every {every} --json");
        Self { scene, line, every, random: Random::new(seed), inputs, hits: BTreeMap::new(), runs: 0 }
    }

    fn command(&self, name: &str) -> String {
        format!("{} --out {name}.gguf --run {name}.json", self.line)
    }

    /// Kills until the quota is full and the last run has ended; `moment` draws when, given how long an undisturbed
    /// run takes.
    fn run(&mut self, kills: usize, mut moment: impl FnMut(&mut Random, Duration) -> Moment) {
        let start = Instant::now();
        let straight = self.scene.done(&self.command("a")).last();
        let took = start.elapsed();
        let mut saved = 0;
        loop {
            let killed = self.hits.values().sum::<usize>();
            let when = if killed < kills { moment(&mut self.random, took) } else { Moment::After(10 * took) };
            assert!(self.runs < kills + 1, "too many runs end before they are killed");
            if let Some(done) = self.launch(when, &mut saved) {
                self.check_end(&done, &straight);
                self.runs += 1;
                saved = 0;
                if killed >= kills {
                    return;
                }
            }
        }
    }

    /// Starts or resumes the run; its last event if it was not killed. `saved` is the step of the checkpoint.
    fn launch(&mut self, moment: Moment, saved: &mut u64) -> Option<Value> {
        // Killed past its end, it has nothing to go on with, and `--resume` would refuse it.
        if self.scene.has("b.gguf") && !self.scene.has("b.gguf.ckpt") {
            std::fs::remove_file(self.scene.path("b.gguf")).unwrap();
        }
        let line = format!("{} --resume", self.command("b"));
        let (mut child, lines) = self.scene.start(&line);
        let started = Instant::now();
        let delay = match moment {
            Moment::After(delay) => delay,
            Moment::Writing(more) => {
                while !self.temporary(".b.gguf.ckpt.") && child.try_wait().unwrap().is_none() {
                    std::thread::sleep(Duration::from_micros(500));
                }
                started.elapsed() + more
            }
        };
        // The wait ends early when the run does.
        while started.elapsed() < delay && child.try_wait().unwrap().is_none() {
            std::thread::sleep((delay.saturating_sub(started.elapsed())).min(Duration::from_millis(2)));
        }
        child.kill().unwrap();
        let output = child.wait_with_output().unwrap();
        // Only a line that was being written may be cut.
        let events: Vec<Value> = lines.map_while(|l| serde_json::from_str(&l.unwrap()).ok()).collect();
        let message = String::from_utf8_lossy(&output.stderr);
        if let Some(code) = output.status.code() {
            assert_eq!(code, 0, "{line}\n{message}");
            return events.last().cloned();
        }
        assert_eq!(output.status.signal(), Some(9), "{line}\n{message}");
        *self.hits.entry(self.phase(&events)).or_default() += 1;
        self.check_disk(&events, saved);
        None
    }

    fn phase(&self, events: &[Value]) -> &'static str {
        let last = events.last().map_or("", |e| e["event"].as_str().unwrap());
        if self.temporary(".b.gguf.ckpt.") {
            "writing a checkpoint"
        } else if self.temporary(".b.gguf.") || self.temporary(".b.json.") {
            "writing the result"
        } else if self.scene.has("b.gguf") {
            "after the result"
        } else {
            match (last, events.iter().any(|e| e["event"] == "step")) {
                ("", _) => "opening and planning",
                ("eval", true) => "evaluating or loading",
                (_, true) => "stepping",
                _ => "evaluating or loading",
            }
        }
    }

    fn temporary(&self, prefix: &str) -> bool {
        self.scene.list().iter().any(|name| name.starts_with(prefix))
    }

    /// The checkpoint is whole and no older than what was told; nothing strays.
    fn check_disk(&self, events: &[Value], saved: &mut u64) {
        let told = events.iter().rfind(|e| e["event"] == "step").map_or(0, |e| number(e, "step") as u64);
        if self.scene.has("b.gguf.ckpt") {
            let step = checkpoint_step(&self.scene.bytes("b.gguf.ckpt"));
            // A step is told before it is saved, so the newest may be missing.
            assert!(step >= *saved && step + self.every >= told, "saved {saved}, then {step}, told {told}");
            *saved = step;
        } else {
            assert!(*saved == 0 || self.scene.has("b.gguf"), "the checkpoint of step {saved} is gone");
            assert!(told <= self.every || self.scene.has("b.gguf"), "no checkpoint at step {told}");
            *saved = 0;
        }
        if self.scene.has("b.gguf") {
            assert!(
                self.scene.bytes("a.gguf") == self.scene.bytes("b.gguf"),
                "{}: the adapters differ",
                self.line
            );
            std::fs::remove_file(self.scene.path("b.gguf")).unwrap();
        }
        let mut strays = BTreeMap::<&str, usize>::new();
        let list = self.scene.list();
        for name in list.iter().filter(|n| !self.inputs.contains(n)) {
            match name.as_str() {
                "a.gguf" | "a.json" | "b.gguf" | "b.gguf.ckpt" | "b.gguf.lock" | "b.gguf.prefix"
                | "b.json" => {}
                _ => {
                    let of =
                        [".b.gguf.ckpt.", ".b.gguf.", ".b.json."].into_iter().find(|p| name.starts_with(p));
                    *strays.entry(of.unwrap_or(name)).or_default() += 1;
                }
            }
        }
        let at_most_one = strays.iter().all(|(of, n)| of.ends_with('.') && *n == 1);
        assert!(at_most_one, "temporary files pile up: {list:?}");
    }

    fn check_end(&self, done: &Value, straight: &Value) {
        assert!(
            self.scene.bytes("a.gguf") == self.scene.bytes("b.gguf"),
            "{}: the adapters differ",
            self.line
        );
        for key in ["event", "steps", "loss_first", "loss_last", "eval_before", "eval_after"] {
            assert_eq!(done[key], straight[key], "{}: {key}", self.line);
        }
        let mut expected = self.inputs.clone();
        expected.extend(["a.gguf", "a.json", "b.gguf", "b.json"].map(str::to_owned));
        expected.sort();
        assert_eq!(self.scene.list(), expected, "something is left behind");
        for name in ["b.gguf", "b.json"] {
            std::fs::remove_file(self.scene.path(name)).unwrap();
        }
    }
}

/// The step of a checkpoint, all of whose bytes must be there.
fn checkpoint_step(bytes: &[u8]) -> u64 {
    let gguf = Gguf::parse(bytes).unwrap();
    for tensor in gguf.tensors() {
        gguf.data(tensor).unwrap();
    }
    let state: Value = serde_json::from_str(gguf.require_str("sprig.checkpoint.state").unwrap()).unwrap();
    state["step"].as_u64().unwrap()
}

#[test]
fn two_hundred_kills_change_nothing() {
    const STEPS: u64 = 24;
    let text = "a text that goes on and on";
    let lines: Vec<_> = (0..40).map(|i| format!(r#"{{"text": "{i} {text}"}}"#)).collect();
    let mut hits = BTreeMap::<&str, usize>::new();
    for (seed, every, kills, options) in [
        // Adapted from the last block on: the prefix cache serves the two below.
        (
            1,
            1,
            70,
            "--task lm --raw --data long.jsonl --eval-data lm.jsonl --batch 4 --tangents 3 --threads 2",
        ),
        (2, 1, 70, "--task label --data label.jsonl --eval-data label.jsonl --batch 6 --threads 1"),
        // From the first block on, so without a cache, and with a larger checkpoint.
        (
            3,
            2,
            70,
            "--task lm --raw --data long.jsonl --adapter-kind lora --targets all --batch 4 --tangents 2 --threads 2",
        ),
    ] {
        let scene = Scene::new();
        scene.write("long.jsonl", &lines.join("\n"));
        let line = format!("train --model tiny.gguf --steps {STEPS} --lr 0.05 {options}");
        let mut torture = Torture::new(&scene, line, every, seed);
        // Up to a third of an undisturbed run, so that a run ends now and then; a quarter of the kills on a logarithmic
        // scale from a thousandth of it, for a start takes some hundredths.
        torture.run(kills, |random, took| {
            let share =
                if random.fraction() < 0.25 { 1e-3f64.powf(random.fraction()) } else { random.fraction() };
            Moment::After(took.mul_f64(share / 3.0))
        });
        println!("{kills} kills, {} runs: {:?}; {options}", torture.runs, torture.hits);
        torture.hits.into_iter().for_each(|(phase, n)| *hits.entry(phase).or_default() += n);
    }
    println!("in all: {hits:?}");
    assert!(hits.values().sum::<usize>() >= 200);
    for phase in ["opening and planning", "stepping", "writing a checkpoint"] {
        assert!(hits.contains_key(phase), "no kill hit `{phase}`: {hits:?}");
    }
}

#[test]
fn kills_of_the_real_model_change_nothing() {
    let scene = Scene::new();
    // A checkpoint of 29 MB: 2.4 million numbers with two moments each. Prefix cache, several tangents.
    let line = format!(
        "train --model {} --task lm --raw --data lm.jsonl --steps 3 --batch 1 --tangents 2 --adapter-kind lora \
         --rank 24 --targets all --layers 20..30 --threads 2",
        model().display()
    );
    let mut torture = Torture::new(&scene, line, 1, 4);
    let mut turn = 0;
    torture.run(5, |random, took| {
        turn += 1;
        match turn % 3 {
            0 => Moment::After(took.mul_f64(random.fraction())),
            _ => Moment::Writing(Duration::from_secs_f64(0.06 * random.fraction())),
        }
    });
    println!("{} runs: {:?}", torture.runs, torture.hits);
    assert!(torture.hits.contains_key("writing a checkpoint"), "{:?}", torture.hits);
}

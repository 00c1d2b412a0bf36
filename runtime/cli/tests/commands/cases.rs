//! Random training configurations on the real model, with budgets around what they plan.

use crate::scene::Scene;
use sprig_testkit::random::Random;

/// Where weights may be.
const WEIGHTS: [&str; 4] = ["auto", "auto", "resident", "streamed"];

/// A configuration, and how its budget is drawn.
pub struct Case {
    /// Arguments of `train` but model, budget and outputs.
    pub arguments: String,
    /// Which budget.
    pub budget: Draw,
    /// Whether the run is killed after its first checkpoint, and the resumed one measured.
    pub resumed: bool,
}

/// A budget, in terms of the smallest that does and of what the plan takes if it may.
#[derive(Clone, Copy, Debug)]
pub enum Draw {
    /// This share of the smallest: to be refused.
    Below(f64),
    Smallest,
    Widest,
    /// From 0.5 % below the smallest (0) to 3 % above the widest (1).
    Between(f64),
}

impl Draw {
    pub fn bytes(self, smallest: u64, widest: u64) -> u64 {
        match self {
            Self::Below(share) => ((smallest as f64 * share) as u64).min(smallest - 1),
            Self::Smallest => smallest,
            Self::Widest => widest,
            Self::Between(at) => {
                let (low, high) = (0.995 * smallest as f64, 1.03 * widest as f64);
                (low + at * (high - low)) as u64
            }
        }
    }
}

/// Writes the data that cases name: examples longer than any `--len`, and examples of every length.
pub fn write_data(scene: &Scene) {
    let words = "the quick brown fox jumps over a lazy dog while it rains on the old green hills ".repeat(8);
    let words: Vec<_> = words.split_whitespace().collect();
    for (name, length) in [("full", [120; 3]), ("ragged", [5, 20, 60]), ("few", [120; 3])] {
        let records = if name == "few" { 3 } else { 16 };
        let text = |i: usize| format!("{i} {}", words[..length[i % 3]].join(" "));
        let lm: Vec<_> = (0..records).map(|i| format!(r#"{{"text": "{}"}}"#, text(i))).collect();
        let label = |i: usize| format!(r#"{{"text": "{}", "label": "{}"}}"#, text(i), ["down", "up"][i % 2]);
        let label: Vec<_> = (0..records).map(label).collect();
        scene.write(&format!("{name}-lm.jsonl"), &lm.join("\n"));
        scene.write(&format!("{name}-label.jsonl"), &label.join("\n"));
    }
}

/// Draws one case. Most are small: what it costs to run is limited by a limit that is itself drawn.
pub fn draw(random: &mut Random) -> Case {
    let limit = random.pick(&[1.5, 1.5, 1.5, 1.5, 2.0, 2.0, 2.5, 4.0, 8.0]);
    loop {
        let (case, seconds) = attempt(random);
        if seconds <= limit {
            return case;
        }
    }
}

/// A case and about how many seconds of one core it takes on the machine this was written on.
fn attempt(random: &mut Random) -> (Case, f64) {
    let task = random.pick(&["lm", "label"]);
    let data = random.pick(&["full", "full", "full", "ragged"]);
    let (batch, tangents, steps) = (random.between(1, 8), random.between(1, 4), random.between(1, 2));
    // Short and long ones equally often.
    let length = (8.0 * (96.0f64 / 8.0).powf(random.fraction())).round() as u64;
    let kind = random.pick(&["lora-xs", "lora-xs", "lora", "b-only"]);
    let rank = random.pick(&[1u64, 2, 4, 8, 16, 24]);
    let targets = random.pick(&["q,v", "q,v", "q,k,v,o", "o,down", "up", "all"]);
    let from = random.between(0, 29);
    let to = random.between(from + 1, 30);
    let budget = match random.fraction() {
        u if u < 0.05 => Draw::Below(0.9 + 2.0 * u),
        u if u < 0.30 => Draw::Smallest,
        u if u < 0.55 => Draw::Widest,
        _ => Draw::Between(random.fraction()),
    };
    let resumed = steps == 2 && random.chance(0.25);
    let (evaluated, reverse) = (random.chance(0.1), random.chance(0.3));
    let mut arguments = format!(
        "--task {task} --raw --data {data}-{task}.jsonl --batch {batch} --len {length} \
         --steps {steps} --adapter-kind {kind} --rank {rank} --targets {targets} --threads {}",
        random.between(1, 2)
    );
    let mut option = |text: String| arguments.extend([" ", &text]);
    if random.chance(0.7) {
        option(format!("--layers {from}..{to}"));
    }
    let shared = random.chance(0.3);
    if !reverse {
        option(format!("--tangents {tangents}"));
    }
    if shared && !reverse {
        option("--directions shared".to_owned());
    }
    if random.chance(0.2) {
        option("--optimizer sgd".to_owned());
    }
    if random.chance(0.3) {
        option("--prefix-cache 0".to_owned());
    }
    if task == "label" {
        // The usual words around a text are longer than the shortest examples.
        option("--template {text}:".to_owned());
    }
    if evaluated {
        option(format!("--eval-data few-{task}.jsonl"));
    }
    if resumed {
        option("--checkpoint-every 1".to_owned());
    }
    if reverse {
        option("--estimator reverse".to_owned());
    }
    option(format!("--weights {}", random.pick(&WEIGHTS)));

    // A pass reads all weights (0.2 s) whatever its length, and takes 4 ms a row of values or tangents; one that goes
    // backwards is as long as one with two tangents.
    let tangents = if reverse { 2 } else { tangents };
    let tight = matches!(budget, Draw::Smallest | Draw::Between(_));
    let passes = if tight { batch * tangents } else { 1 };
    let forwards = (if tight { batch } else { 1 }) * steps;
    let rows = batch * length * (steps * (tangents + passes.min(tangents) + 1));
    let factored = if kind == "lora-xs" { 0.02 * 60.0 } else { 0.0 };
    let start = 0.5 + factored + if evaluated { 3.0 } else { 0.0 };
    let seconds = start + 0.2 * (passes * steps + forwards) as f64 + 0.004 * rows as f64;
    (Case { arguments, budget, resumed }, if resumed { 1.5 * seconds } else { seconds })
}

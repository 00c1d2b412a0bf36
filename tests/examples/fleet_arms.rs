//! Learning curves of a fleet in one process, to choose defaults and to compare with the paper's preset:
//! `fleet_arms DIR MODEL TRAIN HELD_OUT [key=value …]`.
//!
//! Devices run their rounds one after another through the same code as on boards, without a network; each holds the
//! training examples of `skew` labels. One line of JSON an evaluation. DIR keeps the activations below the adapter.

use serde_json::json;
use sprig_budget::Bytes;
use sprig_engine::adapter::{Adapter, AdapterSpec, Kind};
use sprig_engine::gguf::{Gguf, Mapped};
use sprig_engine::kernels::Ctx;
use sprig_engine::model::{Llama, Module, PassLayout};
use sprig_engine::tokenizer::Tokenizer;
use sprig_learn::data::{DataSet, LoadOptions, Task};
use sprig_learn::directions::{Family, Sharing, initial_normals, run_key};
use sprig_learn::estimator::{Cut, Forward};
use sprig_learn::evaluate::wilson;
use sprig_learn::guard::Guard;
use sprig_learn::optimiser::Rule;
use sprig_learn::planner::{Residency, Tuning, Workload};
use sprig_learn::prefix::{Origin, PrefixCache};
use sprig_learn::session::{Outcome, Probe, Session};
use sprig_learn::spry::{
    Assignment, Body, Dealing, Exchange, Layout, LocalRound, Member, Rules, Seeds, Server, ServerRule, deal,
    paper_adapter,
};
use std::collections::BTreeMap;
use std::error::Error;
use std::path::{Path, PathBuf};
use std::time::Instant;

type Outcomes<T> = Result<T, Box<dyn Error>>;

const LENGTH: usize = 96;
const TEMPLATE: &str = "{text}\n\nOptions: film, news, product, tweet\nLabel:";

/// Settings by name; every one that is asked for is printed.
struct Settings(BTreeMap<String, String>);

impl Settings {
    fn word<'a>(&'a self, key: &str, default: &'a str) -> &'a str {
        self.0.get(key).map_or(default, String::as_str)
    }

    fn number(&self, key: &str, default: f64) -> Outcomes<f64> {
        self.0.get(key).map_or(Ok(default), |v| v.parse().map_err(|e| format!("{key}: {e}").into()))
    }

    fn rules(&self) -> Outcomes<Rules> {
        let key = run_key(self.number("seed", 1.0)? as u64);
        let steps = self.number("steps", 1.0)? as u32;
        if self.word("preset", "") == "paper" {
            let mut rules = Rules::paper(key, steps);
            rules.lr = self.number("lr", f64::from(rules.lr))? as f32;
            if let ServerRule::Yogi { eta, .. } = &mut rules.server {
                *eta = self.number("eta", f64::from(*eta))? as f32;
            }
            return Ok(rules);
        }
        let tangents = self.number("k", 4.0)? as usize;
        let (eta, tau) = (self.number("eta", 0.05)? as f32, self.number("tau", 1e-6)? as f32);
        let (beta1, beta2) = (self.number("b1", 0.9)? as f32, self.number("b2", 0.99)? as f32);
        Ok(Rules {
            exchange: match self.word("exchange", "iteration") {
                "iteration" => Exchange::PerIteration,
                _ => Exchange::PerEpoch { steps },
            },
            batch: self.number("batch", 8.0)? as usize,
            forward: Forward {
                family: if tangents > 1 { Family::Walsh } else { Family::Rademacher },
                sharing: match self.word("sharing", "example") {
                    "example" => Sharing::PerExample,
                    _ => Sharing::Shared,
                },
                tangents,
                run_key: key,
            },
            seeds: if self.word("seeds", "own") == "own" { Seeds::Own } else { Seeds::Shared },
            local: match self.word("local", "adamw") {
                "adamw" => Rule::AdamW { beta1: 0.9, beta2: 0.99, epsilon: 1e-8, decay: 0.0 },
                _ => Rule::Sgd { momentum: 0.0 },
            },
            lr: self.number("lr", 1.0)? as f32,
            decay: self.number("decay", 0.0)? as u32,
            server: match self.word("server", "adam") {
                "avg" => ServerRule::Avg { eta },
                "yogi" => ServerRule::Yogi { eta, beta1, beta2, tau },
                _ => ServerRule::Adam { eta, beta1, beta2, tau },
            },
        })
    }

    fn spec(&self, model: &Llama<'_>) -> Outcomes<AdapterSpec> {
        let g = model.geometry();
        if self.word("preset", "") == "paper" {
            return Ok(paper_adapter(g));
        }
        let rank = self.number("rank", 8.0)? as usize;
        let top = self.number("blocks", 8.0)? as usize;
        let targets = vec![Module::Q, Module::V, Module::O];
        Ok(AdapterSpec {
            kind: Kind::Xs,
            rank,
            alpha: rank as f32,
            targets,
            layers: g.blocks - top..g.blocks,
        })
    }
}

/// One device: its data and all it needs to run a round.
struct Device<'m> {
    data: DataSet,
    session: Session<'m>,
    guard: Guard,
    cut: Cut,
}

/// What all devices share.
struct World<'m> {
    model: &'m Llama<'m>,
    ctx: &'m Ctx,
    digest: String,
    dir: PathBuf,
    spec: AdapterSpec,
}

impl<'m> World<'m> {
    fn device(&self, name: &str, data: DataSet, batch: usize, tangents: usize) -> Outcomes<Device<'m>> {
        let (g, cut) = (self.model.geometry(), Cut { tangents, examples: batch });
        let blocks = self.spec.layers.start;
        let work = Workload {
            batch,
            length: data.longest(),
            tangents,
            adapter: Some(self.spec.clone()),
            frozen_rank: 0,
            frozen_bytes: Bytes::ZERO,
            rule: None,
            beside: Vec::new(),
            candidates: (0..data.len()).map(|i| data.candidates(i)).max(),
            threads: self.ctx.pool.threads(),
            data: Bytes(data.bytes() as u64),
            prefix: blocks > 0,
            residency: Residency::Resident,
            loading: Bytes::ZERO,
        };
        let tuning = Tuning { cut, panel_rows: self.ctx.panel_rows(), streamed: false };
        let origin = Origin {
            model: &self.digest,
            data: data.digest(),
            blocks,
            width: g.width,
            isa: self.ctx.isa.name(),
        };
        let cache = self.dir.join(format!("{name}-{blocks}.prefix"));
        let prefix = (blocks > 0).then(|| PrefixCache::open(&cache, Bytes(1 << 30), &origin, data.longest()));
        let layout = PassLayout::new(g, tuning.pass(g, &work));
        let session = Session::new(self.model, self.ctx, layout, data.longest(), batch, prefix)?;
        Ok(Device { data, session, guard: Guard::default(), cut })
    }
}

fn load(path: &Path, labels: Option<&DataSet>, tokenizer: &Tokenizer) -> Outcomes<DataSet> {
    let options = LoadOptions {
        raw: true,
        template: Some(TEMPLATE.to_owned()),
        labels: labels.and_then(|d| d.labels().cloned()),
        ..LoadOptions::new(Task::Label, LENGTH)
    };
    Ok(DataSet::load(path, &options, tokenizer)?)
}

/// Lines of `train` for each device: device i of M holds labels i to i + skew − 1 of the four, going round, and shares
/// each of them evenly with the others that hold it.
fn deal_data(train: &str, devices: usize, skew: usize) -> Outcomes<Vec<Vec<&str>>> {
    let names = ["film", "news", "product", "tweet"];
    let (mut lines, mut seen) = (vec![Vec::new(); devices], [0usize; 4]);
    for line in train.lines() {
        let record: serde_json::Value = serde_json::from_str(line)?;
        let label = names.iter().position(|n| record["label"] == *n).ok_or("a label that is not known")?;
        let holders: Vec<usize> = (0..devices).filter(|i| (0..skew).any(|j| (i + j) % 4 == label)).collect();
        lines[holders[seen[label] % holders.len()]].push(line);
        seen[label] += 1;
    }
    Ok(lines)
}

/// Loss and hits on `data`. A tangent that nothing carries lets the pass start from the kept activations.
fn evaluate(device: &mut Device<'_>, adapter: &mut Adapter, rules: &Rules) -> Outcomes<(f64, u64, u64)> {
    adapter.perturb(|_| false);
    let (mut loss, mut hits, n) = (0.0, 0, device.data.len());
    let examples = device.cut.examples;
    let mut outcomes = vec![Outcome::default(); examples];
    let mut slopes = vec![0.0; examples];
    let ids: Vec<usize> = (0..n).collect();
    for ids in ids.chunks(examples) {
        let probe = Probe { directions: rules.forward.directions(&[], 0), count: 1 };
        let (outcomes, slopes) = (&mut outcomes[..ids.len()], &mut slopes[..ids.len()]);
        device.session.run(Some(adapter), Some(&probe), &device.data, ids, 0, outcomes, slopes)?;
        loss += outcomes.iter().map(|o| o.loss).sum::<f64>();
        hits += outcomes.iter().map(|o| u64::from(o.hits)).sum::<u64>();
    }
    Ok((loss / n as f64, hits, n as u64))
}

fn main() -> Outcomes<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [dir, model, train, held_out, pairs @ ..] = arguments.as_slice() else {
        return Err("usage: fleet_arms DIR MODEL TRAIN HELD_OUT [key=value …]".into());
    };
    let pair = |p: &String| p.split_once('=').map(|(k, v)| (k.to_owned(), v.to_owned()));
    let settings = Settings(pairs.iter().map(pair).collect::<Option<_>>().ok_or("settings are key=value")?);
    let mapped = Mapped::open(Path::new(model))?;
    let gguf = Gguf::parse(mapped.bytes())?;
    let (tokenizer, llama) = (Tokenizer::from_gguf(&gguf)?, Llama::load(&gguf)?);
    let ctx = Ctx::new(settings.number("threads", 2.0)? as usize);
    let (rules, spec) = (settings.rules()?, settings.spec(&llama)?);
    let world = World { model: &llama, ctx: &ctx, digest: model.clone(), dir: dir.into(), spec };

    let (devices, skew) = (settings.number("devices", 4.0)? as usize, settings.number("skew", 2.0)? as usize);
    let all = load(Path::new(train), None, &tokenizer)?;
    let text = std::fs::read_to_string(train)?;
    let mut fleet = Vec::new();
    for (i, lines) in deal_data(&text, devices, skew)?.iter().enumerate() {
        let name = format!("device-{i}-of-{devices}-skew-{skew}");
        let path = world.dir.join(format!("{name}.jsonl"));
        std::fs::write(&path, lines.join("\n"))?;
        let data = load(&path, Some(&all), &tokenizer)?;
        fleet.push(world.device(&name, data, rules.batch, rules.forward.tangents)?);
    }
    let mut judge = world.device("held-out", load(Path::new(held_out), Some(&all), &tokenizer)?, 8, 1)?;

    let layout = Layout::new(&world.spec, llama.geometry())?;
    let key = rules.forward.run_key;
    let initial = layout.initial(&world.spec, llama.geometry(), key);
    let mut adapter = Adapter::new(&world.spec, &llama, &ctx, |id, out| initial_normals(key, id, out))?;
    let mut server = Server::new(layout, rules, initial)?;
    let dealing = match settings.word("dealing", "contiguous") {
        "cyclic" => Dealing::Cyclic,
        _ if settings.word("preset", "") == "paper" => Dealing::Cyclic,
        _ => Dealing::Contiguous,
    };
    let members: Vec<Member> = (0..devices as u32).map(|i| Member { number: i + 1, strength: 1.0 }).collect();
    let (rounds, every) = (settings.number("rounds", 100.0)? as u32, settings.number("every", 25.0)? as u32);
    let began = Instant::now();
    let mut losses = Vec::new();
    for round in 0..=rounds {
        if round == rounds || (round > 0 && round % every == 0) {
            adapter.values_mut().copy_from_slice(server.values());
            let (loss, hits, n) = evaluate(&mut judge, &mut adapter, &rules)?;
            let (accuracy, interval) = wilson(hits, n);
            let (seconds, train) =
                (began.elapsed().as_secs_f64(), losses.iter().sum::<f64>() / losses.len() as f64);
            println!(
                "{}",
                json!({"arm": pairs.join(" "), "round": round, "loss": loss, "accuracy": accuracy,
                    "interval": interval, "n": n, "train_loss": train, "seconds": seconds})
            );
            losses.clear();
        }
        if round == rounds {
            break;
        }
        let shares = deal(dealing, server.layout().groups().len(), &members, key[0].into(), round);
        let mut updates = Vec::new();
        for ((device, member), &share) in fleet.iter_mut().zip(&members).zip(&shares) {
            let Device { data, session, guard, cut } = device;
            let assignment = Assignment { round, number: member.number, share };
            let mut local = LocalRound::new(&server, &mut adapter, data, assignment)?;
            while local.step(session, &mut adapter, *cut, guard)? {}
            updates.push(local.finish());
            losses.push(updates[updates.len() - 1].loss);
        }
        let mut step = server.begin(round);
        for ((member, &share), update) in members.iter().zip(&shares).zip(&updates) {
            step.add(member.number, share, update.examples, Body::Scalars(&update.scalars))?;
        }
        step.finish();
    }
    Ok(())
}

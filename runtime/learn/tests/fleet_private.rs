//! A device whose scalars get noise before they leave: what is added, to what, and that everybody replays it.
// Nobody imports a test: `pub` is between its modules.
#![allow(unreachable_pub)]
#![allow(missing_docs, clippy::unwrap_used)] // helpers of tests may unwrap as tests do

#[path = "invariants/world.rs"]
#[allow(dead_code)] // shared by several binaries
mod world;

use sprig_engine::adapter::{AdapterSpec, Kind};
use sprig_learn::data::DataSet;
use sprig_learn::directions::{Family, Sharing};
use sprig_learn::dropout::Dropout;
use sprig_learn::error::LearnError;
use sprig_learn::estimator::{AnyEstimator, Bounded, Cut};
use sprig_learn::guard::Guard;
use sprig_learn::privacy::Noise;
use sprig_learn::spry::{
    Assignment, Body, Exchange, Layout, LocalRound, LocalUpdate, Rules, Seeds, Server, ServerRule, Share,
    Terms,
};
use world::*;

const KEY: [u32; 2] = [42, 0];
const TANGENTS: usize = 4;
const BATCH: usize = 3;
const WHOLE: Cut = Cut { tangents: 4, examples: 4 };
/// A variance so small that hardly a number of a hundred thousand is not 0.
const NONE: u64 = 1;

fn rules(exchange: Exchange, estimator: AnyEstimator) -> Rules {
    Rules::new(Terms {
        exchange,
        batch: BATCH,
        estimator,
        dropout: Dropout::NONE,
        run_key: KEY,
        seeds: Seeds::Own,
        local: ADAMW,
        lr: 0.02,
        server: ServerRule::Avg { eta: 1.0 },
        decay: 0,
    })
    .unwrap()
}

fn bounded() -> AnyEstimator {
    AnyEstimator::Bounded(Bounded { along: forward(Family::Walsh, Sharing::Shared, TANGENTS) })
}

fn server(spec: &AdapterSpec, rules: Rules) -> Server {
    let layout = Layout::new(spec, WORLD.model.geometry()).unwrap();
    Server::new(layout, rules, adapter(spec).values().to_vec()).unwrap()
}

/// Round `number` of a device with the whole adapter, with noise of `variance` if any.
fn train(
    server: &Server,
    spec: &AdapterSpec,
    (data, number): (&DataSet, u32),
    cut: Cut,
    variance: Option<u64>,
) -> Result<(LocalUpdate, Vec<f32>), LearnError> {
    let share = Share { first: 0, step: 1, count: server.layout().groups().len() as u16 };
    let mut adapter = fresh_adapter(spec);
    let mut session = session(ctx(2), data, spec, WHOLE, None);
    let mut round =
        LocalRound::new(server, &mut adapter, data, Assignment { round: number, number: 5, share }).unwrap();
    if let Some(variance) = variance {
        round = round.noised(Noise::foreseeable(variance, 7));
    }
    let mut guard = Guard::default();
    while round.step(&mut session, &mut adapter, cut, &mut guard)? {}
    Ok((round.finish(), adapter.values().to_vec()))
}

#[test]
fn without_a_source_of_noise_nothing_is_measured() {
    let (spec, data) = (spec(Kind::Xs, 0..3), objectives()[0]);
    let server = server(&spec, rules(Exchange::PerIteration, bounded()));
    let error = train(&server, &spec, (data, 0), WHOLE, None).unwrap_err().to_string();
    assert!(error.contains("noise"), "{error}");
}

/// With hardly any noise what leaves is the mean of the examples' derivatives, each brought to the length 1, over the tangents; and
/// the same bits whatever the cut.
#[test]
fn each_example_counts_alike_whatever_the_cut() {
    let (spec, data) = (spec(Kind::Xs, 0..3), objectives()[0]);
    let private = server(&spec, rules(Exchange::PerIteration, bounded()));
    let (update, _) = train(&private, &spec, (data, 0), WHOLE, Some(NONE)).unwrap();
    assert_eq!((update.scalars.len(), update.examples), (TANGENTS, BATCH as u32));
    let cut = Cut { tangents: 2, examples: 1 };
    assert_eq!(train(&private, &spec, (data, 0), cut, Some(NONE)).unwrap().0.scalars, update.scalars);
    // K·scalar of a batch of units is at most 1 long, and not of one that is all noise.
    let length: f64 = update.scalars.iter().map(|s| (f64::from(*s) * TANGENTS as f64).powi(2)).sum();
    assert!(length.sqrt() < 1.01 && length.sqrt() > 0.05, "{length}");
    // Of one example it is its own derivatives' direction.
    let one = Rules::new(Terms { batch: 1, ..*rules(Exchange::PerIteration, bounded()) }).unwrap();
    let (unit, _) = train(&server(&spec, one), &spec, (data, 0), WHOLE, Some(NONE)).unwrap();
    let along = AnyEstimator::Forward(forward(Family::Walsh, Sharing::Shared, TANGENTS));
    let one = Rules::new(Terms { batch: 1, ..*rules(Exchange::PerIteration, along) }).unwrap();
    let (plain, _) = train(&server(&spec, one), &spec, (data, 0), WHOLE, None).unwrap();
    let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| f64::from(a * b)).sum::<f64>();
    let (a, b) = (&unit.scalars, &plain.scalars);
    let cosine = dot(a, b) / (dot(a, a) * dot(b, b)).sqrt();
    assert!(cosine > 0.999, "{cosine}");
}

#[test]
fn noise_of_a_variance_is_what_is_added() {
    let (spec, data) = (spec(Kind::Xs, 0..3), objectives()[0]);
    let server = server(&spec, rules(Exchange::PerIteration, bounded()));
    let of = |variance| train(&server, &spec, (data, 0), WHOLE, Some(variance)).unwrap().0.scalars;
    let (plain, noisy) = (of(NONE), of(1 << 40));
    // 2²⁰ steps of 1,024 a unit, over three examples and four tangents: 85 in standard deviation.
    let apart: f64 = plain.iter().zip(&noisy).map(|(a, b)| f64::from(a - b).powi(2)).sum();
    let spread = (apart / TANGENTS as f64).sqrt();
    assert!((10.0..300.0).contains(&spread), "{spread}");
}

/// Also where a device takes steps of its own by what it sends.
#[test]
fn what_is_sent_is_what_everybody_replays() {
    let (spec, data) = (spec(Kind::Xs, 0..3), objectives()[0]);
    for exchange in [Exchange::PerIteration, Exchange::PerEpoch { steps: 2 }] {
        let mut parties = [(); 2].map(|()| server(&spec, rules(exchange, bounded())));
        let share = Share { first: 0, step: 1, count: parties[0].layout().groups().len() as u16 };
        for round in 0..3 {
            let (update, weights) = train(&parties[0], &spec, (data, round), WHOLE, Some(1 << 16)).unwrap();
            for party in &mut parties {
                let mut step = party.begin(round);
                step.add(5, share, update.examples, Body::Scalars(&update.scalars)).unwrap();
                step.finish();
            }
            if exchange != Exchange::PerIteration {
                let apart =
                    parties[1].values().iter().zip(&weights).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
                assert!(apart < 1e-6, "one device's mean is its own weights: {apart}");
            }
        }
        assert_eq!(parties[0].digest(), parties[1].digest());
    }
}

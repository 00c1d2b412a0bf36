//! What a fleet's estimate is on average, and how far off it is: on functions whose gradients are known, through the
//! server that a real fleet runs. T numbers are those of the specification's tests.
#![allow(missing_docs, clippy::unwrap_used)] // helpers of tests may unwrap as tests do

use sprig_engine::dual::Directions as _;
use sprig_learn::directions::{Family, Sharing, run_key};
use sprig_learn::dropout::Dropout;
use sprig_learn::estimator::{AnyEstimator, Forward};
use sprig_learn::optimiser::Rule;
use sprig_learn::spry::{
    Body, Dealing, Exchange, Layout, Member, Rules, Seeds, Server, ServerRule, Share, Terms, deal,
};

/// One example a device, one step of size `lr` against the estimated gradient.
fn rules(family: Family, tangents: usize, seeds: Seeds, lr: f32) -> Rules {
    let terms = Terms {
        exchange: Exchange::PerIteration,
        batch: 1,
        estimator: AnyEstimator::Forward(Forward {
            family,
            sharing: Sharing::Shared,
            tangents,
            run_key: run_key(3),
        }),
        dropout: Dropout::NONE,
        run_key: run_key(3),
        seeds,
        local: Rule::Sgd { momentum: 0.0 },
        lr,
        server: ServerRule::Avg { eta: 1.0 },
        decay: 0,
    };
    Rules::new(terms).unwrap()
}

/// A server at weights of 0.
fn server(groups: usize, weights: usize, rules: Rules) -> Server {
    Server::new(Layout::synthetic(groups, weights), rules, vec![0.0; groups * weights]).unwrap()
}

/// What a device at the server's weights sends whose loss has the gradient `gradient` there: ⟨g, v⟩ / K.
fn scalars(server: &Server, round: u32, number: u32, share: Share, gradient: &[f64]) -> Vec<f32> {
    let (rules, part) = (server.rules(), server.layout().part(share));
    let directions = rules.directions(&part.tensors, round, 0, number).unwrap();
    let scalar = |k: usize| {
        let mut slope = 0.0;
        for (tensor, place) in part.tensors.iter().zip(&part.places) {
            let mut v = vec![0.0; place.len()];
            directions.fill(k, 0, tensor.id, &mut v);
            slope += gradient[place.clone()].iter().zip(&v).map(|(g, v)| g * f64::from(*v)).sum::<f64>();
        }
        (slope / rules.estimator.tangents() as f64) as f32
    };
    (0..rules.estimator.tangents()).map(scalar).collect()
}

/// One round: device i, whose share is `shares[i]`, finds the gradient `gradients(i)` at the server's weights.
fn round(
    server: &mut Server,
    round: u32,
    members: &[Member],
    shares: &[Share],
    gradients: impl Fn(usize, &[f32]) -> Vec<f64>,
) {
    let updates: Vec<Vec<f32>> = (0..members.len())
        .map(|i| scalars(server, round, members[i].number, shares[i], &gradients(i, server.values())))
        .collect();
    let mut step = server.begin(round);
    for ((member, share), update) in members.iter().zip(shares).zip(&updates) {
        step.add(member.number, *share, 1, Body::Scalars(update)).unwrap();
    }
    step.finish();
}

fn members(count: u32) -> Vec<Member> {
    (0..count).map(|number| Member { number, strength: 1.0 }).collect()
}

/// Arbitrary numbers in −1..1.
fn numbers(seed: usize, len: usize) -> Vec<f64> {
    (0..len).map(|i| ((i + 1) * (seed * 2 + 7919) * 31 % 1009) as f64 / 504.5 - 1.0).collect()
}

fn square(values: impl Iterator<Item = f64>) -> f64 {
    values.map(|v| v * v).sum()
}

/// T4: with equal data, own directions cut the noise of M̃ holders to 1/M̃ of that of shared ones; T3 through the
/// server: that of shared ones is d − 1 times the gradient's square.
#[test]
fn own_seeds_cut_the_noise_by_the_holders() {
    let (d, rounds) = (100, 12_000);
    let gradient = numbers(1, d);
    let noise = |holders: u32, seeds: Seeds| {
        let members = members(holders);
        let shares = vec![Share::all(1); holders as usize];
        let mut server = server(1, d, rules(Family::Rademacher, 1, seeds, 1.0));
        let mut total = 0.0;
        for r in 0..rounds {
            server.restore(vec![0.0; d], Vec::new()).unwrap();
            round(&mut server, r, &members, &shares, |_, _| gradient.clone());
            // The step from 0 is the estimate, with its sign turned.
            total += square(server.values().iter().zip(&gradient).map(|(w, g)| f64::from(*w) + g));
        }
        total / f64::from(rounds) / square(gradient.iter().copied())
    };
    let shared = noise(4, Seeds::Shared);
    assert!((shared / (d as f64 - 1.0) - 1.0).abs() < 0.05, "{shared}");
    for holders in [2, 8] {
        let ratio = noise(holders, Seeds::Own) / shared;
        let expected = 1.0 / f64::from(holders);
        println!("{holders} holders: own / shared = {ratio:.4}, expected {expected:.4}");
        assert!((ratio / expected - 1.0).abs() < 0.1, "{holders}: {ratio}");
    }
}

/// T5: under skew a group's expectation is the mean gradient of its holders' data, and over a period of assignments the
/// mean gradient of all clients. Exactly so with as many Walsh directions as weights, within its noise with one random.
#[test]
fn a_group_learns_its_holders_data_and_in_a_period_everyones() {
    for (l, m) in [(8, 4), (4, 8), (6, 6)] {
        let (members, weights) = (members(m), 16);
        let d = l * weights;
        let gradients: Vec<Vec<f64>> = (0..m as usize).map(|i| numbers(5 * i + 2, d)).collect();
        let mean = |holders: &[usize], i: usize| {
            holders.iter().map(|&h| gradients[h][i]).sum::<f64>() / holders.len() as f64
        };
        let everyone: Vec<usize> = (0..m as usize).collect();
        for (family, tangents, periods) in
            [(Family::Walsh, 16 * l.div_ceil(m as usize), 1), (Family::Rademacher, 1, 600)]
        {
            for dealing in [Dealing::Cyclic, Dealing::Contiguous, Dealing::DeviceAware] {
                let mut server = server(l, weights, rules(family, tangents, Seeds::Own, 1.0));
                let (mut of_all, mut fixed) = (vec![0.0; d], vec![0.0; d]);
                let rounds = periods * m;
                let first = deal(dealing, l, &members, 2, 0);
                let mut take = |shares: &[Share], r: u32, sum: &mut [f64]| {
                    server.restore(vec![0.0; d], Vec::new()).unwrap();
                    round(&mut server, r, &members, shares, |i, _| gradients[i].clone());
                    sum.iter_mut().zip(server.values()).for_each(|(s, w)| *s -= f64::from(*w));
                };
                for r in 0..rounds {
                    take(&first, r, &mut fixed);
                    take(&deal(dealing, l, &members, 2, r), r, &mut of_all);
                }
                let error = |sum: &[f64], expected: &dyn Fn(usize) -> f64| {
                    let size = square((0..d).map(expected)) / d as f64;
                    (square((0..d).map(|i| sum[i] / f64::from(rounds) - expected(i))) / d as f64 / size)
                        .sqrt()
                };
                let holders = |i: usize| -> Vec<usize> {
                    everyone.iter().copied().filter(|&h| first[h].contains(i / weights)).collect()
                };
                let found =
                    [error(&fixed, &|i| mean(&holders(i), i)), error(&of_all, &|i| mean(&everyone, i))];
                println!("{l} groups, {m} devices, {family:?}, {dealing:?}: {found:?}");
                let bound = if family == Family::Walsh { 1e-5 } else { 0.5 };
                assert!(found.iter().all(|f| *f < bound), "{family:?}, {dealing:?}: {found:?}");
            }
        }
    }
}

/// T14: on a quadratic, device i's centre off the common one by ± `skew`, the gradient cannot fall below a floor, since
/// each device's own gradient is not 0 there: it grows with the skew and falls with the holders of a group.
#[test]
fn the_gradient_floor_grows_with_skew_and_falls_with_holders() {
    let (d, rounds) = (32, 4000);
    let floor = |holders: u32, skew: f64| {
        let members = members(holders);
        let shares = vec![Share::all(1); holders as usize];
        let centre = numbers(4, d);
        let mut server = server(1, d, rules(Family::Rademacher, 1, Seeds::Own, 0.005));
        let mut total = 0.0;
        for r in 0..rounds {
            round(&mut server, r, &members, &shares, |i, w| {
                let side = if i % 2 == 0 { skew } else { -skew };
                (0..d).map(|j| f64::from(w[j]) - centre[j] - side).collect()
            });
            if r >= rounds / 2 {
                total += square(server.values().iter().zip(&centre).map(|(w, c)| f64::from(*w) - c));
            }
        }
        (total / f64::from(rounds / 2)).sqrt()
    };
    let floors: Vec<Vec<f64>> =
        [2, 8].iter().map(|&m| [0.0, 0.5, 1.0, 2.0].iter().map(|&s| floor(m, s)).collect()).collect();
    println!("{floors:?}");
    for floors in &floors {
        // Without skew there is none; with it the floor is in proportion.
        assert!(floors[0] < 1e-3 && floors.windows(2).all(|w| w[1] > 1.5 * w[0]), "{floors:?}");
    }
    for (few, many) in floors[0].iter().zip(&floors[1]).skip(1) {
        // Four times the holders: half the floor.
        assert!((1.6..2.5).contains(&(few / many)), "{few} and {many}");
    }
}

//! Sums of updates in whole numbers lead where the updates lead, in any order; what cannot be sent is refused.

use super::*;
use crate::directions::{Family, Sharing, run_key};
use crate::dropout::Dropout;
use crate::estimator::{Bounded, Forward};
use crate::optimiser::Rule;
use crate::spry::{Layout, Seeds, Server, ServerRule, Terms};

const ALL: Share = Share { first: 0, step: 1, count: 6 };
const EPOCH: Exchange = Exchange::PerEpoch { steps: 3 };

fn server(exchange: Exchange, bounded: bool) -> Server {
    let along =
        Forward { family: Family::Rademacher, sharing: Sharing::Shared, tangents: 3, run_key: run_key(7) };
    let estimator =
        if bounded { AnyEstimator::Bounded(Bounded { along }) } else { AnyEstimator::Forward(along) };
    let rules = Rules::new(Terms {
        exchange,
        batch: 4,
        estimator,
        dropout: Dropout::NONE,
        run_key: run_key(7),
        seeds: Seeds::Shared,
        local: Rule::Sgd { momentum: 0.0 },
        lr: 0.1,
        server: ServerRule::Avg { eta: 1.0 },
        decay: 0,
    });
    let values = (0..240).map(|i| ((i * 37) % 23) as f32 / 50.0 - 0.2).collect();
    Server::new(Layout::synthetic(6, 40), rules.unwrap(), values).unwrap()
}

/// The update of device `number`: another number of examples, other numbers.
fn update(server: &Server, number: u32) -> LocalUpdate {
    let of = |i: usize| ((i as u32 * 37 + number * 11) % 19) as f32 / 70.0 - 0.13;
    let epoch = server.rules().exchange != Exchange::PerIteration;
    let base = server.part(ALL);
    LocalUpdate {
        examples: number + 1,
        tokens: 9,
        loss: 1.0,
        scalars: if epoch { Vec::new() } else { (0..3).map(of).collect() },
        sums: (0..3).map(|i| i * 1000 - 900 * i64::from(number)).collect(),
        bins: None,
        weights: if epoch { base.iter().enumerate().map(|(i, w)| w + of(i)).collect() } else { Vec::new() },
    }
}

/// The sum of the updates of devices 1 to 3, and their examples.
fn total(server: &Server, order: [u32; 3]) -> (Vec<i64>, u64) {
    let (mut sum, mut examples) = (vec![0i64; integers(server.rules(), 240)], 0);
    for update in order.map(|number| update(server, number)) {
        let own = update.integers(server.rules(), &server.part(ALL)).unwrap();
        sum.iter_mut().zip(own).for_each(|(sum, number)| *sum += number);
        examples += u64::from(update.examples);
    }
    (sum, examples)
}

#[test]
fn the_sum_of_updates_leads_where_the_updates_lead() {
    for exchange in [Exchange::PerIteration, EPOCH] {
        let (mut plain, mut summed) = (server(exchange, false), server(exchange, false));
        let mut step = plain.begin(0);
        for number in 1..=3 {
            let update = update(&summed, number);
            let body = match exchange {
                Exchange::PerIteration => Body::Scalars(&update.scalars),
                Exchange::PerEpoch { .. } => Body::Dense(&update.weights),
            };
            step.add(number, ALL, update.examples, body).unwrap();
        }
        step.finish();
        let (sum, examples) = total(&summed, [1, 2, 3]);
        assert_eq!((&sum, examples), (&total(&summed, [3, 1, 2]).0, 9), "{exchange:?}");
        let mut step = summed.begin(0);
        let told = step.add_sum(ALL, examples, &sum).unwrap();
        step.finish();
        let furthest = plain.values().iter().zip(summed.values()).map(|(a, b)| (a - b).abs());
        assert!(furthest.fold(0.0, f32::max) < 1e-6, "{exchange:?}");
        assert_ne!(summed.values(), server(exchange, false).values());
        // Scalars of all together are one device's, and others replay them.
        let Some((said, scalars)) = told else {
            assert_ne!(exchange, Exchange::PerIteration);
            continue;
        };
        let mut replayed = server(exchange, false);
        let mut step = replayed.begin(0);
        step.add(0, ALL, said, Body::Scalars(&scalars)).unwrap();
        step.finish();
        assert_eq!((replayed.values(), said), (summed.values(), 4));
    }
}

#[test]
fn scalars_with_noise_are_whole_already() {
    let mut server = server(Exchange::PerIteration, true);
    let (sum, examples) = total(&server, [1, 2, 3]);
    assert_eq!(sum, [-5400, -2400, 600]);
    let mut step = server.begin(0);
    let (_, scalars) = step.add_sum(ALL, examples, &sum).unwrap().unwrap();
    // By the 1,024ths of a length, the examples and K.
    assert_eq!(scalars[2], (600.0 / (1024.0 * 9.0 * 3.0)) as f32);
}

#[test]
fn what_is_too_large_or_of_another_length_is_refused() {
    let mut server = server(EPOCH, false);
    let base = server.part(ALL);
    for wrong in [f32::NAN, f32::INFINITY, -(1 << 20) as f32] {
        let mut update = update(&server, 1);
        update.weights[7] = wrong;
        let error = update.integers(server.rules(), &base).unwrap_err().to_string();
        assert!(error.contains("less than 1048576") && error.contains("learning rate"), "{error}");
    }
    let short = LocalUpdate { weights: vec![0.5; 239], ..update(&server, 1) };
    assert!(short.integers(server.rules(), &base).is_err());
    let mut step = server.begin(0);
    for (examples, numbers) in [(0, 240), (9, 239), (9, 241)] {
        assert!(step.add_sum(ALL, examples, &vec![0; numbers]).is_err(), "{examples} {numbers}");
    }
}

//! The server adds up, replays and refuses as the rules say.

use super::*;
use crate::directions::{Family, Sharing, run_key};
use crate::dropout::Dropout;
use crate::estimator::{AnyEstimator, Forward, accumulate};
use crate::optimiser::Rule;
use crate::spry::{Dealing, Member, Seeds, ServerRule, Terms, deal};

const AVG: ServerRule = ServerRule::Avg { eta: 1.0 };
const ADAM: ServerRule = ServerRule::Adam { eta: 0.05, beta1: 0.9, beta2: 0.99, tau: 1e-3 };
const YOGI: ServerRule = ServerRule::Yogi { eta: 0.05, beta1: 0.9, beta2: 0.99, tau: 1e-3 };

fn terms(exchange: Exchange, server: ServerRule) -> Terms {
    Terms {
        exchange,
        batch: 4,
        estimator: estimator(Family::Rademacher, Sharing::PerExample),
        dropout: Dropout::NONE,
        run_key: run_key(7),
        seeds: Seeds::Own,
        local: Rule::AdamW { beta1: 0.9, beta2: 0.99, epsilon: 1e-8, decay: 0.01 },
        lr: 0.02,
        server,
        decay: 0,
    }
}

fn estimator(family: Family, sharing: Sharing) -> AnyEstimator {
    AnyEstimator::Forward(Forward { family, sharing, tangents: 2, run_key: run_key(7) })
}

fn rules(exchange: Exchange, server: ServerRule) -> Rules {
    Rules::new(terms(exchange, server)).unwrap()
}

fn server(rules: Rules) -> Server {
    let layout = Layout::synthetic(6, 40);
    let values = (0..240).map(|i| ((i * 37) % 23) as f32 / 50.0 - 0.2).collect();
    Server::new(layout, rules, values).unwrap()
}

fn scalars(count: usize, seed: u32) -> Vec<f32> {
    (0..count as u32).map(|i| ((i * 37 + seed * 11) % 19) as f32 / 7.0 - 1.3).collect()
}

fn share(first: u16, count: u16) -> Share {
    Share { first, step: 1, count }
}

/// T6: from the scalars of several devices over several rounds to the weights, for every exchange, family, sharing and
/// server rule, the bits are those of x86-64 on every CPU.
#[test]
fn a_fleets_replay_has_fixed_bits() {
    let members: Vec<Member> = (0..4).map(|i| Member { number: 3 + 5 * i, strength: 1.0 }).collect();
    let mut hash = 0x811c_9dc5u32;
    let fold = |hash: u32, v: &f32| (hash ^ v.to_bits()).wrapping_mul(0x0100_0193);
    for exchange in [Exchange::PerIteration, Exchange::PerEpoch { steps: 3 }] {
        for family in [Family::Rademacher, Family::Walsh, Family::Gaussian] {
            for (sharing, seeds) in [(Sharing::PerExample, Seeds::Own), (Sharing::Shared, Seeds::Shared)] {
                for rule in [AVG, ADAM, YOGI] {
                    let mut terms = terms(exchange, rule);
                    (terms.estimator, terms.seeds) = (estimator(family, sharing), seeds);
                    let rules = Rules::new(terms).unwrap();
                    let mut server = server(rules);
                    for round in 0..3 {
                        let shares = deal(Dealing::Cyclic, 6, &members, 1, round);
                        let mut step = server.begin(round);
                        for (i, (member, share)) in members.iter().zip(shares).enumerate() {
                            // One device has fewer examples than the others.
                            let examples = rules.examples() - (i as u32 % 2);
                            let scalars = scalars(rules.scalar_count(examples), round + i as u32);
                            step.add(member.number, share, examples, Body::Scalars(&scalars)).unwrap();
                        }
                        step.finish();
                    }
                    assert!(server.values().iter().all(|v| v.is_finite()));
                    hash = server.values().iter().chain(server.moments()).fold(hash, fold);
                }
            }
        }
    }
    assert_eq!(hash, 0x681e_bfa1, "{hash:#x}");
}

/// Weighted means of what the holders of each group estimate, from the specification's formula.
#[test]
fn a_group_steps_by_the_weighted_mean_of_its_holders() {
    let rules = rules(Exchange::PerIteration, AVG);
    let mut server = server(rules);
    let before = server.values().to_vec();
    let updates = [(2, share(0, 2), 4u32), (3, share(1, 2), 1), (9, share(4, 1), 3)];
    let mut step = server.begin(5);
    for (number, share, examples) in updates {
        let scalars = scalars(rules.scalar_count(examples), number);
        step.add(number, share, examples, Body::Scalars(&scalars)).unwrap();
    }
    step.finish();
    let layout = Layout::synthetic(6, 40);
    let mut gradient = vec![0.0f64; 240];
    for (number, share, examples) in updates {
        let part = layout.part(share);
        let mut own = vec![0.0; part.len];
        let directions = rules.directions(&part.tensors, 5, 0, number).unwrap();
        let scalars = scalars(rules.scalar_count(examples), number);
        accumulate(&directions, &scalars, &part.tensors, &mut own);
        for (tensor, place) in part.tensors.iter().zip(&part.places) {
            for (i, g) in place.clone().zip(&own[tensor.range.clone()]) {
                let all = if (40..80).contains(&i) { 5.0 } else { f64::from(examples) };
                gradient[i] += f64::from(examples) / all * f64::from(*g);
            }
        }
    }
    for (i, g) in gradient.iter().enumerate() {
        let expected = f64::from(before[i]) - 0.02 * g;
        assert!((f64::from(server.values()[i]) - expected).abs() < 1e-6, "{i}");
    }
    for untouched in [120..160, 200..240] {
        assert_eq!(server.values()[untouched.clone()], before[untouched]);
    }
}

/// T12: in a round that is not split each device's step counts by its share of the examples, as in federated SGD, whoever
/// came before it.
#[test]
fn a_device_counts_by_its_share_of_the_examples() {
    let terms = terms(Exchange::PerEpoch { steps: 1 }, AVG);
    let rules = Rules::new(Terms { local: Rule::Sgd { momentum: 0.0 }, ..terms }).unwrap();
    let examples = [4u32, 1, 3, 2, 4, 1];
    for (m, &share) in examples.iter().enumerate() {
        let mut server = server(rules);
        let base = server.values().to_vec();
        let mut step = server.begin(0);
        for (i, &n) in examples.iter().enumerate() {
            let by = if i == m { 1.0 } else { 0.0 };
            let own: Vec<f32> = base.iter().map(|v| v + by).collect();
            step.add(i as u32 + 1, Share::all(6), n, Body::Dense(&own)).unwrap();
        }
        step.finish();
        for (now, then) in server.values().iter().zip(&base) {
            assert!((now - then - share as f32 / 15.0).abs() < 1e-6, "device {m}: {}", now - then);
        }
    }
}

/// A dense update of the weights that the scalars lead to is the same update.
#[test]
fn scalars_and_weights_say_the_same() {
    for rule in [AVG, ADAM, YOGI] {
        let rules = rules(Exchange::PerEpoch { steps: 3 }, rule);
        let scalars = scalars(rules.scalar_count(11), 1);
        assert_eq!(scalars.len(), 22);
        let (mut a, mut b) = (server(rules), server(rules));
        let mut step = a.begin(1);
        step.add(4, share(1, 3), 11, Body::Scalars(&scalars)).unwrap();
        step.finish();
        let part = b.layout().part(share(1, 3));
        let mut path = Path::default();
        path.begin(&rules, &part, b.values());
        for (i, scalars) in scalars.chunks(8).enumerate() {
            path.estimate(&part, &rules.directions(&part.tensors, 1, i as u32, 4).unwrap(), scalars);
            path.step(&rules);
        }
        let mut step = b.begin(1);
        step.add(4, share(1, 3), 11, Body::Dense(&path.weights)).unwrap();
        step.finish();
        assert_eq!((a.digest(), a.moments()), (b.digest(), b.moments()));
        assert_ne!(a.digest(), server(rules).digest());
        if rule == AVG {
            // One holder's plain mean is its own weights, but for the way there and back.
            let mut own = vec![0.0; part.len];
            part.gather(a.values(), &mut own);
            assert!(own.iter().zip(&path.weights).all(|(a, b)| (a - b).abs() < 1e-6));
        }
    }
}

#[test]
fn groups_nobody_returned_keep_weights_and_state() {
    let rules = rules(Exchange::PerIteration, ADAM);
    let mut server = server(rules);
    let round = |server: &mut Server, round: u32, share: Share| {
        let mut step = server.begin(round);
        step.add(1, share, 4, Body::Scalars(&scalars(8, round))).unwrap();
        step.finish();
    };
    round(&mut server, 0, Share::all(6));
    let (values, moments) = (server.values().to_vec(), server.moments().to_vec());
    round(&mut server, 1, share(2, 1));
    for (i, (now, then)) in server.values().iter().zip(&values).enumerate() {
        let state = |m: &[f32]| (m[i], m[240 + i]);
        assert_eq!(now != then, (80..120).contains(&i), "{i}");
        assert_eq!(state(server.moments()) != state(&moments), (80..120).contains(&i), "{i}");
    }
    let digest = server.digest();
    server.begin(2).finish();
    server.begin(2).add(1, Share::all(6), 4, Body::Scalars(&[1.0; 8])).unwrap();
    assert_eq!(server.digest(), digest, "an unfinished round, or an empty one, changed the weights");
}

#[test]
fn a_restored_server_goes_on() {
    let rules = rules(Exchange::PerEpoch { steps: 2 }, YOGI);
    let take = |server: &mut Server, round: u32| {
        let mut step = server.begin(round);
        step.add(1, Share::all(6), 8, Body::Scalars(&scalars(16, round))).unwrap();
        step.finish();
    };
    let mut straight = server(rules);
    take(&mut straight, 0);
    let mut second = server(rules);
    second.restore(straight.values().to_vec(), straight.moments().to_vec()).unwrap();
    take(&mut straight, 1);
    take(&mut second, 1);
    assert_eq!((straight.digest(), straight.moments()), (second.digest(), second.moments()));
    assert!(second.restore(vec![0.0; 240], Vec::new()).is_err());
    assert!(Server::new(Layout::synthetic(6, 40), rules, vec![0.0; 239]).is_err());
}

#[test]
fn what_is_no_answer_is_refused_and_changes_nothing() {
    for exchange in [Exchange::PerIteration, Exchange::PerEpoch { steps: 1 }] {
        let mut server = server(rules(exchange, AVG));
        let digest = server.digest();
        let mut step = server.begin(0);
        let eight = [0.5f32; 8];
        let mut check = |number, share, examples, body: Body<'_>, words: &str| {
            let error = step.add(number, share, examples, body).unwrap_err().to_string();
            assert!(error.contains(words), "{error}");
        };
        let all = Share::all(6);
        check(1, Share { count: 7, ..all }, 4, Body::Scalars(&eight), "within the 6 groups");
        check(1, Share { count: 0, ..all }, 4, Body::Scalars(&eight), "within the 6 groups");
        check(1, Share { first: 5, step: u16::MAX, count: u16::MAX }, 4, Body::Scalars(&eight), "6 groups");
        check(1, Share { step: 0, ..all }, 4, Body::Scalars(&eight), "within the 6 groups");
        check(1, all, 0, Body::Scalars(&[]), "0 examples");
        check(1, all, 5, Body::Scalars(&[0.5; 10]), "5 examples");
        check(1, all, 4, Body::Scalars(&eight[..7]), "7 numbers, instead of 8");
        check(1, all, 3, Body::Scalars(&eight), "8 numbers, instead of 6");
        check(1, all, 4, Body::Dense(&[0.5; 239]), "instead of 240");
        for bad in [f32::NAN, f32::INFINITY, f32::MAX] {
            let mut scalars = eight;
            scalars[3] = bad;
            scalars[4] = bad;
            check(1, all, 4, Body::Scalars(&scalars), "not finite");
        }
        step.finish();
        assert_eq!(server.digest(), digest);
        let mut step = server.begin(0);
        step.add(7, all, 4, Body::Scalars(&eight)).unwrap();
        for number in [7, 3] {
            let again = step.add(number, all, 4, Body::Scalars(&eight)).unwrap_err();
            assert!(again.to_string().contains("came after device 7"), "{again}");
        }
    }
}

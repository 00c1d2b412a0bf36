//! Is the oracle right? Its logits against an independent float32 forward pass, its gradients against differences.
#![allow(clippy::unwrap_used)] // A failed unwrap is a failed test.

use serde_json::Value;
use sprig_tests::{Adapter, DType, MODULES, Objective, Oracle, real_model};

const TEXT: [u32; 16] = [504, 3575, 282, 4649, 314, 7042, 30, 378, 314, 253, 4183, 1463, 281, 260, 905, 30];

fn numbers(value: &Value) -> Vec<f64> {
    value.as_array().unwrap().iter().map(|x| x.as_f64().unwrap()).collect()
}

fn argmax(row: &[f32]) -> usize {
    (0..row.len()).max_by(|&a, &b| row[a].total_cmp(&row[b])).unwrap()
}

#[test]
fn logits_and_losses_are_the_reference() {
    let golden: Value = serde_json::from_str(include_str!("../golden/smollm2-logits.json")).unwrap();
    let oracle = Oracle::load(&real_model(), DType::F32).unwrap();
    for case in golden["cases"].as_array().unwrap() {
        let text = &case["text"];
        let ids: Vec<u32> = numbers(&case["ids"]).iter().map(|&x| x as u32).collect();
        let logits = oracle.logits(&ids, None).unwrap();
        let rows: Vec<&[f32]> = logits.chunks(oracle.geometry.vocabulary).collect();

        let tops: Vec<f64> = rows.iter().map(|row| argmax(row) as f64).collect();
        assert_eq!(tops, numbers(&case["argmax_per_position"]), "argmax of {text}");

        for pair in case["last_top10"].as_array().unwrap() {
            let pair = numbers(pair);
            let found = f64::from(rows[ids.len() - 1][pair[0] as usize]);
            assert!((found - pair[1]).abs() < 0.002, "{text}: logit {} is {found}, not {}", pair[0], pair[1]);
        }

        let nll = numbers(&case["nll_per_token"]);
        let mean = nll.iter().sum::<f64>() / nll.len() as f64;
        let loss = oracle.loss(&ids, None, Objective::Language { targets: &vec![true; ids.len()] }).unwrap();
        assert!((loss - mean).abs() < 1e-4, "{text}: mean loss {loss}, not {mean}");
    }
}

/// Loss at two nearby points against the gradient between them, in f64: (L₊ − L₋) = ⟨∇L, w₊ − w₋⟩ + O(h³).
fn check_differences(oracle: &Oracle, adapter: &Adapter, objective: Objective<'_>) {
    let (loss, gradient) = oracle.gradient(&TEXT, adapter, objective).unwrap();
    assert!((loss - oracle.loss(&TEXT, Some(adapter), objective).unwrap()).abs() < 1e-12);
    let direction = adapter.random_direction(7);
    let h = 1e-4;
    let (ahead, behind) = (adapter.moved(&direction, h), adapter.moved(&direction, -h));
    let difference = oracle.loss(&TEXT, Some(&ahead), objective).unwrap()
        - oracle.loss(&TEXT, Some(&behind), objective).unwrap();
    // The step actually taken: f32 weights do not move by exactly h.
    let predicted = gradient.dot(&ahead) - gradient.dot(&behind);
    let error = (difference - predicted).abs() / predicted.abs();
    println!("loss {loss:.6} predicted {predicted:.3e} relative error {error:.1e}");
    assert!(error < 1e-4, "{objective:?}: differences give {difference}, the gradient {predicted}");
}

#[test]
fn gradients_are_differences_of_losses() {
    let oracle = Oracle::load(&real_model(), DType::F64).unwrap();
    let geometry = &oracle.geometry;
    let language = Objective::Language { targets: &[true; TEXT.len()] };
    let label = Objective::Label { position: TEXT.len() - 1, candidates: &[4183, 905, 260], label: 1 };
    let adapters = [
        Adapter::random_lora(geometry, 0..geometry.blocks, &["q", "v"], 8, 2.0, 1),
        Adapter::random_lora(geometry, 24..geometry.blocks, &MODULES, 4, 1.0, 2),
        Adapter::random_xs(geometry, 26..geometry.blocks, &["q", "v"], 4, 1.0, 3),
    ];
    for adapter in &adapters {
        check_differences(&oracle, adapter, language);
        check_differences(&oracle, adapter, label);
    }
}

#[test]
fn frozen_products_and_candles_own_give_one_gradient() {
    let mut oracle = Oracle::load(&real_model(), DType::F32).unwrap();
    let adapter = Adapter::random_lora(&oracle.geometry, 0..oracle.geometry.blocks, &["q", "v"], 8, 2.0, 1);
    let language = Objective::Language { targets: &[true; TEXT.len()] };
    let (_, ours) = oracle.gradient(&TEXT, &adapter, language).unwrap();
    oracle.weight_gradients = true;
    let (_, plain) = oracle.gradient(&TEXT, &adapter, language).unwrap();
    let mut difference = ours.clone();
    difference.add_scaled(&plain, -1.0);
    let error = (difference.dot(&difference) / plain.dot(&plain)).sqrt();
    println!("relative error {error:.1e}");
    assert!(error < 1e-4, "relative error {error}");
}

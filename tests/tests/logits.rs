//! Logits of the real model: short prompts against a stored float32 reference, and 512 positions against candle,
//! computed here, for long attention and late rotary angles.
#![allow(clippy::unwrap_used)] // A failed unwrap is a failed test.

use serde_json::Value;
use sprig_budget::Arena;
use sprig_engine::dual::Batch;
use sprig_engine::gguf::{Gguf, Mapped};
use sprig_engine::kernels::Ctx;
use sprig_engine::model::{Checkpoints, Pass, PassInput, PassLayout, PassSize, Transformer};
use sprig_tests::{DType, Oracle, real_model};

/// The start of this repository's LICENSE in token ids, from llama.cpp's tokenizer.
const IDS: &str = include_str!("../golden/license-512-ids.json");

/// Runs the engine over one text, f32 activations, and hands the finished pass to `read`.
fn engine<T>(ids: &[u32], read: impl FnOnce(&mut Pass<'_>, usize) -> T) -> T {
    let map = Mapped::open(real_model()).unwrap();
    let gguf = Gguf::parse(map.bytes()).unwrap();
    let (model, ctx) = (Transformer::load(&gguf).unwrap(), Ctx::new(2).unwrap());
    let geometry = model.geometry();
    let size = PassSize {
        positions: ids.len(),
        tangents: 0,
        wanted: ids.len(),
        candidates: 0,
        rank: 0,
        largest_tensor: 0,
        masked: 0,
        kept: Checkpoints::NONE,
        threads: ctx.pool.threads(),
        panel_rows: ctx.panel_rows(),
        head_tile: 512,
        routes: None,
    };
    let layout = PassLayout::new(geometry, size);
    let mut arena = Arena::new(layout.bytes()).unwrap();
    let rope = model.rope(ids.len());
    let starts = [0, ids.len()];
    let input = PassInput {
        batch: Batch::new(ids, &starts, geometry.vocabulary).unwrap().plain(),
        adapter: None,
        integer: false,
    };
    let mut pass = Pass::new(&model, &rope, &ctx, layout, arena.stack(), input).unwrap();
    pass.embed();
    pass.blocks(0..geometry.blocks).unwrap();
    read(&mut pass, geometry.vocabulary)
}

fn numbers(value: &Value) -> Vec<f64> {
    value.as_array().unwrap().iter().map(|x| x.as_f64().unwrap()).collect()
}

/// The reference is a float32 forward pass in NumPy: argmax of every position, the ten largest logits of the last one,
/// the loss of every token.
#[test]
fn logits_of_the_reference() {
    let golden: Value = serde_json::from_str(include_str!("../golden/smollm2-logits.json")).unwrap();
    let (mut largest, mut largest_loss) = (0f64, 0f64);
    for case in golden["cases"].as_array().unwrap() {
        let text = &case["text"];
        let ids: Vec<u32> = numbers(&case["ids"]).iter().map(|&x| x as u32).collect();
        engine(&ids, |pass, vocabulary| {
            let mut logits = vec![0.0; vocabulary];
            for (position, expected) in numbers(&case["argmax_per_position"]).iter().enumerate() {
                pass.logits(position, &mut logits);
                let top = (0..vocabulary).max_by(|&a, &b| logits[a].total_cmp(&logits[b])).unwrap();
                assert_eq!(top as f64, *expected, "{text}: argmax at position {position}");
            }
            for pair in case["last_top10"].as_array().unwrap() {
                let pair = numbers(pair);
                let found = f64::from(logits[pair[0] as usize]);
                largest = largest.max((found - pair[1]).abs());
                assert!(largest < 0.0005, "{text}: logit {} is {found}, not {}", pair[0], pair[1]);
            }
            let wanted: Vec<usize> = (0..ids.len() - 1).collect();
            let stats = pass.row_statistics(&wanted, &ids[1..]).unwrap();
            let losses: f64 = wanted.iter().map(|&i| f64::from(stats.lse[i] - stats.target[i])).sum();
            let expected = numbers(&case["nll_per_token"]);
            let mean = expected.iter().sum::<f64>() / expected.len() as f64;
            let loss = (losses / wanted.len() as f64 - mean).abs();
            largest_loss = largest_loss.max(loss);
            assert!(loss < 0.0002, "{text}: the mean loss is off by {loss}");
        });
    }
    println!("largest differences: logit {largest:.1e}, mean loss {largest_loss:.1e}");
}

#[test]
fn logits_of_512_positions() {
    let ids: Vec<u32> = serde_json::from_str(IDS).unwrap();
    let logits = Oracle::load(&real_model(), DType::F32).unwrap().logits(&ids, None).unwrap();
    engine(&ids, |pass, vocabulary| compare(pass, &ids, &logits, vocabulary));
}

fn compare(pass: &mut Pass<'_>, ids: &[u32], logits: &[f32], vocabulary: usize) {
    let rows: Vec<&[f32]> = logits.chunks(vocabulary).collect();
    assert_eq!(rows.len(), 512);
    let mut found = vec![0.0; vocabulary];
    let mut largest = 0f32;
    for position in (0..ids.len()).step_by(32).chain([ids.len() - 1]) {
        pass.logits(position, &mut found);
        let differences = found.iter().zip(rows[position]).map(|(a, b)| (a - b).abs());
        largest = differences.fold(largest, f32::max);
        assert!(largest < 0.002, "a logit at position {position} differs by {largest}");
    }

    let wanted: Vec<usize> = (0..ids.len() - 1).collect();
    let stats = pass.row_statistics(&wanted, &ids[1..]).unwrap();
    let mut largest_loss = 0f64;
    for &position in &wanted {
        let row = rows[position];
        let sum: f64 = row.iter().map(|&l| f64::from(l).exp()).sum();
        let expected = sum.ln() - f64::from(row[ids[position + 1] as usize]);
        let loss = f64::from(stats.lse[position] - stats.target[position]);
        largest_loss = largest_loss.max((loss - expected).abs());
        assert!(largest_loss < 0.001, "the loss at position {position} is {loss}, not {expected}");
    }
    println!("largest differences: logit {largest:.1e}, loss {largest_loss:.1e}");
}

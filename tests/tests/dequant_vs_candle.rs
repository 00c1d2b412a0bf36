//! Every block type the kernels read gives the values candle reads from the same bytes, with every instruction set.
#![allow(clippy::unwrap_used)] // A failed unwrap is a failed test.

use sprig_engine::gguf::TensorType;
use sprig_engine::kernels::{Isa, Matrix, dequantize};
use sprig_tests::{Random, candle_dequantize, candle_quantize, candle_type};

/// Types, and where in their blocks half-precision scales lie (for plain halves: the element itself).
const TYPES: [(TensorType, &[usize]); 13] = [
    (TensorType::F32, &[]),
    (TensorType::F16, &[0]),
    (TensorType::BF16, &[0]),
    (TensorType::Q4_0, &[0]),
    (TensorType::Q4_1, &[0, 2]),
    (TensorType::Q5_0, &[0]),
    (TensorType::Q5_1, &[0, 2]),
    (TensorType::Q8_0, &[0]),
    (TensorType::Q2_K, &[80, 82]),
    (TensorType::Q3_K, &[108]),
    (TensorType::Q4_K, &[0, 2]),
    (TensorType::Q5_K, &[0, 2]),
    (TensorType::Q6_K, &[208]),
];

const ROWS: usize = 37;
const COLS: usize = 768;

fn check(ty: TensorType, bytes: &[u8]) {
    let expected = candle_dequantize(candle_type(ty.id()).unwrap(), bytes).unwrap();
    assert!(expected.iter().all(|x| x.is_finite()), "{ty}: the input is not finite");
    assert!(expected.iter().any(|&x| x != expected[0]), "{ty}: the input says nothing");
    let matrix = Matrix::new(ty, ROWS, COLS, bytes).unwrap();
    for isa in Isa::available() {
        let mut found = vec![f32::NAN; ROWS * COLS];
        dequantize(isa, &matrix, 0..ROWS, &mut found);
        for (i, (found, expected)) in found.iter().zip(&expected).enumerate() {
            assert!(
                found == expected,
                "{ty} with {isa}: element {i} is {found:e}, candle reads {expected:e}"
            );
        }
    }
}

#[test]
fn quantised_normal_weights() {
    let values = Random::new(1).normals(ROWS * COLS, 0.05);
    for (ty, _) in TYPES {
        check(ty, &candle_quantize(candle_type(ty.id()).unwrap(), &values).unwrap());
    }
}

#[test]
fn random_bits() {
    let mut rng = Random::new(2);
    for (ty, scales) in TYPES {
        let (block_len, block_bytes) = ty.block().unwrap();
        let mut bytes: Vec<u8> =
            (0..ROWS * COLS / block_len * block_bytes).map(|_| rng.bits() as u8).collect();
        for block in bytes.chunks_exact_mut(block_bytes) {
            for &at in scales {
                make_finite(&mut block[at..at + 2], ty);
            }
            if ty == TensorType::F32 {
                make_finite(&mut block[2..], TensorType::BF16);
            }
        }
        check(ty, &bytes);
    }
}

/// Clears one bit of an exponent that is all ones (infinities and NaN); subnormal and negative values stay.
fn make_finite(half: &mut [u8], ty: TensorType) {
    let exponent = if ty == TensorType::BF16 { 0x7F80 } else { 0x7C00 };
    let bits = u16::from_le_bytes([half[0], half[1]]);
    let finite = if bits & exponent == exponent { bits & !0x4000 } else { bits };
    half.copy_from_slice(&finite.to_le_bytes());
}

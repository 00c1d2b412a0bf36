//! What the tests share: an independent model on candle with autograd, the model file, the built program.

mod adapter;
mod candle_llama;
pub mod families;
mod frozen;
mod geometry;
mod stock;
mod strings;

pub use adapter::{Adapter, Factors, Key};
pub use candle_core::{DType, Result};
pub use candle_llama::{Objective, Oracle};
pub use geometry::{Geometry, MODULES};
pub use sprig_testkit::model::{real_model, workspace};
pub use sprig_testkit::random::Random;
pub use stock::Stock;
pub use strings::strings;

use candle_core::Device;
use candle_core::quantized::{GgmlDType, QStorage, QTensor};
use std::borrow::Cow;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// The program `sprig`, built once per test process with the profile of the tests; `SPRIG_BIN` names one built already.
///
/// # Panics
/// Where it does not build.
pub fn sprig_bin() -> &'static Path {
    static BIN: OnceLock<PathBuf> = OnceLock::new();
    BIN.get_or_init(|| {
        if let Some(path) = std::env::var_os("SPRIG_BIN") {
            return path.into();
        }
        // Test executables lie in <target>/<profile>/deps.
        let test = std::env::current_exe().expect("the running test has a path");
        let folder = test.parent().and_then(Path::parent).expect("tests run from <target>/<profile>/deps");
        let mut build = Command::new(env!("CARGO"));
        build.args(["build", "--quiet", "--package", "sprig", "--bin", "sprig"]).current_dir(workspace());
        build.env("CARGO_TARGET_DIR", folder.parent().expect("a profile lies in a target folder"));
        if folder.ends_with("release") {
            build.arg("--release");
        }
        assert!(build.status().expect("cargo starts").success(), "the program `sprig` does not build");
        folder.join("sprig")
    })
}

/// A command that runs `sprig`.
pub fn sprig() -> Command {
    Command::new(sprig_bin())
}

/// Candle's type for ggml's type id; `None` for types Sprig does not read.
pub fn candle_type(id: u32) -> Option<GgmlDType> {
    Some(match id {
        0 => GgmlDType::F32,
        1 => GgmlDType::F16,
        2 => GgmlDType::Q4_0,
        3 => GgmlDType::Q4_1,
        6 => GgmlDType::Q5_0,
        7 => GgmlDType::Q5_1,
        8 => GgmlDType::Q8_0,
        10 => GgmlDType::Q2K,
        11 => GgmlDType::Q3K,
        12 => GgmlDType::Q4K,
        13 => GgmlDType::Q5K,
        14 => GgmlDType::Q6K,
        30 => GgmlDType::BF16,
        _ => return None,
    })
}

/// The f32 values candle reads from `bytes` of blocks of type `ty`.
///
/// # Errors
/// Candle's own.
pub fn candle_dequantize(ty: GgmlDType, bytes: &[u8]) -> Result<Vec<f32>> {
    let elements = bytes.len() / ty.type_size() * ty.block_size();
    let storage = QStorage::from_data(Cow::Borrowed(bytes), &Device::Cpu, ty)?;
    QTensor::new(storage, elements)?.dequantize(&Device::Cpu)?.to_vec1()
}

/// Blocks of type `ty` that candle's quantiser makes of `values` (whole blocks of them).
///
/// # Errors
/// Candle's own.
pub fn candle_quantize(ty: GgmlDType, values: &[f32]) -> Result<Vec<u8>> {
    let tensor = candle_core::Tensor::from_slice(values, values.len(), &Device::Cpu)?;
    Ok(QTensor::quantize(&tensor, ty)?.data()?.into_owned())
}

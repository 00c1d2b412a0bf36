//! The boards this program knows: one file of facts each.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::sync::LazyLock;

/// What is known of a board before it is looked at. Where a board is sold with several sizes of memory,
/// each size is a board.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Board {
    /// The name in settings and on the wire, of `[a-z0-9-]`.
    pub name: String,
    /// The name its maker gives it.
    pub title: String,
    /// System on chip.
    pub soc: Option<String>,
    /// CPU core, as `cortex-a53`.
    pub core: Option<String>,
    /// CPU cores.
    pub cores: u32,
    /// Vector instructions the core has.
    pub features: Vec<Feature>,
    /// Memory, in MiB.
    pub ram_mib: u64,
    /// Page sizes its usual kernels are built for, in bytes.
    pub pages: Vec<u64>,
    /// Peak memory bandwidth by the data sheet, in bytes per second: transfer rate by bus width.
    pub bandwidth: Option<u64>,
    /// Share of the memory that a run may take unless told otherwise: what is left is the system's. Smaller
    /// on small boards, as a system needs about 200 MiB whatever the board has, and on Jetson, where the
    /// GPU and its driver share the memory.
    pub budget_share: f64,
    /// Entries of the device tree's `compatible` that mean this board: either a whole entry, or the start
    /// of a part of one (`p3767-0003` is in `nvidia,p3768-0000+p3767-0003-super`).
    pub compatible: Vec<String>,
    /// How the device tree's `model` begins on this board, for device trees with another `compatible`.
    #[serde(default)]
    pub model: Vec<String>,
}

impl Board {
    /// Memory in bytes.
    pub fn ram(&self) -> u64 {
        self.ram_mib << 20
    }

    /// Whether this entry of the device tree's `compatible` means this board.
    pub(crate) fn is_compatible(&self, entry: &str) -> bool {
        let wanted =
            |w: &String| entry == w || entry.split([',', '+']).any(|part| part.starts_with(w.as_str()));
        self.compatible.iter().any(wanted)
    }
}

/// Vector instructions that kernels are chosen by.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Feature {
    /// ARM Advanced SIMD.
    Neon,
    /// ARM `sdot`, `udot` (ARMv8.2 option).
    Dotprod,
    /// ARM half-precision arithmetic (ARMv8.2 option).
    Fp16,
    /// ARM 8-bit integer matrix product.
    I8mm,
    /// x86 AVX2.
    Avx2,
    /// x86 AVX-512 Foundation.
    Avx512,
    /// x86 fused multiply-add.
    Fma,
    /// x86 8-bit integer dot products on 256-bit registers.
    AvxVnni,
}

impl Feature {
    /// The feature that a word of `/proc/cpuinfo`'s `Features` or `flags` line stands for.
    pub(crate) fn of_cpuinfo(word: &str) -> Option<Feature> {
        Some(match word {
            "asimd" | "neon" => Feature::Neon,
            "asimddp" => Feature::Dotprod,
            "asimdhp" => Feature::Fp16,
            "i8mm" => Feature::I8mm,
            "avx2" => Feature::Avx2,
            "avx512f" => Feature::Avx512,
            "fma" => Feature::Fma,
            "avx_vnni" => Feature::AvxVnni,
            _ => return None,
        })
    }
}

impl fmt::Display for Feature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Feature::Neon => "neon",
            Feature::Dotprod => "dotprod",
            Feature::Fp16 => "fp16",
            Feature::I8mm => "i8mm",
            Feature::Avx2 => "avx2",
            Feature::Avx512 => "avx512",
            Feature::Fma => "fma",
            Feature::AvxVnni => "avxvnni",
        })
    }
}

/// A board name that no file in `boards/` has.
#[derive(Debug, Eq, PartialEq, thiserror::Error)]
#[error("unknown board {name:?}; known boards are {}", names().join(", "))]
pub struct UnknownBoard {
    /// The name asked for.
    pub name: String,
}

fn names() -> Vec<&'static str> {
    boards().iter().map(|board| board.name.as_str()).collect()
}

macro_rules! embedded {
    ($($name:literal)*) => { [$(($name, include_str!(concat!("../boards/", $name, ".toml")))),*] };
}

const FILES: [(&str, &str); 16] = embedded! {
    "raspberry-pi-zero-2-w" "raspberry-pi-3b"
    "raspberry-pi-4b-1gb" "raspberry-pi-4b-2gb" "raspberry-pi-4b-4gb" "raspberry-pi-4b-8gb"
    "raspberry-pi-5-2gb" "raspberry-pi-5-4gb" "raspberry-pi-5-8gb" "raspberry-pi-5-16gb"
    "jetson-nano" "jetson-xavier-nx" "jetson-orin-nano-4gb" "jetson-orin-nano-8gb" "jetson-agx-orin"
    "generic"
};

static BOARDS: LazyLock<Vec<Board>> = LazyLock::new(|| {
    let parse = |(name, text): (&str, &str)| {
        toml::from_str(text).unwrap_or_else(|error| panic!("the embedded boards/{name}.toml: {error}"))
    };
    FILES.into_iter().map(parse).collect()
});

/// All boards; the last one is `generic`, which stands for any machine without a file of its own.
pub fn boards() -> &'static [Board] {
    &BOARDS
}

/// The board of this name.
///
/// # Errors
/// There is none; the error lists those there are.
pub fn by_name(name: &str) -> Result<&'static Board, UnknownBoard> {
    boards().iter().find(|board| board.name == name).ok_or_else(|| UnknownBoard { name: name.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_is_embedded_and_parses_to_sane_facts() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/boards");
        let mut files: Vec<_> = std::fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        files.sort();
        let mut embedded: Vec<_> = FILES.iter().map(|(name, _)| format!("{name}.toml")).collect();
        embedded.sort();
        assert_eq!(files, embedded);

        for (board, (name, _)) in boards().iter().zip(FILES) {
            assert_eq!(board.name, name);
            // A presence message on the wire holds a name of at most 64 bytes.
            assert!(name.len() <= 64 && !board.title.is_empty(), "{name}");
            assert!((0.2..=0.8).contains(&board.budget_share), "{name}");
            assert!(board.ram_mib.is_power_of_two() && (512..=65536).contains(&board.ram_mib), "{name}");
            if name != "generic" {
                assert!(!board.compatible.is_empty() && !board.pages.is_empty(), "{name}");
                assert!(board.features.contains(&Feature::Neon), "{name}");
            }
        }
        assert_eq!(boards().last().unwrap().name, "generic");
    }

    #[test]
    fn an_unknown_name_lists_the_known_ones() {
        assert_eq!(by_name("raspberry-pi-5-8gb").unwrap().ram(), 8 << 30);
        let error = by_name("raspberry-pi-6").unwrap_err().to_string();
        assert!(error.starts_with("unknown board \"raspberry-pi-6\"; known boards are "), "{error}");
        assert!(error.contains("jetson-agx-orin, generic"), "{error}");
    }
}

//! What is known of a board before it is looked at.

use serde::{Deserialize, Serialize};
use sprig_ground::names;

/// A board with one of the sizes of memory that it is sold with.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Board {
    /// The name in settings and on the wire, of `[a-z0-9-]`: that of its profile and, where there are several, the size.
    pub name: String,
    /// The name its maker gives it.
    pub title: String,
    /// The name of its profile.
    pub family: String,
    /// System on chip.
    pub soc: Option<String>,
    /// CPU cores.
    pub cores: Vec<Cores>,
    /// Vector instructions that all cores have.
    pub features: Vec<Feature>,
    /// Memory, in MiB.
    pub ram_mib: u64,
    /// What its usual kernel manages of it, about, in MiB: the rest is the firmware's, the GPU's and the kernel's own.
    pub managed_mib: u64,
    /// Page sizes its usual kernels are built for, in bytes.
    pub pages: Vec<u64>,
    /// Peak memory bandwidth by the data sheet, in bytes per second: transfer rate by bus width.
    pub bandwidth: Option<u64>,
    /// What it has beside its CPU for such work; nothing is used of it.
    pub accelerator: Option<String>,
    /// Where its system is kept.
    pub storage: Vec<Storage>,
    /// Memory that its operating system needs by itself, in MiB: no budget takes of it.
    pub reserve_mib: u64,
    /// Share of the memory that a run may take unless told otherwise. Smaller on small boards, and on Jetson, where the
    /// GPU and its driver share the memory.
    pub budget_share: f64,
    /// Temperature in °C from which on its firmware or kernel slows it down.
    pub throttles_at: Option<u32>,
    /// What has surprised others on it.
    pub traps: Vec<String>,
    /// Where the facts are from.
    pub sources: Vec<String>,
    #[serde(skip)]
    pub(crate) signs: Signs,
}

/// What a board is recognised by.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Signs {
    /// Entries of the device tree's `compatible` that mean this profile.
    pub(crate) compatible: Vec<String>,
    /// Entries that mean its chip.
    pub(crate) chip: Vec<String>,
    /// How the device tree's `model` begins on it.
    pub(crate) model: Vec<String>,
    /// Types in the revision code of a Raspberry Pi.
    pub(crate) revision: Vec<u32>,
    /// Entries of `compatible` that mean this size of memory.
    pub(crate) module: Vec<String>,
}

impl Signs {
    /// Whether it is told by the number of a module, whatever that is plugged into and is called there.
    pub(crate) fn are_numbers(&self) -> bool {
        self.compatible.iter().any(|entry| !entry.contains(','))
    }
}

/// Cores of one kind.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Cores {
    /// Their kind, as `cortex-a53`.
    pub kind: String,
    /// How many.
    pub count: u32,
    /// The highest clock that the board runs them at, in MHz.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mhz: Option<u32>,
}

impl Cores {
    /// Single-precision operations a second that all of them could do at most: none is known of other kinds. A fused
    /// multiply-add of four numbers is eight; a core begins one or two of them a cycle (Arm's software optimisation guides,
    /// `FMLA` on 128 bits; of the Cortex-A53, which has none, its 128 bits of data path).
    pub fn peak_flop(&self) -> Option<f64> {
        let a_cycle = match self.kind.as_str() {
            "cortex-a53" | "cortex-a57" | "cortex-a72" | "denver-2" => 8.0,
            "cortex-a76" | "cortex-a78ae" | "carmel" => 16.0,
            _ => return None,
        };
        Some(f64::from(self.count) * f64::from(self.mhz?) * 1e6 * a_cycle)
    }
}

/// Where a system is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Storage {
    /// An SD card.
    Sd,
    /// Flash soldered on.
    Emmc,
    /// A disk on PCIe.
    Nvme,
    /// A disk on USB.
    Usb,
}

names!(Storage, "kind of storage", [Sd = "sd", Emmc = "emmc", Nvme = "nvme", Usb = "usb"]);

impl Board {
    /// Memory in bytes.
    pub fn ram(&self) -> u64 {
        self.ram_mib << 20
    }

    /// Bytes of memory that its usual kernel manages, about.
    pub fn managed(&self) -> u64 {
        self.managed_mib << 20
    }

    /// Bytes of `memory` that a run may take unless told otherwise.
    pub fn budget(&self, memory: u64) -> u64 {
        let share = (memory as f64 * self.budget_share) as u64;
        share.min(memory.saturating_sub(self.reserve_mib << 20))
    }

    /// Single-precision operations a second that its cores could do at most, where that is known of all.
    pub fn peak_flop(&self) -> Option<f64> {
        self.cores.iter().map(Cores::peak_flop).sum()
    }

    /// CPU cores of all kinds.
    pub fn core_count(&self) -> u32 {
        self.cores.iter().map(|cores| cores.count).sum()
    }
}

/// Whether an entry of the device tree's `compatible` is that of a profile: either the whole entry, or the start of a part
/// of it (`p3767-0003` is in `nvidia,p3768-0000+p3767-0003-super`).
pub(crate) fn means(wanted: &[String], entry: &str) -> bool {
    let part = |w: &String| entry.split([',', '+']).any(|part| part.starts_with(w.as_str()));
    wanted.iter().any(|w| entry == w || !w.contains(',') && part(w))
}

/// Vector instructions that kernels are chosen by.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
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

names!(
    Feature,
    "vector feature",
    [
        Neon = "neon",
        Dotprod = "dotprod",
        Fp16 = "fp16",
        I8mm = "i8mm",
        Avx2 = "avx2",
        Avx512 = "avx512",
        Fma = "fma",
        AvxVnni = "avxvnni",
    ]
);

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

    /// Whether the words `AT_HWCAP` and `AT_HWCAP2` that an arm64 kernel hands each process have it: bits of
    /// `arch/arm64/include/uapi/asm/hwcap.h`. Features of x86 are not in them.
    pub(crate) fn is_in(self, [first, second]: [u64; 2]) -> bool {
        match self {
            Feature::Neon => first & 1 << 1 != 0,
            Feature::Fp16 => first & 1 << 10 != 0,
            Feature::Dotprod => first & 1 << 20 != 0,
            Feature::I8mm => second & 1 << 13 != 0,
            Feature::Avx2 | Feature::Avx512 | Feature::Fma | Feature::AvxVnni => true,
        }
    }
}

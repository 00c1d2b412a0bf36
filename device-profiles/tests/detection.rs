//! Detection on trees of files as the boards have them.

#![allow(clippy::unwrap_used)] // A failed unwrap is a failed test.

use sprig_device::{Detected, Feature, How, detect, detect_as};
use std::fs;
use std::path::Path;

/// A machine's files.
struct Machine(tempfile::TempDir);

impl Machine {
    fn new() -> Machine {
        Machine(tempfile::tempdir().unwrap())
    }

    fn with(self, path: &str, bytes: impl AsRef<[u8]>) -> Machine {
        let path = self.0.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
        self
    }

    /// `compatible` as in the device tree: each entry ends with a zero byte.
    fn tree(self, model: &str, compatible: &[&str]) -> Machine {
        let list: String = compatible.iter().map(|entry| format!("{entry}\0")).collect();
        self.with("proc/device-tree/model", format!("{model}\0")).with("proc/device-tree/compatible", list)
    }

    fn memory(self, kib: u64) -> Machine {
        let text = format!("MemTotal:        {kib} kB\nMemFree:         12345 kB\n");
        self.with("proc/meminfo", text)
    }

    fn cpu(self, cores: usize, part: &str, features: &str) -> Machine {
        let one = |n| {
            format!(
                "processor\t: {n}\nBogoMIPS\t: 108.00\nFeatures\t: {features}\nCPU implementer\t: 0x41\n\
                 CPU architecture: 8\nCPU variant\t: 0x0\nCPU part\t: {part}\nCPU revision\t: 3\n\n"
            )
        };
        let text: String = (0..cores).map(one).collect();
        self.with("proc/cpuinfo", text + "Revision\t: c03114\nModel\t\t: Raspberry Pi\n")
    }

    fn page(self, bytes: usize) -> Machine {
        // AT_SYSINFO_EHDR, AT_PAGESZ, AT_NULL.
        let words = [33, 0x7fff_0000, 6, bytes, 0, 0];
        self.with("proc/self/auxv", words.iter().flat_map(|w| w.to_ne_bytes()).collect::<Vec<u8>>())
    }

    fn detect(&self) -> Detected {
        detect(self.0.path())
    }
}

const V8_0: &str = "fp asimd evtstrm crc32 cpuid";
const V8_2: &str =
    "fp asimd evtstrm aes pmull sha1 sha2 crc32 atomics fphp asimdhp cpuid asimdrdm lrcpc dcpop asimddp";

#[test]
fn a_raspberry_pi_4_is_told_by_its_memory() {
    // MemTotal of boards with 1, 2, 4 and 8 GB under the 64-bit Raspberry Pi OS, about.
    for (kib, name) in [
        (930_000, "raspberry-pi-4b-1gb"),
        (1_890_000, "raspberry-pi-4b-2gb"),
        (3_880_000, "raspberry-pi-4b-4gb"),
        (8_050_000, "raspberry-pi-4b-8gb"),
    ] {
        let got = Machine::new()
            .tree("Raspberry Pi 4 Model B Rev 1.4", &["raspberrypi,4-model-b", "brcm,bcm2711"])
            .memory(kib)
            .cpu(4, "0xd08", V8_0)
            .page(4096)
            .detect();
        assert_eq!(got.board.name, name);
        assert_eq!(got.how, How::Compatible("raspberrypi,4-model-b".into()));
        assert_eq!((got.memory, got.cores, got.page), (kib * 1024, 4, 4096));
        assert_eq!(got.core.as_deref(), Some("cortex-a72"));
        assert_eq!(got.features, [Feature::Neon]);
    }
}

#[test]
fn a_raspberry_pi_5_has_dot_products_and_large_pages() {
    let got = Machine::new()
        .tree("Raspberry Pi 5 Model B Rev 1.0", &["raspberrypi,5-model-b", "brcm,bcm2712"])
        .memory(8_254_000)
        .cpu(4, "0xd0b", V8_2)
        .page(16384)
        .detect();
    assert_eq!((got.board.name.as_str(), got.page), ("raspberry-pi-5-8gb", 16384));
    assert_eq!(got.features, [Feature::Neon, Feature::Dotprod, Feature::Fp16]);
    assert!(got.board.pages.contains(&got.page));
    assert_eq!(got.features, got.board.features);
}

#[test]
fn small_boards_are_told_apart_by_model() {
    let zero = ["raspberrypi,model-zero-2-w", "brcm,bcm2837"];
    let three = ["raspberrypi,3-model-b-plus", "brcm,bcm2837"];
    let zero = Machine::new().tree("Raspberry Pi Zero 2 W Rev 1.0", &zero).memory(426_000).detect();
    let three = Machine::new().tree("Raspberry Pi 3 Model B Plus Rev 1.3", &three).memory(940_000).detect();
    assert_eq!(zero.board.name, "raspberry-pi-zero-2-w");
    assert_eq!(three.board.name, "raspberry-pi-3b");
    assert!(zero.budget() < 426_000 * 1024 / 2, "{}", zero.budget());
}

#[test]
fn a_jetson_is_told_by_its_module_whatever_it_is_plugged_into() {
    for (model, compatible, kib, name) in [
        (
            "NVIDIA Jetson Nano Developer Kit",
            &["nvidia,p3449-0000-b00+p3448-0000-b00", "nvidia,jetson-nano", "nvidia,tegra210"][..],
            4_059_000,
            "jetson-nano",
        ),
        (
            "A carrier of ours",
            &["nvidia,p3509-0000+p3668-0001", "nvidia,tegra194"],
            7_900_000,
            "jetson-xavier-nx",
        ),
        (
            "A carrier",
            &["nvidia,p3768-0000+p3767-0005-super", "nvidia,tegra234"],
            7_600_000,
            "jetson-orin-nano-8gb",
        ),
        // The module says 4 GB; memory alone would not.
        (
            "A carrier",
            &["nvidia,p3768-0000+p3767-0004", "nvidia,tegra234"],
            7_600_000,
            "jetson-orin-nano-4gb",
        ),
        (
            "Jetson AGX Orin",
            &["nvidia,p3737-0000+p3701-0000", "nvidia,tegra234"],
            62_000_000,
            "jetson-agx-orin",
        ),
        // Unknown module: the model, then the memory.
        (
            "NVIDIA Jetson Orin Nano Kit",
            &["nvidia,p9999", "nvidia,tegra234"],
            3_500_000,
            "jetson-orin-nano-4gb",
        ),
    ] {
        let got = Machine::new().tree(model, compatible).memory(kib).detect();
        assert_eq!(got.board.name, name, "{compatible:?}");
    }
    // Same chip as the Orin Nano, but no profile: an Orin NX.
    let nx = ["nvidia,p3768-0000+p3767-0000", "nvidia,tegra234"];
    let got = Machine::new().tree("NVIDIA Orin NX Developer Kit", &nx).detect();
    assert_eq!(got.how, How::Unlisted("NVIDIA Orin NX Developer Kit".into()));
    assert_eq!(got.board.name, "generic");
}

#[test]
fn a_machine_without_a_device_tree_is_generic() {
    let cpuinfo =
        "processor\t: 0\nflags\t\t: fpu fma avx2 avx_vnni\n\nprocessor\t: 1\nflags\t\t: fpu fma avx2\n";
    let got = Machine::new().with("proc/cpuinfo", cpuinfo).memory(16 << 20).detect();
    assert_eq!((got.board.name.as_str(), &got.how), ("generic", &How::NoDeviceTree));
    // Only what all cores have.
    assert_eq!(got.features, [Feature::Avx2, Feature::Fma]);
    assert_eq!((got.cores, got.core.as_deref()), (2, None));
    assert_eq!(got.budget(), 8 << 30);
}

#[test]
fn nothing_readable_leaves_the_boards_facts() {
    let empty = Machine::new();
    let got = detect_as(empty.0.path(), "raspberry-pi-3b").unwrap();
    assert_eq!((got.memory, got.page, got.cores), (1 << 30, 4096, 4));
    assert_eq!((got.core.as_deref(), got.how), (Some("cortex-a53"), How::Named));
    assert!(detect_as(empty.0.path(), "raspberry-pi-9").unwrap_err().to_string().contains("raspberry-pi-3b"));
}

#[test]
fn strange_files_are_taken_as_missing() {
    let got = Machine::new()
        .with("proc/meminfo", "MemTotal: 99999999999999999999 kB\n")
        .with("proc/cpuinfo", [0xff; 300])
        .with("proc/self/auxv", [6; 31])
        .with("proc/self/cgroup", "0::/../../etc\n::\nx\n")
        .with("proc/device-tree/compatible", [0; 40])
        .detect();
    assert_eq!((got.board.name.as_str(), got.memory, got.limit), ("generic", 512 << 20, None));
}

#[test]
fn the_budget_stays_within_the_tightest_cgroup() {
    let machine = Machine::new()
        .memory(8 << 20)
        .with("proc/self/cgroup", "0::/system.slice/sprig.service\n")
        .with("sys/fs/cgroup/system.slice/memory.max", "314572800\n")
        .with("sys/fs/cgroup/system.slice/sprig.service/memory.max", "max\n");
    let got = machine.detect();
    assert_eq!((got.limit, got.at_hand(), got.budget()), (Some(300 << 20), 300 << 20, 300 << 20));

    let old = Machine::new()
        .memory(8 << 20)
        .with("proc/self/cgroup", "9:name=systemd:/\n4:cpu,memory:/sprig\n")
        .with("sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712")
        .with("sys/fs/cgroup/memory/sprig/memory.limit_in_bytes", "268435456");
    assert_eq!(old.detect().limit, Some(256 << 20));
}

#[test]
fn this_machine_is_described() {
    let got = detect(Path::new("/"));
    assert!(got.cores > 0 && got.memory > 64 << 20 && got.page.is_power_of_two(), "{got:?}");
    let json = serde_json::to_value(&got).unwrap();
    assert_eq!(json["board"]["name"], got.board.name);
}

//! Detection on trees of files as the boards have them.

#![allow(clippy::unwrap_used)] // A failed unwrap is a failed test.

mod condition;
mod fixtures;
mod machine;

use machine::Machine;
use sprig_device::{BoardError, Cores, Feature, How, OVERRIDES, detect, detect_as};
use std::path::Path;

/// `compatible` as in the device tree: each entry ends with a zero byte.
fn tree(model: &str, compatible: &[&str]) -> Machine {
    let list: String = compatible.iter().map(|entry| format!("{entry}\0")).collect();
    Machine::new()
        .with("proc/device-tree/model", format!("{model}\0"))
        .with("proc/device-tree/compatible", list)
}

fn memory(kib: u64) -> String {
    format!("MemTotal:        {kib} kB\nMemFree:         12345 kB\n")
}

fn cpu(cores: usize, part: &str, features: &str) -> String {
    let one = |n| {
        format!(
            "processor\t: {n}\nBogoMIPS\t: 108.00\nFeatures\t: {features}\nCPU implementer\t: 0x41\n\
             CPU architecture: 8\nCPU variant\t: 0x0\nCPU part\t: {part}\nCPU revision\t: 3\n\n"
        )
    };
    (0..cores).map(one).collect()
}

const V8_0: &str = "fp asimd evtstrm crc32 cpuid";
/// Where nothing else says the size, the kernel's number does; the module's number and the revision code say it better.
#[test]
fn the_size_of_a_memory_is_told_by_what_knows_it_best() {
    for (kib, name) in [
        (930_000, "raspberry-pi-4b-1gb"),
        (1_890_000, "raspberry-pi-4b-2gb"),
        (3_880_000, "raspberry-pi-4b-4gb"),
        (8_050_000, "raspberry-pi-4b-8gb"),
    ] {
        let four = || tree("Raspberry Pi 4 Model B Rev 1.4", &["raspberrypi,4-model-b", "brcm,bcm2711"]);
        let got = four().with("proc/meminfo", memory(kib)).detect();
        assert_eq!((got.board.name.as_str(), got.memory), (name, kib * 1024));
        // c03114: a Pi 4 of 4 GB, started with total_mem= or with other memory soldered on.
        let cpuinfo =
            cpu(4, "0xd08", V8_0) + "Revision\t: c03114\nModel\t\t: Raspberry Pi 4 Model B Rev 1.4\n";
        let got = four().with("proc/meminfo", memory(kib)).with("proc/cpuinfo", cpuinfo).detect();
        assert_eq!(got.board.name, if kib < 4 << 20 { "raspberry-pi-4b-4gb" } else { name });
        assert_eq!(got.cores, [Cores { kind: "cortex-a72".to_owned(), count: 4, mhz: None }]);
    }
    let module = ["ours,carrier", "nvidia,p3768-0000+p3767-0004", "nvidia,tegra234"];
    let got = tree("A carrier of ours", &module).with("proc/meminfo", memory(3_400_000)).detect();
    assert_eq!(got.board.name, "jetson-orin-nano-4gb");
    // What a carrier calls itself is no sign of its module.
    let got = tree("NVIDIA Jetson Orin Nano Kit", &["nvidia,p9999", "nvidia,tegra234"]).detect();
    assert_eq!((got.board.name.as_str(), got.warnings.len()), ("generic", 1));
}

#[test]
fn a_machine_that_contradicts_itself_is_no_board() {
    let pi = ["raspberrypi,4-model-b", "brcm,bcm2711"];
    let cases = [
        (
            tree("Raspberry Pi 4 Model B", &["raspberrypi,5-model-b", "brcm,bcm2711"]),
            "its chip is brcm,bcm2711",
        ),
        (tree("Raspberry Pi 5 Model B", &pi), "its model is Raspberry Pi 5 Model B, which is Raspberry Pi 5"),
        (
            tree("Raspberry Pi 4 Model B", &pi).with("proc/cpuinfo", cpu(4, "0xd0b", V8_0)),
            "its CPU is cortex-a76",
        ),
        (
            tree("Raspberry Pi 4 Model B", &pi)
                .with("proc/cpuinfo", cpu(4, "0xd08", V8_0) + "Revision\t: c04170\n"),
            "type 0x17",
        ),
        (tree("", &["raspberrypi,4-model-b", "nvidia,p3668"]), "which is NVIDIA Jetson Xavier NX"),
    ];
    for (machine, words) in cases {
        let got = machine.with("proc/meminfo", memory(1_890_000)).detect();
        assert!(
            got.board.name.starts_with("generic") && matches!(got.how, How::Contradiction(_)),
            "{}",
            got.how
        );
        assert!(got.warnings[0].contains(words) && got.warnings[0].contains("--board"), "{:?}", got.warnings);
        assert_eq!(got.budget(), 1_890_000 * 1024 / 2);
    }
}

#[test]
fn what_an_operator_should_know_is_said() {
    let pi = || tree("Raspberry Pi 4 Model B", &["raspberrypi,4-model-b", "brcm,bcm2711"]);
    let got = pi().with("sys/fs/cgroup/cgroup.controllers", "cpuset cpu io pids\n").detect();
    assert!(got.warnings.iter().any(|w| w.contains("cgroup_enable=memory")), "{:?}", got.warnings);
    let got = pi().with("sys/fs/cgroup/cgroup.controllers", "cpuset cpu io memory pids\n").detect();
    assert!(got.warnings.is_empty(), "{:?}", got.warnings);
    let got = pi().with("proc/self/auxv", Machine::auxv(&[(6, 65536)])).detect();
    assert!(got.warnings[0].contains("65536"), "{:?}", got.warnings);
    let nano = tree(
        "NVIDIA Jetson Nano Developer Kit",
        &["nvidia,p3449-0000-b00+p3448-0000-b00", "nvidia,tegra210"],
    );
    let release =
        "# R32 (release), REVISION: 7.1, GCID: 29818004, BOARD: t210ref, EABI: aarch64, DATE: Sat Feb 19\n";
    assert_eq!(nano.with("etc/nv_tegra_release", release).detect().l4t.as_deref(), Some("32.7.1"));
}

/// Variables of UEFI begin with four bytes of attributes.
#[test]
fn a_jetson_tells_which_system_it_started_and_whether_there_is_another() {
    let variable = |machine: Machine, name: &str, value: &[u8]| {
        let path = format!("sys/firmware/efi/efivars/{name}-781e084c-a330-417c-b678-38e696380cb9");
        machine.with(&path, [&[7, 0, 0, 0], value].concat())
    };
    let told = |machine: &Machine| machine.detect().slots.map(|slots| slots.to_string());
    let orin = || variable(Machine::new(), "BootChainFwCurrent", &[1, 0, 0, 0]);
    assert_eq!(told(&orin()).as_deref(), Some("slot B"));
    let one = variable(orin(), "RootfsRedundancyLevel", &[0; 4]);
    let said = told(&one).unwrap();
    assert!(said.starts_with("slot B, one root file system"), "{said}");
    let two = variable(one, "RootfsRedundancyLevel", &[1, 0, 0, 0]);
    assert_eq!(told(&two).as_deref(), Some("slot B, two root file systems"));
    let odd = variable(two, "BootChainFwCurrent", &[255; 4]);
    assert_eq!(told(&odd), None);
    assert_eq!(told(&variable(odd, "BootChainFwCurrent", &[1, 0])), None);
    assert_eq!(told(&Machine::new()), None);
}

/// Only what the kernel lets programs use, though the processor has it.
#[test]
fn features_are_those_that_the_kernel_hands_on() {
    let features = "fp asimd evtstrm crc32 fphp asimdhp cpuid asimddp";
    let machine = |hwcap| {
        Machine::new()
            .with("proc/cpuinfo", cpu(2, "0xd0b", features))
            .with("proc/self/auxv", Machine::auxv(&[(6, 4096), (16, hwcap)]))
    };
    assert_eq!(
        machine(1 << 1 | 1 << 10 | 1 << 20).detect().features,
        [Feature::Neon, Feature::Dotprod, Feature::Fp16]
    );
    assert_eq!(machine(1 << 1 | 1 << 10).detect().features, [Feature::Neon, Feature::Fp16]);
}

#[test]
fn a_users_profile_is_found_on_the_machine() {
    let text = "name = \"shed\"\ntitle = \"The board in the shed\"\npages = [4096]\nfeatures = [\"neon\"]\n\
                cores = [{ kind = \"cortex-a55\", count = 4 }]\nmodel = [\"Shed\"]\n\
                [[memory]]\nmib = 2048\nmanaged_mib = 1950\nreserve_mib = 1500\nbudget_share = 0.9\n";
    let path = format!("{OVERRIDES}/shed.toml");
    let machine = tree("Shed 1", &["shed,one"]).with(&path, text).with("proc/meminfo", memory(2_000_000));
    let got = machine.detect();
    assert_eq!((got.board.name.as_str(), got.how.clone()), ("shed", How::Model("Shed 1".to_owned())));
    // Never of what the system needs.
    assert_eq!(got.budget(), 2_000_000 * 1024 - (1500 << 20));
    let machine = machine.with(&path, "name = 1");
    assert!(matches!(detect(machine.0.path()), Err(BoardError::Profile { .. })));
}

#[test]
fn a_machine_without_a_device_tree_is_generic() {
    let cpuinfo =
        "processor\t: 0\nflags\t\t: fpu fma avx2 avx_vnni\n\nprocessor\t: 1\nflags\t\t: fpu fma avx2\n";
    let got = Machine::new().with("proc/cpuinfo", cpuinfo).with("proc/meminfo", memory(16 << 20)).detect();
    assert_eq!((got.board.name.as_str(), &got.how), ("generic-x86-64", &How::NoDeviceTree));
    // Only what all cores have.
    assert_eq!(got.features, [Feature::Avx2, Feature::Fma]);
    assert_eq!(got.cores, [Cores { kind: "unknown".to_owned(), count: 2, mhz: None }]);
    assert!(got.warnings.is_empty());
    assert_eq!(got.budget(), 8 << 30);
}

#[test]
fn nothing_readable_leaves_the_boards_facts() {
    let empty = Machine::new();
    let got = detect_as(empty.0.path(), "raspberry-pi-3b").unwrap();
    assert_eq!((got.memory, got.page, got.how), (got.board.managed(), 4096, How::Named));
    assert_eq!(got.cores, [Cores { kind: "cortex-a53".to_owned(), count: 4, mhz: Some(1400) }]);
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
    assert_eq!((got.board.name.as_str(), got.memory, got.limit), ("generic", 500 << 20, None));
}

#[test]
fn the_budget_stays_within_the_tightest_cgroup() {
    let machine = Machine::new()
        .with("proc/meminfo", memory(8 << 20))
        .with("proc/self/cgroup", "0::/system.slice/sprig.service\n")
        .with("sys/fs/cgroup/system.slice/memory.max", "314572800\n")
        .with("sys/fs/cgroup/system.slice/sprig.service/memory.max", "max\n");
    let got = machine.detect();
    assert_eq!((got.limit, got.at_hand(), got.budget()), (Some(300 << 20), 300 << 20, 300 << 20));

    let old = Machine::new()
        .with("proc/meminfo", memory(8 << 20))
        .with("proc/self/cgroup", "9:name=systemd:/\n4:cpu,memory:/sprig\n")
        .with("sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712")
        .with("sys/fs/cgroup/memory/sprig/memory.limit_in_bytes", "268435456");
    assert_eq!(old.detect().limit, Some(256 << 20));
}

#[test]
fn this_machine_is_described() {
    let got = detect(Path::new("/")).unwrap();
    assert!(got.cores[0].count > 0 && got.memory > 64 << 20 && got.page.is_power_of_two(), "{got:?}");
    let json = serde_json::to_value(&got).unwrap();
    assert_eq!(json["board"]["name"], got.board.name);
}

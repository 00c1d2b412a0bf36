//! Readers of what the kernel says, below a root folder. A file that is missing or strange gives `None`.

use crate::board::{Cores, Feature};
use sprig_ground::cgroup;
use sprig_ground::kernel::kib_value;
use std::fs::File;
use std::io::Read;
use std::path::Path;

/// All that is read of a machine.
#[derive(Debug, Default)]
pub(crate) struct Facts {
    /// The device tree's `model`.
    pub(crate) model: Option<String>,
    /// The entries of its `compatible`.
    pub(crate) compatible: Vec<String>,
    pub(crate) cpu: Cpu,
    /// `MemTotal`, in bytes: the memory less what the firmware and the kernel keep.
    pub(crate) memory: Option<u64>,
    /// The tightest memory limit of this process's cgroup and those above it, versions 1 and 2.
    pub(crate) limit: Option<u64>,
    /// Page size in bytes.
    pub(crate) page: Option<u64>,
    /// Release of Linux for Tegra.
    pub(crate) l4t: Option<String>,
    /// Whether control groups (version 2) are there, and none for memory.
    pub(crate) no_memory_groups: bool,
}

/// `/proc/cpuinfo`, as far as it matters here.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Cpu {
    /// Cores online.
    pub(crate) count: u32,
    /// Names of the cores whose part number is in our table, one for each core.
    pub(crate) kinds: Vec<&'static str>,
    /// Those that all cores have.
    pub(crate) features: Vec<Feature>,
    /// Whether it has a line that only ARM has.
    pub(crate) is_arm: bool,
    /// Or one that only x86 has.
    pub(crate) is_x86: bool,
    /// The revision code of a Raspberry Pi.
    pub(crate) revision: Option<Revision>,
}

/// What a Raspberry Pi's revision code says; "New-style revision codes" in its makers' documentation.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Revision {
    /// Type of the board.
    pub(crate) kind: u32,
    /// Memory, in MiB.
    pub(crate) mib: u64,
}

impl Cpu {
    /// The cores online by kind, in the order of their numbers.
    pub(crate) fn cores(&self) -> Vec<Cores> {
        let mut all: Vec<Cores> = Vec::new();
        for kind in &self.kinds {
            match all.iter_mut().find(|cores| cores.kind == *kind) {
                Some(cores) => cores.count += 1,
                None => all.push(Cores { kind: (*kind).to_owned(), count: 1, mhz: None }),
            }
        }
        let rest = self.count.saturating_sub(self.kinds.len() as u32);
        if rest > 0 {
            all.push(Cores { kind: "unknown".to_owned(), count: rest, mhz: None });
        }
        all
    }
}

/// Looks at the machine below `root`.
pub(crate) fn read(root: &Path) -> Facts {
    let (page, hwcaps) = auxv(root);
    let mut cpu = cpu(root);
    if let Some(hwcaps) = hwcaps.filter(|_| cpu.is_arm) {
        cpu.features.retain(|feature| feature.is_in(hwcaps));
    }
    let groups = text(root, "sys/fs/cgroup/cgroup.controllers");
    Facts {
        model: strings(root, "model").into_iter().next(),
        compatible: strings(root, "compatible"),
        cpu,
        memory: text(root, "proc/meminfo").and_then(|text| kib_value(&text, "MemTotal")),
        limit: cgroup::memory(root).limit,
        page,
        l4t: text(root, "etc/nv_tegra_release").and_then(|text| release(&text)),
        no_memory_groups: groups.is_some_and(|groups| !groups.split_whitespace().any(|g| g == "memory")),
    }
}

/// A list of strings of the device tree: each ends with a zero byte.
fn strings(root: &Path, property: &str) -> Vec<String> {
    let bytes = bytes(root, &Path::new("proc/device-tree").join(property)).unwrap_or_default();
    let strings = bytes.split(|byte| *byte == 0).filter(|s| !s.is_empty());
    strings.map(|s| String::from_utf8_lossy(s).into_owned()).collect()
}

/// Cores, kinds of core and vector instructions.
fn cpu(root: &Path) -> Cpu {
    let text = text(root, "proc/cpuinfo").unwrap_or_default();
    let (mut cpu, mut implementer) = (Cpu::default(), None);
    let mut shared: Option<Vec<Feature>> = None;
    for line in text.lines() {
        let Some((key, value)) = line.split_once(':') else { continue };
        let value = value.trim();
        match key.trim() {
            // 32-bit ARM also has a line `Processor` with the model: case matters.
            "processor" => cpu.count += 1,
            "Features" | "flags" => {
                cpu.is_x86 |= key.trim() == "flags";
                let mut here: Vec<_> = value.split(' ').filter_map(Feature::of_cpuinfo).collect();
                here.sort();
                here.dedup();
                match &mut shared {
                    Some(shared) => shared.retain(|feature| here.contains(feature)),
                    None => shared = Some(here),
                }
            }
            "CPU implementer" => {
                cpu.is_arm = true;
                implementer = Some(value.to_owned());
            }
            "CPU part" => cpu.kinds.extend(core_name(implementer.as_deref(), value)),
            "Revision" => cpu.revision = revision(value).or(cpu.revision),
            _ => {}
        }
    }
    cpu.features = shared.unwrap_or_default();
    cpu
}

/// A revision code of the new style: type in bits 4 to 11, memory (256 MiB, doubled) in bits 20 to 22, style in bit 23.
fn revision(code: &str) -> Option<Revision> {
    let code = u32::from_str_radix(code, 16).ok().filter(|code| code & 1 << 23 != 0)?;
    Some(Revision { kind: code >> 4 & 0xff, mib: 256 << (code >> 20 & 7) })
}

/// Part numbers are from the main ID register: ARM's technical reference manuals, and NVIDIA's for Denver and Carmel.
fn core_name(implementer: Option<&str>, part: &str) -> Option<&'static str> {
    Some(match (implementer?, part) {
        ("0x41", "0xd03") => "cortex-a53",
        ("0x41", "0xd05") => "cortex-a55",
        ("0x41", "0xd07") => "cortex-a57",
        ("0x41", "0xd08") => "cortex-a72",
        ("0x41", "0xd09") => "cortex-a73",
        ("0x41", "0xd0a") => "cortex-a75",
        ("0x41", "0xd0b") => "cortex-a76",
        ("0x41", "0xd0c") => "neoverse-n1",
        ("0x41", "0xd0d") => "cortex-a77",
        ("0x41", "0xd41") => "cortex-a78",
        ("0x41", "0xd42") => "cortex-a78ae",
        ("0x41", "0xd40") => "neoverse-v1",
        ("0x41", "0xd49") => "neoverse-n2",
        ("0x4e", "0x003") => "denver-2",
        ("0x4e", "0x004") => "carmel",
        _ => return None,
    })
}

/// Page size, and the words of capabilities, from the vector that the kernel hands each process: pairs of words, AT_PAGESZ
/// (6), AT_HWCAP (16) and AT_HWCAP2 (26) among them.
fn auxv(root: &Path) -> (Option<u64>, Option<[u64; 2]>) {
    const WORD: usize = size_of::<usize>();
    let bytes = bytes(root, Path::new("proc/self/auxv")).unwrap_or_default();
    let word = |bytes: &[u8]| bytes.try_into().map(usize::from_ne_bytes).ok();
    let pairs = bytes.chunks_exact(2 * WORD).map(|pair| Some((word(&pair[..WORD])?, word(&pair[WORD..])?)));
    let pairs: Vec<(usize, usize)> = pairs.flatten().collect();
    let of = |kind| pairs.iter().find(|(k, _)| *k == kind).map(|(_, value)| *value as u64);
    (of(6).filter(|page| page.is_power_of_two()), of(16).map(|first| [first, of(26).unwrap_or(0)]))
}

/// `35.4.1` of `# R35 (release), REVISION: 4.1, GCID: …`.
fn release(text: &str) -> Option<String> {
    let line = text.lines().next()?.strip_prefix("# R")?;
    let (major, rest) = line.split_once(' ')?;
    let minor = rest.split_once("REVISION: ")?.1.split(',').next()?;
    let sane = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    (sane(major) && sane(minor)).then(|| format!("{major}.{minor}"))
}

/// A file as text; what is no UTF-8 in it is replaced.
pub(crate) fn text(root: &Path, path: &str) -> Option<String> {
    Some(String::from_utf8_lossy(&bytes(root, Path::new(path))?).into_owned())
}

/// The longest honest file here is the `cpuinfo` of a machine with many cores, some 2 KiB a core.
pub(crate) fn bytes(root: &Path, path: &Path) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(root.join(path)).ok()?.take(1 << 20).read_to_end(&mut bytes).ok()?;
    Some(bytes)
}

//! Readers of what the kernel says, below a root folder. A file that is missing or strange gives `None`.

use crate::Feature;
use sprig_ground::cgroup;
use sprig_ground::kernel::kib_value;
use std::fs::File;
use std::io::Read;
use std::path::Path;

/// `/proc/cpuinfo`, as far as it matters here.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Cpu {
    pub cores: u32,
    /// Name of the core, `None` where the part number is not in our table.
    pub core: Option<&'static str>,
    pub features: Vec<Feature>,
}

/// One string of the device tree (`model`), without its closing zero byte.
pub(crate) fn device_tree_string(root: &Path, property: &str) -> Option<String> {
    device_tree_strings(root, property).into_iter().next()
}

/// A list of strings of the device tree (`compatible`): each ends with a zero byte.
pub(crate) fn device_tree_strings(root: &Path, property: &str) -> Vec<String> {
    let path = Path::new("proc/device-tree").join(property);
    let bytes = read(root, &path).unwrap_or_default();
    let strings = bytes.split(|byte| *byte == 0).filter(|s| !s.is_empty());
    strings.map(|s| String::from_utf8_lossy(s).into_owned()).collect()
}

/// Cores, kind of core and vector instructions; features are those all cores share.
pub(crate) fn cpu(root: &Path) -> Cpu {
    let text = read_text(root, "proc/cpuinfo").unwrap_or_default();
    let (mut cpu, mut implementer) = (Cpu::default(), None);
    let mut shared: Option<Vec<Feature>> = None;
    for line in text.lines() {
        let Some((key, value)) = line.split_once(':') else { continue };
        let value = value.trim();
        match key.trim() {
            // 32-bit ARM also has a line `Processor` with the model: case matters.
            "processor" => cpu.cores += 1,
            "Features" | "flags" => {
                let mut here: Vec<_> = value.split(' ').filter_map(Feature::of_cpuinfo).collect();
                here.sort();
                here.dedup();
                match &mut shared {
                    Some(shared) => shared.retain(|feature| here.contains(feature)),
                    None => shared = Some(here),
                }
            }
            "CPU implementer" => implementer = Some(value.to_owned()),
            "CPU part" => cpu.core = cpu.core.or(core_name(implementer.as_deref(), value)),
            _ => {}
        }
    }
    cpu.features = shared.unwrap_or_default();
    cpu
}

/// Part numbers are from the main ID register: ARM's technical reference manuals, and NVIDIA's for Carmel.
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

/// `MemTotal`, in bytes: the memory less what the firmware and the kernel keep.
pub(crate) fn memory(root: &Path) -> Option<u64> {
    kib_value(&read_text(root, "proc/meminfo")?, "MemTotal")
}

/// Page size, from the vector the kernel hands each process: pairs of words, `AT_PAGESZ` (6) among them.
pub(crate) fn page(root: &Path) -> Option<u64> {
    const WORD: usize = size_of::<usize>();
    let bytes = read(root, Path::new("proc/self/auxv"))?;
    let word = |bytes: &[u8]| bytes.try_into().map(usize::from_ne_bytes).ok();
    let pairs = bytes.chunks_exact(2 * WORD).map(|pair| Some((word(&pair[..WORD])?, word(&pair[WORD..])?)));
    let page = pairs.flatten().find(|(kind, _)| *kind == 6)?.1;
    page.is_power_of_two().then_some(page as u64)
}

/// The tightest memory limit of this process's cgroup and those above it, versions 1 and 2.
pub(crate) fn cgroup_limit(root: &Path) -> Option<u64> {
    cgroup::memory(root).limit
}

fn read_text(root: &Path, path: &str) -> Option<String> {
    Some(String::from_utf8_lossy(&read(root, Path::new(path))?).into_owned())
}

/// The longest honest file here is the `cpuinfo` of a machine with many cores, some 2 KiB a core.
fn read(root: &Path, path: &Path) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(root.join(path)).ok()?.take(1 << 20).read_to_end(&mut bytes).ok()?;
    Some(bytes)
}

//! Readers of what the kernel says in small text files. What is missing or odd is `None`, never a panic.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

/// Hands the text of a small file to `parse`, by way of the stack, since sampling memory must not itself allocate; an
/// empty text if the file cannot be read. A longer file is cut: the lines wanted stand within the first 8 KiB.
pub fn read_small<T>(path: &Path, parse: impl FnOnce(&str) -> T) -> T {
    let mut buffer = [0u8; 8192];
    let mut filled = 0;
    if let Ok(mut file) = File::open(path) {
        while filled < buffer.len() {
            match file.read(&mut buffer[filled..]) {
                Ok(0) => break,
                Ok(n) => filled += n,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => break,
            }
        }
    }
    let bytes = &buffer[..filled];
    // A name with odd bytes (`Name:` in status) costs what follows it, not a panic.
    let text = std::str::from_utf8(bytes)
        .unwrap_or_else(|e| std::str::from_utf8(&bytes[..e.valid_up_to()]).unwrap_or(""));
    parse(text)
}

/// The value of the first line `key: value`, as `/proc/PID/status`, `meminfo` and `cpuinfo` have them.
pub fn value<'t>(text: &'t str, key: &str) -> Option<&'t str> {
    let fields = text.lines().filter_map(|line| line.split_once(':'));
    fields.filter(|(name, _)| name.trim_end() == key).map(|(_, value)| value.trim()).next()
}

/// The value of a line `key:   123 kB`, in bytes; the kernel's kB are KiB.
pub fn kib_value(text: &str, key: &str) -> Option<u64> {
    let number: u64 = value(text, key)?.strip_suffix("kB")?.trim_end().parse().ok()?;
    number.checked_mul(1024)
}

/// Another process.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Process {
    /// Bytes resident now.
    pub resident: u64,
    /// The most that has been resident, bytes.
    pub peak: u64,
    /// Processor time so far, in user space and in the kernel.
    pub cpu_seconds: f64,
}

/// The process `pid`; `None` once it has ended, also while nobody has waited for it.
pub fn process(pid: u32) -> Option<Process> {
    let read = |name: &str| std::fs::read_to_string(format!("/proc/{pid}/{name}")).ok();
    let (status, stat) = (read("status")?, read("stat")?);
    Some(Process {
        resident: kib_value(&status, "VmRSS")?,
        peak: kib_value(&status, "VmHWM")?,
        cpu_seconds: cpu_seconds(&stat)?,
    })
}

/// User and system time of a `/proc/PID/stat`.
fn cpu_seconds(stat: &str) -> Option<f64> {
    // Fields after the name, which may hold anything, count from the third.
    let after = &stat[stat.rfind(')')? + 1..];
    let ticks = |n: usize| -> Option<u64> { after.split_whitespace().nth(n - 3)?.parse().ok() };
    // The kernel's unit for user space is 1/100 s on every Linux.
    Some((ticks(14)? + ticks(15)?) as f64 / 100.0)
}

/// This machine, for the head of a report.
#[derive(Clone, Debug, PartialEq)]
pub struct Machine {
    /// Name of the processor, or of the board where that is all there is.
    pub processor: Option<String>,
    /// Processors this process may use.
    pub cores: usize,
    /// Bytes of memory that the kernel manages.
    pub memory: Option<u64>,
    /// Name and release of the kernel.
    pub kernel: String,
    /// Processes that ran on average over the last minute.
    pub load: Option<f64>,
}

impl Machine {
    /// What the kernel says of it now.
    pub fn here() -> Self {
        let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
        let cpuinfo = read("/proc/cpuinfo");
        let processor = value(&cpuinfo, "model name").or_else(|| value(&cpuinfo, "Model"));
        Self {
            processor: processor.map(str::to_owned),
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            memory: kib_value(&read("/proc/meminfo"), "MemTotal"),
            kernel: format!("Linux {}", read("/proc/sys/kernel/osrelease").trim()),
            load: read("/proc/loadavg").split_whitespace().next().and_then(|load| load.parse().ok()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_found_by_their_whole_key() {
        let text =
            "processor\t: 0\nmodel name\t: A: B\nMemTotal:  440048 kB\nMem: 1 kB\nVmData:\t12 MB\nempty:\n";
        assert_eq!(value(text, "model name"), Some("A: B"));
        assert_eq!((value(text, "model"), value(text, "empty")), (None, Some("")));
        assert_eq!((kib_value(text, "MemTotal"), kib_value(text, "Mem")), (Some(440_048 << 10), Some(1024)));
        assert_eq!((kib_value(text, "VmData"), kib_value("a: 18446744073709551615 kB", "a")), (None, None));
    }

    #[test]
    fn a_file_that_is_not_there_is_an_empty_text() {
        assert!(read_small(Path::new("/proc/self/no-such-file"), str::is_empty));
        assert!(read_small(Path::new("/proc/self/status"), |text| text.contains("VmRSS:")));
    }

    #[test]
    fn a_name_with_brackets_does_not_shift_the_times() {
        let stat = "7 (a b) c) S 1 2 3 4 5 6 7 8 9 10 250 50 0 0 20 0 1 0 99\n";
        assert_eq!(cpu_seconds(stat), Some(3.0));
        assert_eq!((cpu_seconds("7 (a"), cpu_seconds("7 (a) S 1")), (None, None));
    }

    #[test]
    fn this_process_and_this_machine_are_there() {
        let own = process(std::process::id()).unwrap();
        assert!(own.resident > 100 << 10 && own.peak >= own.resident && own.cpu_seconds >= 0.0, "{own:?}");
        let here = Machine::here();
        assert!(
            here.cores > 0 && here.memory > Some(1 << 20) && here.kernel.len() > "Linux ".len(),
            "{here:?}"
        );
        let mut child = std::process::Command::new("true").spawn().unwrap();
        let pid = child.id();
        child.wait().unwrap();
        assert_eq!(process(pid), None);
    }
}

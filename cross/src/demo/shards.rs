//! Deals records to devices so that they differ: most of a label's records go to one device.

use anyhow::{Context, Result};
use serde_json::Value;
use sprig_ground::random::SplitMix64;
use std::fs;
use std::path::{Path, PathBuf};

/// Share of a label's records that its home device gets; the rest are spread over all devices.
const AT_HOME: f64 = 0.7;

/// Writes `device-1.jsonl` and so on into `out`. The same records and seed give the same files.
pub fn deal(records: &Path, labels: &[&str], devices: usize, seed: u64, out: &Path) -> Result<Vec<PathBuf>> {
    let text = fs::read_to_string(records).with_context(|| format!("cannot read {}", records.display()))?;
    let (mut shards, mut random) = (vec![String::new(); devices], SplitMix64::new(seed));
    for line in text.lines() {
        let record: Value = serde_json::from_str(line)?;
        let label = record["label"].as_str().context("a record without a label")?;
        let home = labels.iter().position(|l| *l == label).context("a label that was not announced")?;
        let stays = (random.draw() as f64 / u64::MAX as f64) < AT_HOME;
        let device = if stays { home % devices } else { random.below(devices) };
        shards[device] += line;
        shards[device].push('\n');
    }
    fs::create_dir_all(out).with_context(|| format!("cannot create {}", out.display()))?;
    let write = |(i, shard): (usize, String)| {
        let path = out.join(format!("device-{}.jsonl", i + 1));
        if shard.is_empty() {
            anyhow::bail!("no record for device {}; use fewer devices", i + 1);
        }
        fs::write(&path, shard).with_context(|| format!("cannot write {}", path.display()))?;
        Ok(path)
    };
    shards.into_iter().enumerate().map(write).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_record_is_dealt_once_and_devices_differ() {
        let folder = tempfile::tempdir().unwrap();
        let all = folder.path().join("all.jsonl");
        let lines: Vec<_> = (0..400)
            .map(|i| format!("{{\"text\": \"{i}\", \"label\": \"{}\"}}", ["a", "b"][i % 2]))
            .collect();
        fs::write(&all, lines.join("\n")).unwrap();
        let shards = deal(&all, &["a", "b"], 2, 1, folder.path()).unwrap();
        let mut found: Vec<String> = Vec::new();
        for (path, home) in shards.iter().zip(["\"a\"", "\"b\""]) {
            let text = fs::read_to_string(path).unwrap();
            let at_home = text.lines().filter(|l| l.contains(home)).count() as f64;
            let share = at_home / text.lines().count() as f64;
            assert!((0.75..0.95).contains(&share), "{share}");
            found.extend(text.lines().map(str::to_owned));
        }
        found.sort();
        let mut expected = lines;
        expected.sort();
        assert_eq!(found, expected);
    }
}

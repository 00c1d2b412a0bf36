//! A profile: the file of a board, or of a user's, with all sizes of its memory.

use crate::board::{Board, Cores, Feature, Signs, Storage};
use serde::Deserialize;

/// A file as it is written; `boards/README.md` says what each key means.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Profile {
    name: String,
    title: String,
    soc: Option<String>,
    cores: Vec<Cores>,
    features: Vec<Feature>,
    pages: Vec<u64>,
    bandwidth: Option<u64>,
    accelerator: Option<String>,
    #[serde(default)]
    storage: Vec<Storage>,
    throttles_at: Option<u32>,
    #[serde(default)]
    traps: Vec<String>,
    #[serde(default)]
    sources: Vec<String>,
    #[serde(default)]
    compatible: Vec<String>,
    #[serde(default)]
    chip: Vec<String>,
    #[serde(default)]
    model: Vec<String>,
    #[serde(default)]
    revision: Vec<u32>,
    memory: Vec<Memory>,
}

/// A size of memory.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Memory {
    mib: u64,
    managed_mib: u64,
    reserve_mib: u64,
    budget_share: f64,
    bandwidth: Option<u64>,
    #[serde(default)]
    module: Vec<String>,
}

/// The boards of the profile that `text` is: one for each size of memory.
///
/// # Errors
/// What is wrong with it, with the key and what may stand there.
pub(crate) fn parse(text: &str) -> Result<Vec<Board>, String> {
    let profile: Profile = toml::from_str(text).map_err(|e| e.to_string().trim_end().to_owned())?;
    profile.check()?;
    Ok(profile.memory.iter().map(|memory| profile.board(memory)).collect())
}

impl Profile {
    fn check(&self) -> Result<(), String> {
        let Profile { name, title, cores, memory, pages, throttles_at, .. } = self;
        let sane = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        // With the size behind it, a name is at most 64 bytes: a message on the wire holds no more.
        if name.is_empty() || name.len() > 56 || !name.bytes().all(sane) {
            return Err(format!("name = {name:?}: use 1 to 56 of a-z, 0-9 and -"));
        }
        if title.trim().is_empty() {
            return Err("title: say what its maker calls it".to_owned());
        }
        if cores.is_empty() || cores.iter().any(|cores| !(1..=1024).contains(&cores.count)) {
            return Err("cores: name at least one kind, and 1 to 1024 of each".to_owned());
        }
        if let Some(mhz) = cores.iter().filter_map(|cores| cores.mhz).find(|mhz| !(1..=100_000).contains(mhz))
        {
            return Err(format!("cores.mhz = {mhz}: use 1 to 100000, or leave it out"));
        }
        if let Some(page) = pages.iter().find(|page| !page.is_power_of_two() || **page < 4096) {
            return Err(format!("pages: {page}: use a power of two of 4096 and more"));
        }
        if let Some(celsius) = throttles_at.filter(|celsius| !(40..=125).contains(celsius)) {
            return Err(format!("throttles_at = {celsius}: use 40 to 125, degrees Celsius"));
        }
        if memory.is_empty() {
            return Err("memory: give at least one size as [[memory]]".to_owned());
        }
        for (at, one) in memory.iter().enumerate() {
            let Memory { mib, managed_mib, reserve_mib, budget_share, .. } = one;
            if !(64..=1 << 20).contains(mib) || memory[..at].iter().any(|other| other.mib == *mib) {
                return Err(format!("memory.mib = {mib}: use each size once, 64 to 1048576"));
            }
            if managed_mib > mib || *managed_mib == 0 {
                return Err(format!("memory.managed_mib = {managed_mib}: use 1 to its {mib} MiB"));
            }
            if reserve_mib >= managed_mib {
                return Err(format!(
                    "memory.reserve_mib = {reserve_mib}: use less than the {managed_mib} MiB"
                ));
            }
            if !(*budget_share > 0.0 && *budget_share <= 1.0) {
                return Err(format!("memory.budget_share = {budget_share}: use more than 0, up to 1"));
            }
        }
        Ok(())
    }

    fn board(&self, memory: &Memory) -> Board {
        let (several, mib) = (self.memory.len() > 1, memory.mib);
        let size = if mib % 1024 == 0 { format!("{} GB", mib / 1024) } else { format!("{mib} MB") };
        let of_size = |text: &str, between: &str, size: &str| {
            if several { format!("{text}{between}{size}") } else { text.to_owned() }
        };
        Board {
            name: of_size(&self.name, "-", &size.to_lowercase().replace(' ', "")),
            title: of_size(&self.title, ", ", &size),
            family: self.name.clone(),
            soc: self.soc.clone(),
            cores: self.cores.clone(),
            features: self.features.clone(),
            ram_mib: mib,
            managed_mib: memory.managed_mib,
            pages: self.pages.clone(),
            bandwidth: memory.bandwidth.or(self.bandwidth),
            accelerator: self.accelerator.clone(),
            storage: self.storage.clone(),
            reserve_mib: memory.reserve_mib,
            budget_share: memory.budget_share,
            throttles_at: self.throttles_at,
            traps: self.traps.clone(),
            sources: self.sources.clone(),
            signs: Signs {
                compatible: self.compatible.clone(),
                chip: self.chip.clone(),
                model: self.model.clone(),
                revision: self.revision.clone(),
                module: memory.module.clone(),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "name = \"shed\"\ntitle = \"The board in the shed\"\npages = [4096]\nfeatures = []\n\
                        cores = [{ kind = \"cortex-a55\", count = 4 }]\n";
    const MEMORY: &str =
        "[[memory]]\nmib = 2048\nmanaged_mib = 1900\nreserve_mib = 200\nbudget_share = 0.5\n";

    #[test]
    fn a_size_is_part_of_a_name_only_where_there_are_several() {
        let one = parse(&format!("{GOOD}{MEMORY}")).unwrap();
        assert_eq!((one[0].name.as_str(), one[0].title.as_str()), ("shed", "The board in the shed"));
        let two = parse(&format!("{GOOD}{MEMORY}{}", MEMORY.replace("2048", "1536").replace("1900", "1400")))
            .unwrap();
        let names: Vec<&str> = two.iter().map(|b| b.name.as_str()).collect();
        assert_eq!(
            (names, two[1].title.as_str()),
            (vec!["shed-2gb", "shed-1536mb"], "The board in the shed, 1536 MB")
        );
        assert!(two.iter().all(|board| board.family == "shed"));
    }

    #[test]
    fn what_is_wrong_is_named_with_its_remedy() {
        let cases = [
            (("\"shed\"", "\"Shed\""), "name = \"Shed\": use 1 to 56"),
            (("count = 4", "count = 0"), "cores: name"),
            (("count = 4", "count = 4, mhz = 0"), "cores.mhz = 0"),
            (("[4096]", "[4095]"), "pages: 4095: use a power of two"),
            (("]]\nmib = 2048", "]]\nmib = 20"), "memory.mib = 20: use each size once"),
            (("managed_mib = 1900", "managed_mib = 2049"), "managed_mib = 2049: use 1 to its 2048"),
            (("reserve_mib = 200", "reserve_mib = 1900"), "memory.reserve_mib = 1900: use less"),
            (("share = 0.5", "share = 0"), "budget_share = 0: use more than 0"),
            (("title = \"The board in the shed\"", "colour = \"green\""), "unknown field `colour`"),
            (("features = []", "features = [\"sse\"]"), "there is no vector feature \"sse\""),
            (("features = []", "features = []\nthrottles_at = 300"), "throttles_at = 300: use 40 to 125"),
            (("features = []", "features = []\nstorage = [\"tape\"]"), "tape"),
        ];
        for ((from, to), words) in cases {
            let text = format!("{GOOD}{MEMORY}");
            assert!(text.contains(from), "{from}");
            let error = parse(&text.replace(from, to)).unwrap_err();
            assert!(error.contains(words), "{error}");
        }
        assert!(parse(GOOD).unwrap_err().contains("memory"));
    }
}

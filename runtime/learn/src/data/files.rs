//! The files of data: one, several, or a folder of them.

use super::error::DataError;
use sprig_ground::PathError;
use std::path::{Path, PathBuf};

/// Files of a folder that are read, at most.
pub const MAX_FILES: usize = 4096;

/// Ends of names of tables: with commas, and with tabs.
const TABLES: [&str; 3] = [".csv", ".tsv", ".tab"];

/// The files that data at `path` are read from, one after another: `path` itself, or all files of a folder whose names end in
/// `.jsonl`, `.csv` or `.tsv`, packed (`.gz`) or not, in the order of their names. One that is `.json` may be anything there, the
/// record of a run too.
///
/// # Errors
/// The folder cannot be read, has no such file, or too many.
pub fn files(path: &Path) -> Result<Vec<PathBuf>, DataError> {
    if !path.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let failed = PathError::at("read", path);
    let mut files = Vec::new();
    for entry in std::fs::read_dir(path).map_err(&failed)? {
        let file = entry.map_err(&failed)?.path();
        let hidden = file.file_name().is_none_or(|name| name.as_encoded_bytes().starts_with(b"."));
        let is_data = unpacked(&file).ends_with(".jsonl") || is_table(&file);
        if is_data && !hidden && file.is_file() {
            files.push(file);
        }
        if files.len() > MAX_FILES {
            return Err(DataError::Folder { path: path.to_owned(), found: files.len(), limit: MAX_FILES });
        }
    }
    if files.is_empty() {
        return Err(DataError::Folder { path: path.to_owned(), found: 0, limit: MAX_FILES });
    }
    files.sort();
    Ok(files)
}

/// What a message about all of `paths` calls them.
pub(super) fn first<P: AsRef<Path>>(paths: &[P]) -> &Path {
    paths.first().map_or(Path::new(""), AsRef::as_ref)
}

/// Whether the file at `path` is a table, by its name.
pub fn is_table(path: &Path) -> bool {
    TABLES.iter().any(|table| unpacked(path).ends_with(table))
}

/// Whether tabs part the cells of a table, by its name, and quotes are text.
pub(super) fn is_tabbed(path: &Path) -> bool {
    TABLES[1..].iter().any(|table| unpacked(path).ends_with(table))
}

/// A file's name as it would be were it not packed.
fn unpacked(path: &Path) -> String {
    let name = path.file_name().unwrap_or_default().to_string_lossy().to_ascii_lowercase();
    name.strip_suffix(".gz").map_or(name.clone(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn a_folder_has_its_records_in_the_order_of_names() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        let none = files(dir.path()).unwrap_err().to_string();
        assert!(none.contains("no files in this folder") && none.contains(".jsonl"), "{none}");
        for name in ["b.jsonl", "a.CSV.gz", "c.json", ".d.jsonl", "notes", "f.tsv"] {
            fs::write(at(name), "").unwrap();
        }
        fs::create_dir(at("e.jsonl")).unwrap();
        assert_eq!(files(dir.path()).unwrap(), [at("a.CSV.gz"), at("b.jsonl"), at("f.tsv")]);
        // A file is itself, whatever its name; what is not there is for whoever opens it to say.
        assert_eq!(files(&at("c.json")).unwrap(), [at("c.json")]);
        assert_eq!(files(&at("nowhere")).unwrap(), [at("nowhere")]);
    }
}

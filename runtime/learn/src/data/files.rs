//! The files of data: one, or a folder of them.

use super::error::DataError;
use sprig_ground::PathError;
use std::path::{Path, PathBuf};

/// Files of a folder that are read, at most.
pub const MAX_FILES: usize = 4096;

/// The files that data at `path` are read from, one after another: `path` itself, or all files of a folder whose names end in
/// `.jsonl`, in the order of their names.
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
        if file.extension().is_some_and(|extension| extension == "jsonl") && !hidden && file.is_file() {
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
        for name in ["b.jsonl", "a.jsonl", "c.json", ".d.jsonl", "notes"] {
            fs::write(at(name), "").unwrap();
        }
        fs::create_dir(at("e.jsonl")).unwrap();
        assert_eq!(files(dir.path()).unwrap(), [at("a.jsonl"), at("b.jsonl")]);
        // A file is itself, whatever its name; what is not there is for whoever opens it to say.
        assert_eq!(files(&at("c.json")).unwrap(), [at("c.json")]);
        assert_eq!(files(&at("nowhere")).unwrap(), [at("nowhere")]);
    }
}

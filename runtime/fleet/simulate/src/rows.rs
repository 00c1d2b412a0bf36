//! What the last block makes of a data set's examples, on disk: the next study of the same data on the same model, with another
//! noise or other devices, reads it instead of passing over them once more.

use sprig_engine::kernels::Isa;
use sprig_ground::PathError;
use sprig_learn::session::LastRows;
use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// Bytes before the first row: a line that says whose they are, filled up.
const HEAD: usize = 256;
/// Most bytes of a file.
const MOST: u64 = 1 << 30;

/// What the rows are of.
pub(crate) struct Origin<'a> {
    /// SHA-256 of the model's file, hexadecimal.
    pub model: &'a str,
    /// SHA-256 of the examples.
    pub data: [u8; 32],
    pub isa: Isa,
    /// Examples, and numbers of each one's two rows.
    pub examples: usize,
    pub numbers: [usize; 2],
}

/// The rows of a data set, complete or as they are written.
pub(crate) struct KeptRows {
    file: File,
    path: PathBuf,
    /// Where they are written until they are complete; `None` of those that are.
    aside: Option<PathBuf>,
    missing: usize,
    numbers: [usize; 2],
}

impl KeptRows {
    /// Those at `path` that are of `of`, or room for them; `None` where that would be too much.
    ///
    /// # Errors
    /// A file cannot be made there.
    pub(crate) fn open(path: &Path, of: &Origin<'_>) -> Result<Option<Self>, PathError> {
        let (head, bytes) =
            (of.head(), HEAD as u64 + 4 * (of.examples * of.numbers.iter().sum::<usize>()) as u64);
        if bytes > MOST {
            return Ok(None);
        }
        let this = |file, aside, missing| {
            Some(Self { file, path: path.to_owned(), aside, missing, numbers: of.numbers })
        };
        if let Ok(file) = File::open(path) {
            let mut found = [0; HEAD];
            let whole = file.metadata().is_ok_and(|found| found.len() == bytes);
            if whole && file.read_exact_at(&mut found, 0).is_ok() && found == head {
                return Ok(this(file, None, 0));
            }
        }
        let aside = path.with_extension(format!("{}.new", std::process::id()));
        let failed = PathError::at("write", &aside);
        let file = File::options().read(true).write(true).create(true).truncate(true).open(&aside);
        let file = file.and_then(|file| file.write_all_at(&head, 0).map(|()| file)).map_err(failed)?;
        Ok(this(file, Some(aside), of.examples))
    }

    /// Whether all of them are there.
    pub(crate) fn are_complete(&self) -> bool {
        self.aside.is_none()
    }

    /// Reads the rows of the examples `ids`, of which all are there, one after another.
    pub(crate) fn read(&self, ids: &[usize], rows: &mut LastRows) -> Result<(), PathError> {
        let [gated, stream] = self.numbers;
        let parts = rows.gated.chunks_exact_mut(gated).zip(rows.stream.chunks_exact_mut(stream));
        let mut bytes = vec![0; 4 * (gated + stream)];
        for (&id, (gated, stream)) in ids.iter().zip(parts) {
            let read = self.file.read_exact_at(&mut bytes, self.place(id));
            read.map_err(PathError::at("read", &self.path))?;
            let numbers = bytes.as_chunks::<4>().0.iter().map(|number| f32::from_le_bytes(*number));
            gated.iter_mut().chain(stream).zip(numbers).for_each(|(to, number)| *to = number);
        }
        Ok(())
    }

    /// Writes those of the examples `ids`, none of which was written before.
    pub(crate) fn write(&mut self, ids: &[usize], rows: &LastRows) -> Result<(), PathError> {
        let [gated, stream] = self.numbers;
        let parts = rows.gated.chunks_exact(gated).zip(rows.stream.chunks_exact(stream));
        for (&id, (gated, stream)) in ids.iter().zip(parts) {
            let bytes: Vec<u8> = gated.iter().chain(stream).flat_map(|number| number.to_le_bytes()).collect();
            self.file.write_all_at(&bytes, self.place(id)).map_err(PathError::at("write", &self.path))?;
        }
        self.missing -= ids.len().min(self.missing);
        if self.missing == 0
            && let Some(aside) = self.aside.take()
        {
            let kept = self.file.sync_all().and_then(|()| fs::rename(&aside, &self.path));
            kept.map_err(PathError::at("write", &self.path))?;
        }
        Ok(())
    }

    fn place(&self, id: usize) -> u64 {
        HEAD as u64 + 4 * (id * self.numbers.iter().sum::<usize>()) as u64
    }
}

impl Drop for KeptRows {
    fn drop(&mut self) {
        // Some are missing: nobody reads them.
        self.aside.iter().for_each(|aside| drop(fs::remove_file(aside)));
    }
}

impl Origin<'_> {
    fn head(&self) -> [u8; HEAD] {
        let Self { model, data, isa, examples, numbers: [gated, stream] } = self;
        let data: String = data.iter().map(|byte| format!("{byte:02x}")).collect();
        let line = format!("sprig rows 1 {model} {data} {isa:?} {examples} {gated} {stream}\n");
        let mut head = [b' '; HEAD];
        let bytes = line.as_bytes();
        let len = bytes.len().min(HEAD);
        head[..len].copy_from_slice(&bytes[..len]);
        head
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn origin(model: &str) -> Origin<'_> {
        Origin { model, data: [7; 32], isa: Isa::Scalar, examples: 3, numbers: [4, 2] }
    }

    fn rows(examples: usize) -> LastRows {
        LastRows::of_sizes(examples, [4, 2])
    }

    #[test]
    fn rows_come_back_once_all_are_there_and_of_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("train.rows");
        let open = |model: &str| KeptRows::open(&path, &origin(model)).unwrap().unwrap();
        let mut two = rows(2);
        two.gated.iter_mut().enumerate().for_each(|(i, v)| *v = i as f32 - 0.3);
        two.stream.fill(9.5);
        let mut kept = open("a");
        kept.write(&[2, 0], &two).unwrap();
        // One is missing: they go with the study.
        drop(kept);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
        let mut kept = open("a");
        kept.write(&[2, 0], &two).unwrap();
        kept.write(&[1], &rows(1)).unwrap();
        assert!(kept.are_complete());
        let again = open("a");
        let mut found = rows(2);
        again.read(&[2, 0], &mut found).unwrap();
        assert!(again.are_complete() && found.gated == two.gated && found.stream == two.stream);
        assert!(!open("b").are_complete());
        fs::write(&path, "short").unwrap();
        assert!(!open("a").are_complete());
        let vast = Origin { examples: 1 << 30, ..origin("a") };
        assert!(KeptRows::open(&path, &vast).unwrap().is_none());
    }
}

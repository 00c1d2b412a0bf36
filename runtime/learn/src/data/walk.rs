//! All records of some files, one after another, those that are wrong too.

use super::error::DataError;
use super::files::files;
use super::options::LoadOptions;
use super::record::Record;
use super::room::Room;
use super::rows::Rows;
use std::path::Path;

/// Hands each record of the files at `paths` to `see`, with its file and its line, or what is wrong with it; goes on
/// while that says so.
///
/// # Errors
/// A file cannot be read any further, and what `see` returns.
pub(super) fn walk<P: AsRef<Path>>(
    paths: &[P],
    options: &LoadOptions,
    mut see: impl FnMut(&Path, u64, Result<Record, DataError>) -> Result<bool, DataError>,
) -> Result<(), DataError> {
    for path in paths {
        for file in files(path.as_ref())? {
            let room = Room { path: &file, limit: options.max_bytes };
            let mut rows = Rows::open(&file)?;
            while let Some((line, row)) = rows.next(room.line(rows.held())).map_err(|e| room.refuse(e))? {
                let record = Record::read(&row, options.task, options.columns.as_ref());
                let record = record.map(|(record, _)| record).map_err(|problem| problem.at(&file, line));
                if !see(&file, line, record)? {
                    return Ok(());
                }
            }
        }
    }
    Ok(())
}

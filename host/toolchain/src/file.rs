//! Files that appear whole.

use crate::error::Error;
use std::fs;
use std::path::Path;

/// Writes a file by renaming, because a running host may be watching its folder, which is made
/// when it is not there. A file that is already as it should be is not touched.
///
/// # Errors
/// [`Error::Write`].
pub fn write_whole(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    if fs::read(path).is_ok_and(|present| present == bytes) {
        return Ok(());
    }
    let failed = |source| Error::Write {
        path: path.to_owned(),
        source,
    };
    let folder = path.parent().unwrap_or(Path::new(""));
    fs::create_dir_all(folder).map_err(failed)?;
    // Hidden, of this process alone, and in the same folder, so that renaming is atomic.
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let partial = folder.join(format!(".{name}.{}", std::process::id()));
    let result = fs::write(&partial, bytes).and_then(|()| fs::rename(&partial, path));
    if result.is_err() {
        let _ = fs::remove_file(&partial);
    }
    result.map_err(failed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_but_the_file_is_left_and_the_same_is_not_written_again() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("new/plugin.wasm");
        write_whole(&path, b"one").unwrap();
        let first = fs::metadata(&path).unwrap().modified().unwrap();
        write_whole(&path, b"one").unwrap();
        assert_eq!(fs::metadata(&path).unwrap().modified().unwrap(), first);
        write_whole(&path, b"two").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"two");
        let names = fs::read_dir(dir.path().join("new")).unwrap();
        assert_eq!(names.count(), 1);
        let error = write_whole(&path.join("below"), b"").unwrap_err();
        assert!(error.to_string().contains("below"), "{error}");
    }
}

//! What a module archive is, by its first bytes (Z11).

use crate::answer::{excerpt, shown};
use crate::error::Error;
use crate::github::ModuleOrigin;
use opendepot_transfer::{Downloaded, Fetcher};
use std::io::Read as _;
use std::path::Path;

/// The container of a module archive.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ArchiveFormat {
    /// Zip.
    Zip,
    /// A tar in gzip.
    TarGz,
}

impl ArchiveFormat {
    /// The format that the first bytes tell; `None` for everything else, such as an HTML page
    /// or a JSON error that came with status 200.
    #[must_use]
    pub const fn of(start: &[u8]) -> Option<Self> {
        match start {
            [b'P', b'K', 3, 4, ..] | [b'P', b'K', 5, 6, ..] => Some(Self::Zip),
            [0x1f, 0x8b, 8, ..] => Some(Self::TarGz),
            _ => None,
        }
    }
}

/// Fetches a module archive to a temporary file in `directory` and checks that it is one.
/// `progress` gets the bytes so far and the announced size.
///
/// # Errors
/// [`Error::Fetch`], [`Error::NotAnArchive`], [`Error::Io`].
pub async fn fetch_module(
    fetcher: &Fetcher,
    origin: &ModuleOrigin,
    directory: &Path,
    max_bytes: u64,
    progress: &(dyn Fn(u64, Option<u64>) + Send + Sync),
) -> Result<Downloaded, Error> {
    let downloaded = fetcher
        .download(&origin.download, directory, max_bytes, progress)
        .await?;
    let url = shown(&downloaded.final_url);
    let task = tokio::task::spawn_blocking(move || {
        let mut start = Vec::with_capacity(64);
        downloaded
            .file
            .reopen()
            .and_then(|file| file.take(64).read_to_end(&mut start))
            .map_err(|error| Error::Io {
                path: "temporary file".to_owned(),
                reason: error.to_string(),
            })?;
        if ArchiveFormat::of(&start).is_none() {
            return Err(Error::NotAnArchive {
                url,
                start: excerpt(&String::from_utf8_lossy(&start)),
            });
        }
        Ok(downloaded)
    });
    task.await.unwrap_or(Err(Error::Task {
        attempt: "look at a downloaded archive",
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_and_errors_are_no_archives() {
        for start in [
            &b""[..],
            b"<!DOCTYPE html>",
            b"{\"message\":\"Not Found\"}",
            b"404: Not Found",
            b"PK",
            b"\x1f\x8b",
            b"BZh9",
            b"Rar!",
        ] {
            assert_eq!(ArchiveFormat::of(start), None, "{start:?}");
        }
        assert_eq!(ArchiveFormat::of(b"PK\x03\x04"), Some(ArchiveFormat::Zip));
        assert_eq!(
            ArchiveFormat::of(b"\x1f\x8b\x08\x00"),
            Some(ArchiveFormat::TarGz)
        );
    }
}

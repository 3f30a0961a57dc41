//! Inspection of provider packages. They are stored as they came; only a look is taken.

use crate::error::{Error, shown};
use crate::limits::{Cancel, Limits, Watch};
use crate::sniff::{Sniffed, sniffed};
use crate::zipfile::{Entry, EntryKind, ZipFile};
use opendepot_domain::{H1, ResourceName, Sha256};
use sha2::Digest as _;
use std::io::Write;
use std::path::Path;

const PREFIX: &str = "terraform-provider-";

/// What [`inspect_provider`] found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProviderInspection {
    /// The directory hash of the unpacked package. Folders do not count, as clients hash what
    /// they have unpacked.
    pub h1: H1,
    /// Size of all files together.
    pub unpacked_bytes: u64,
    /// Entries of the archive, folders included.
    pub entries: usize,
    /// Name of the file that clients start.
    pub executable: String,
}

/// Reads a provider package in one pass and verifies every size and checksum in it.
///
/// Exactly one file at its top must be what a client would start for a resource named
/// `provider_type`: `terraform-provider-{type}`, alone or followed by `_` or `.` and anything. A
/// name that differs from it in case alone is a second one.
/// Links, special mode bits and all that the crate's comment lists are refused.
///
/// # Errors
/// Any [`Error`] but those about modules.
pub fn inspect_provider(
    file: &Path,
    provider_type: &ResourceName,
    limits: &Limits,
    cancel: &Cancel,
) -> Result<ProviderInspection, Error> {
    let watch = Watch::start(limits, cancel);
    let archive = open(file, limits, &watch)?;
    let executable = executable(&archive, provider_type)?.name.clone();
    let mut files = Vec::new();
    let mut unpacked_bytes = 0_u64;
    for entry in &archive.entries {
        match entry.kind {
            EntryKind::Folder => continue,
            EntryKind::Link => {
                return Err(Error::unsupported(format!(
                    "a link in a provider package (`{}`)",
                    shown(entry.name.as_bytes())
                )));
            }
            EntryKind::File => {}
        }
        let bits = entry.mode & 0o7000;
        if bits != 0 {
            return Err(Error::SpecialMode {
                path: shown(entry.name.as_bytes()),
                bits,
            });
        }
        let mut hasher = sha2::Sha256::new();
        archive.copy(entry, &watch, &mut |chunk| {
            hasher.update(chunk);
            Ok(())
        })?;
        unpacked_bytes = unpacked_bytes.saturating_add(entry.unpacked_bytes);
        files.push((entry.name.as_str(), Sha256::finish(hasher)));
    }
    Ok(ProviderInspection {
        h1: H1::of_files(files),
        unpacked_bytes,
        entries: archive.entries.len(),
        executable,
    })
}

/// Writes the executable of a package to `output`, for a scanner to look at. Its size and
/// checksum are verified; the caller chooses the file's name. Returns its size.
///
/// # Errors
/// As [`inspect_provider`]; what was written before an error is of no use.
pub fn copy_executable(
    file: &Path,
    provider_type: &ResourceName,
    output: &mut impl Write,
    limits: &Limits,
    cancel: &Cancel,
) -> Result<u64, Error> {
    let watch = Watch::start(limits, cancel);
    let archive = open(file, limits, &watch)?;
    let entry = executable(&archive, provider_type)?;
    archive.copy(entry, &watch, &mut |chunk| {
        output
            .write_all(chunk)
            .map_err(Error::io("write the executable"))
    })?;
    output.flush().map_err(Error::io("write the executable"))?;
    Ok(entry.unpacked_bytes)
}

fn open(file: &Path, limits: &Limits, watch: &Watch) -> Result<ZipFile, Error> {
    match sniffed(file)? {
        Sniffed::Zip => ZipFile::open(file, limits, watch),
        Sniffed::Gzip | Sniffed::Tar => {
            Err(Error::unsupported("a provider package that is not a zip"))
        }
    }
}

fn executable<'a>(archive: &'a ZipFile, provider_type: &ResourceName) -> Result<&'a Entry, Error> {
    let ambiguous = |first: &Entry, second: &Entry| Error::AmbiguousExecutable {
        first: shown(first.name.as_bytes()),
        second: shown(second.name.as_bytes()),
    };
    let mut found: Option<&Entry> = None;
    let mut other = None;
    for entry in &archive.entries {
        let Some(name) = type_of(entry) else {
            continue;
        };
        if name != provider_type.as_str() {
            other = other.or_else(|| ResourceName::new(name).ok());
        } else if let Some(first) = found {
            return Err(ambiguous(first, entry));
        } else {
            found = Some(entry);
        }
    }
    let found = found.ok_or_else(|| Error::MissingExecutable {
        expected: format!("{PREFIX}{provider_type}"),
        found: other.map(String::from),
    })?;
    // Where case does not count, the last of them is what clients unpack.
    let folded = caseless(&found.name);
    let double = archive
        .entries
        .iter()
        .find(|entry| entry.name != found.name && caseless(&entry.name) == folded);
    match double {
        Some(double) => Err(ambiguous(found, double)),
        None => Ok(found),
    }
}

/// Both ways, so that characters with one upper or one lower form in common meet.
fn caseless(name: &str) -> String {
    name.to_uppercase().to_lowercase()
}

/// The provider type that a client reads from a file's name.
fn type_of(entry: &Entry) -> Option<&str> {
    if entry.kind == EntryKind::Folder || entry.name.contains('/') {
        return None;
    }
    let rest = entry.name.strip_prefix(PREFIX)?;
    rest.split(['_', '.']).next()
}

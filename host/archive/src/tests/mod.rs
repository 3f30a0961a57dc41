//! Hostile and ordinary archives, built byte by byte, through the public functions.

mod build;
mod limits;
mod module;
mod mutate;
mod provider;
mod tar;
mod zip;

use crate::{Cancel, Error, Format, Limits, ModuleInput, ModulePackage, Wrapper, package_module};
use std::io::{Read as _, Seek as _, Write as _};
use std::path::Path;
use tempfile::NamedTempFile;

/// Bytes as a file.
fn on_disk(bytes: &[u8]) -> NamedTempFile {
    let mut file = NamedTempFile::new().unwrap();
    file.write_all(bytes).unwrap();
    file
}

/// What a call of [`package_module`] gave: the package and its bytes.
type Packaged = Result<(ModulePackage, Vec<u8>), Error>;

fn package_with(
    input: &ModuleInput<'_>,
    subdirectory: Option<&str>,
    format: Format,
    limits: &Limits,
) -> Packaged {
    let scratch = tempfile::tempdir().unwrap();
    let mut output = tempfile::tempfile().unwrap();
    let result = package_module(
        input,
        subdirectory,
        format,
        &mut output,
        scratch.path(),
        limits,
        &Cancel::default(),
    );
    // Nothing of an archive may get a name on disk.
    assert_eq!(scratch.path().read_dir().unwrap().count(), 0);
    let package = result?;
    output.rewind().unwrap();
    let mut bytes = Vec::new();
    output.read_to_end(&mut bytes).unwrap();
    assert_eq!(package.size, bytes.len() as u64);
    assert_eq!(package.sha256, opendepot_domain::Sha256::of(&bytes));
    Ok((package, bytes))
}

fn package_bytes(bytes: &[u8], wrapper: Wrapper) -> Packaged {
    let file = on_disk(bytes);
    let input = ModuleInput::Archive {
        file: file.path(),
        wrapper,
    };
    package_with(&input, None, Format::Zip, &Limits::module())
}

fn package_folder(folder: &Path, subdirectory: Option<&str>, format: Format) -> Packaged {
    package_with(
        &ModuleInput::Folder(folder),
        subdirectory,
        format,
        &Limits::module(),
    )
}

/// Path, mode and content of every entry, as the zip crate reads them.
fn unzipped(bytes: &[u8]) -> Vec<(String, u32, Vec<u8>)> {
    let mut archive = ::zip::ZipArchive::new(std::io::Cursor::new(bytes)).unwrap();
    (0..archive.len())
        .map(|index| {
            let mut file = archive.by_index(index).unwrap();
            let mut content = Vec::new();
            file.read_to_end(&mut content).unwrap();
            let mode = file.unix_mode().unwrap();
            (file.name().unwrap().to_string(), mode, content)
        })
        .collect()
}

/// The same, as the tar crate reads them.
fn untarred(bytes: &[u8]) -> Vec<(String, u32, Vec<u8>)> {
    let mut archive = ::tar::Archive::new(flate2::read::GzDecoder::new(bytes));
    archive
        .entries()
        .unwrap()
        .map(|entry| {
            let mut entry = entry.unwrap();
            let path = entry.path().unwrap().to_str().unwrap().to_owned();
            let mode = entry.header().mode().unwrap();
            assert_eq!(entry.header().mtime().unwrap(), 0);
            assert_eq!(entry.header().uid().unwrap(), 0);
            let mut content = Vec::new();
            entry.read_to_end(&mut content).unwrap();
            (path, mode, content)
        })
        .collect()
}

//! Turns a core module into a component.

use crate::error::Error;
use std::fs::File;
use std::io::Read;
use std::path::Path;
use wit_component::{ComponentEncoder, decode};

/// The largest core module that is read, in bytes.
pub const MAX_MODULE_BYTES: u64 = 64 << 20;

/// What every import of a plugin begins with.
const OURS: &str = "opendepot:";

/// Reads the core module at `core_wasm` and returns the component that it describes itself to be.
///
/// # Errors
/// [`Error::Read`], [`Error::TooLarge`], [`Error::Encode`] when the module describes no component
/// or imports what its description lacks, [`Error::ForeignImport`] when it imports what no world
/// offers.
pub fn componentize(core_wasm: &Path) -> Result<Vec<u8>, Error> {
    let module = read(core_wasm)?;
    let refuse = |reason: String| Error::Encode {
        path: core_wasm.to_owned(),
        reason,
    };
    let component = ComponentEncoder::default()
        .module(&module)
        .and_then(|encoder| encoder.validate(true).encode())
        .map_err(|error| refuse(format!("{error:#}")))?;
    check(core_wasm, &component)?;
    Ok(component)
}

/// Reads the component at `path`, which another tool made, when it exports something and imports
/// nothing that no world offers.
///
/// # Errors
/// [`Error::Read`], [`Error::TooLarge`], [`Error::Encode`] when it is no component or exports
/// nothing, [`Error::ForeignImport`].
pub(crate) fn read_component(path: &Path) -> Result<Vec<u8>, Error> {
    let component = read(path)?;
    check(path, &component)?;
    Ok(component)
}

fn check(path: &Path, component: &[u8]) -> Result<(), Error> {
    let refuse = |reason: String| Error::Encode {
        path: path.to_owned(),
        reason,
    };
    let decoded = decode(component).map_err(|error| refuse(format!("{error:#}")))?;
    let resolve = decoded.resolve();
    // What a crate that never registers a plugin gives.
    if resolve
        .worlds
        .iter()
        .all(|(_, world)| world.exports.is_empty())
    {
        return Err(refuse("it exports nothing".to_owned()));
    }
    let foreign = resolve
        .worlds
        .iter()
        .flat_map(|(_, world)| world.imports.keys())
        .map(|key| resolve.name_world_key(key))
        .find(|name| !name.starts_with(OURS));
    match foreign {
        Some(import) => Err(Error::ForeignImport {
            path: path.to_owned(),
            import,
        }),
        None => Ok(()),
    }
}

fn read(path: &Path) -> Result<Vec<u8>, Error> {
    let failed = |source| Error::Read {
        path: path.to_owned(),
        source,
    };
    let mut bytes = Vec::new();
    File::open(path)
        .map_err(failed)?
        .take(MAX_MODULE_BYTES + 1)
        .read_to_end(&mut bytes)
        .map_err(failed)?;
    if bytes.len() as u64 > MAX_MODULE_BYTES {
        return Err(Error::TooLarge {
            path: path.to_owned(),
            limit: MAX_MODULE_BYTES,
        });
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests;

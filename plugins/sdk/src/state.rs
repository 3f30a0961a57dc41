//! An auth plugin's prepared state as bytes.

use crate::auth::Error;
use serde::{Deserialize, Serialize};

/// Writes `value` behind `version`, which must change with the value's form.
///
/// # Errors
/// [`Error::Other`] when the value cannot be written.
pub fn write<T: Serialize>(version: u8, value: &T) -> Result<Vec<u8>, Error> {
    postcard::to_allocvec(&(version, value))
        .map_err(|error| Error::Other(format!("cannot write the state: {error}")))
}

/// Reads what [`write()`] wrote, borrowing its texts.
///
/// # Errors
/// [`Error::Other`] for a state of another version, cut short, or with something behind it: it is
/// refused, never guessed at.
pub fn read<'a, T: Deserialize<'a>>(version: u8, bytes: &'a [u8]) -> Result<T, Error> {
    let refuse = || Error::Other("the state is not one that this plugin prepared".to_owned());
    let ((found, value), rest): ((u8, T), _) =
        postcard::take_from_bytes(bytes).map_err(|_| refuse())?;
    if found == version && rest.is_empty() {
        Ok(value)
    } else {
        Err(refuse())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_same_version_whole_is_read() {
        let bytes = write(1, &vec!["a", "b"]).unwrap();
        assert_eq!(read::<Vec<&str>>(1, &bytes).unwrap(), ["a", "b"]);
        let longer = [bytes.as_slice(), &[0]].concat();
        for (name, version, bytes) in [
            ("other version", 2, bytes.as_slice()),
            ("longer", 1, &longer),
            ("shorter", 1, &bytes[..bytes.len() - 1]),
            ("empty", 1, &[]),
            ("huge length", 1, &[1, 0xff, 0xff, 0xff, 0xff, 0x0f]),
        ] {
            let result = read::<Vec<&str>>(version, bytes);
            assert!(matches!(result, Err(Error::Other(_))), "{name}");
        }
    }
}

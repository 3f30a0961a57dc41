//! Records of a pax header: `LENGTH KEY=VALUE\n`.

use crate::error::Error;
use std::collections::HashSet;

/// The records that matter here.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Records {
    pub(super) path: Option<Vec<u8>>,
    pub(super) link: Option<Vec<u8>>,
    pub(super) size: Option<u64>,
    pub(super) comment: Option<Vec<u8>>,
}

impl Records {
    /// Parses all records. Times, owners, xattrs and vendors' own keys say nothing that we keep;
    /// sparse files and other character sets are refused.
    pub(super) fn parse(mut data: &[u8]) -> Result<Self, Error> {
        let mut records = Self::default();
        let mut keys = HashSet::new();
        while !data.is_empty() {
            let (key, value, rest) = record(data)
                .ok_or_else(|| Error::corrupt("a record of an extended header is damaged"))?;
            data = rest;
            if !keys.insert(key) {
                return Err(Error::corrupt("an extended header has a key twice"));
            }
            match key {
                b"path" => records.path = Some(filled(value)?),
                b"linkpath" => records.link = Some(filled(value)?),
                b"size" => records.size = Some(decimal(value)?),
                b"comment" => records.comment = Some(value.to_vec()),
                b"hdrcharset" if value != b"ISO-IR 10646 2000 UTF-8" => {
                    return Err(Error::unsupported("a tar in another character set"));
                }
                _ if key.starts_with(b"GNU.sparse.") => {
                    return Err(Error::unsupported("a sparse file"));
                }
                _ if key.starts_with(b"GNU.volume.") => {
                    return Err(Error::unsupported("an archive of several volumes"));
                }
                _ => {}
            }
        }
        Ok(records)
    }
}

/// The first record and what follows it.
fn record(data: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let space = data.iter().position(|byte| *byte == b' ')?;
    let length = usize::try_from(decimal(data.get(..space)?).ok()?).ok()?;
    let (record, rest) = data.split_at_checked(length)?;
    let pair = record.get(space + 1..)?.strip_suffix(b"\n")?;
    let equals = pair.iter().position(|byte| *byte == b'=')?;
    let (key, value) = (pair.get(..equals)?, pair.get(equals + 1..)?);
    (!key.is_empty()).then_some((key, value, rest))
}

/// An empty value deletes an earlier one to some parsers.
fn filled(value: &[u8]) -> Result<Vec<u8>, Error> {
    if value.is_empty() {
        return Err(Error::corrupt("an extended header has an empty name"));
    }
    Ok(value.to_vec())
}

fn decimal(digits: &[u8]) -> Result<u64, Error> {
    let refuse = || Error::corrupt("a number of an extended header is damaged");
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return Err(refuse());
    }
    std::str::from_utf8(digits)
        .ok()
        .and_then(|digits| digits.parse().ok())
        .ok_or_else(refuse)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_read_in_full_or_refused() {
        let good = Records::parse(b"10 path=a\n10 size=7\n13 mtime=1.5\n").unwrap();
        assert_eq!(good.path.as_deref(), Some(&b"a"[..]));
        assert_eq!(good.size, Some(7));
        for (case, data) in [
            ("key twice", &b"10 path=a\n10 path=b\n"[..]),
            ("length too short", b"8 path=a\n"),
            ("length too long", b"11 path=a\n"),
            ("length beyond the data", b"99 path=a\n"),
            ("length zero", b"0 path=a\n"),
            ("length negative", b"-1 path=a\n"),
            ("length overflows", b"99999999999999999999999 path=a\n"),
            ("no equals sign", b"9 path-a\n"),
            ("no key", b"6 =ab\n"),
            ("empty path", b"8 path=\n"),
            ("size with sign", b"11 size=+7\n"),
            ("sparse", b"22 GNU.sparse.major=1\n"),
            ("another character set", b"21 hdrcharset=BINARY\n"),
            ("zeros behind", b"10 path=a\n\0"),
        ] {
            assert!(Records::parse(data).is_err(), "{case}");
        }
    }
}

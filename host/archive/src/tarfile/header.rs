//! One header block.

use crate::error::Error;
use std::ops::Range;

pub(super) const BLOCK_BYTES: usize = 512;

const NAME: Range<usize> = 0..100;
const MODE: Range<usize> = 100..108;
const SIZE: Range<usize> = 124..136;
const CHECKSUM: Range<usize> = 148..156;
const FLAG: usize = 156;
const LINK: Range<usize> = 157..257;
const MAGIC: Range<usize> = 257..265;
const PREFIX: Range<usize> = 345..500;

const USTAR: &[u8] = b"ustar\x0000";
const GNU: &[u8] = b"ustar  \0";

/// The fields that matter; owner and times do not.
#[derive(Debug)]
pub(super) struct Header {
    pub(super) name: Vec<u8>,
    pub(super) link: Vec<u8>,
    pub(super) mode: u32,
    pub(super) size: u64,
    pub(super) flag: u8,
}

impl Header {
    pub(super) fn parse(block: &[u8; BLOCK_BYTES]) -> Result<Self, Error> {
        let field = |range: Range<usize>| block.get(range).unwrap_or_default();
        let expected = octal(field(CHECKSUM))?;
        let sum = block
            .iter()
            .enumerate()
            .map(|(at, byte)| {
                if CHECKSUM.contains(&at) {
                    u64::from(b' ')
                } else {
                    u64::from(*byte)
                }
            })
            .sum();
        if expected != sum {
            return Err(Error::corrupt("a tar header does not match its checksum"));
        }
        let mut name = text(field(NAME)).to_vec();
        let prefix = text(field(PREFIX));
        match field(MAGIC) {
            USTAR if !prefix.is_empty() => {
                name = [prefix, b"/", &name].concat();
            }
            USTAR => {}
            // GNU keeps times and sparse maps here. Some parsers take text for a prefix.
            GNU if field(PREFIX)
                .iter()
                .all(|byte| matches!(byte, 0 | b' ' | b'0'..=b'7')) => {}
            GNU => return Err(Error::corrupt("a GNU tar header has a ustar prefix")),
            _ => return Err(Error::unsupported("a tar that is neither ustar nor GNU")),
        }
        Ok(Self {
            name,
            link: text(field(LINK)).to_vec(),
            mode: u32::try_from(octal(field(MODE))? & 0o7777).unwrap_or(0),
            size: octal(field(SIZE))?,
            flag: block.get(FLAG).copied().unwrap_or(0),
        })
    }
}

/// The bytes up to the first NUL.
fn text(field: &[u8]) -> &[u8] {
    field.split(|byte| *byte == 0).next().unwrap_or_default()
}

/// Octal digits between spaces, then NULs or spaces. Base 256, which only sizes from 8 GiB
/// need, is refused.
fn octal(field: &[u8]) -> Result<u64, Error> {
    let refuse = || Error::corrupt("a number in a tar header is damaged");
    let digits = field.trim_ascii_start();
    let end = digits
        .iter()
        .position(|byte| matches!(byte, 0 | b' '))
        .unwrap_or(digits.len());
    let (digits, rest) = digits.split_at_checked(end).ok_or_else(refuse)?;
    if rest.iter().any(|byte| !matches!(byte, 0 | b' ')) {
        return Err(refuse());
    }
    digits.iter().try_fold(0_u64, |value, byte| match byte {
        b'0'..=b'7' => value
            .checked_mul(8)
            .and_then(|value| value.checked_add(u64::from(byte - b'0')))
            .ok_or_else(refuse),
        _ => Err(refuse()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_octal_and_nothing_else() {
        for (field, value) in [
            (&b"0000644\0"[..], Some(0o644)),
            (b"   644 \0", Some(0o644)),
            (b"77777777777\0", Some(0o77_777_777_777)),
            (b"\0\0\0\0", Some(0)),
            (b"0000648\0", None),
            (b"-000644\0", None),
            (b"64\x004\0\0\0\0", None),
            (b"\x80\0\0\0\0\0\0\x01", None),
            (b"7777777777777777777777777", None),
        ] {
            assert_eq!(octal(field).ok(), value, "{field:?}");
        }
    }
}

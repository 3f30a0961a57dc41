//! Little-endian numbers out of byte slices.

use crate::error::Error;

fn array<const N: usize>(bytes: &[u8], at: usize) -> Result<[u8; N], Error> {
    at.checked_add(N)
        .and_then(|end| bytes.get(at..end))
        .and_then(|slice| slice.try_into().ok())
        .ok_or_else(|| Error::corrupt("a record of the zip is cut short"))
}

pub(super) fn u16_at(bytes: &[u8], at: usize) -> Result<u16, Error> {
    array(bytes, at).map(u16::from_le_bytes)
}

pub(super) fn u32_at(bytes: &[u8], at: usize) -> Result<u32, Error> {
    array(bytes, at).map(u32::from_le_bytes)
}

pub(super) fn u64_at(bytes: &[u8], at: usize) -> Result<u64, Error> {
    array(bytes, at).map(u64::from_le_bytes)
}

/// The extra fields of a header: identifier and data.
pub(super) fn extra_fields(mut bytes: &[u8]) -> Result<Vec<(u16, &[u8])>, Error> {
    let mut fields = Vec::new();
    while !bytes.is_empty() {
        let (id, length) = (u16_at(bytes, 0)?, usize::from(u16_at(bytes, 2)?));
        let data = bytes
            .get(4..)
            .and_then(|rest| rest.split_at_checked(length));
        let Some((data, rest)) = data else {
            return Err(Error::corrupt("an extra field of the zip is cut short"));
        };
        fields.push((id, data));
        bytes = rest;
    }
    Ok(fields)
}

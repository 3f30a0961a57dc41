//! Archives written field by field, so that any field can be wrong.

use flate2::Compression;
use flate2::write::{DeflateEncoder, GzEncoder};
use std::io::Write as _;

pub(super) fn crc(bytes: &[u8]) -> u32 {
    let mut crc = flate2::Crc::new();
    crc.update(bytes);
    crc.sum()
}

pub(super) fn deflate(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = DeflateEncoder::new(Vec::new(), Compression::new(6));
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

pub(super) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::new(6));
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// One entry of a zip.
#[derive(Clone)]
pub(super) struct Spec {
    pub(super) name: Vec<u8>,
    pub(super) packed: Vec<u8>,
    pub(super) unpacked_bytes: u32,
    pub(super) crc: u32,
    pub(super) method: u16,
    pub(super) flags: u16,
    pub(super) system: u8,
    pub(super) mode: u32,
    pub(super) extra: Vec<u8>,
    /// Replaces the descriptor's bytes; `None` writes none.
    pub(super) descriptor: Option<Vec<u8>>,
}

impl Spec {
    pub(super) fn new(name: &str, content: &[u8]) -> Self {
        Self {
            name: name.as_bytes().to_vec(),
            packed: deflate(content),
            unpacked_bytes: content.len() as u32,
            crc: crc(content),
            method: 8,
            flags: 0,
            system: 3,
            mode: 0o100_644,
            extra: Vec::new(),
            descriptor: None,
        }
    }

    pub(super) fn stored(name: &str, content: &[u8]) -> Self {
        Self {
            packed: content.to_vec(),
            method: 0,
            ..Self::new(name, content)
        }
    }

    pub(super) fn folder(name: &str) -> Self {
        Self::stored(name, b"").mode(0o040_755)
    }

    pub(super) fn link(name: &str, target: &str) -> Self {
        Self::stored(name, target.as_bytes()).mode(0o120_777)
    }

    pub(super) fn mode(self, mode: u32) -> Self {
        Self { mode, ..self }
    }

    /// Sizes behind the data, as streaming writers put them there.
    pub(super) fn descriptor(self, is_signed: bool, is_wide: bool) -> Self {
        let mut bytes = Vec::new();
        if is_signed {
            bytes.extend(b"PK\x07\x08");
        }
        bytes.extend(self.crc.to_le_bytes());
        for size in [self.packed.len() as u32, self.unpacked_bytes] {
            bytes.extend(size.to_le_bytes());
            if is_wide {
                bytes.extend([0; 4]);
            }
        }
        Self {
            flags: self.flags | 8,
            descriptor: Some(bytes),
            ..self
        }
    }
}

/// A zip and where its records are.
#[derive(Clone)]
pub(super) struct Zip {
    pub(super) bytes: Vec<u8>,
    pub(super) locals: Vec<usize>,
    pub(super) centrals: Vec<usize>,
    pub(super) end: usize,
}

impl Zip {
    pub(super) fn set16(mut self, at: usize, value: u16) -> Self {
        self.bytes[at..at + 2].copy_from_slice(&value.to_le_bytes());
        self
    }

    pub(super) fn set32(mut self, at: usize, value: u32) -> Self {
        self.bytes[at..at + 4].copy_from_slice(&value.to_le_bytes());
        self
    }

    pub(super) fn get32(&self, at: usize) -> u32 {
        u32::from_le_bytes(self.bytes[at..at + 4].try_into().unwrap())
    }
}

pub(super) fn zip(entries: &[Spec]) -> Zip {
    zip_with(entries, b"", b"")
}

/// `gap` goes between the last entry and the central directory.
pub(super) fn zip_with(entries: &[Spec], gap: &[u8], comment: &[u8]) -> Zip {
    let mut bytes = Vec::new();
    let mut locals = Vec::new();
    for spec in entries {
        locals.push(bytes.len());
        let is_late = spec.descriptor.is_some();
        bytes.extend(b"PK\x03\x04");
        bytes.extend(20_u16.to_le_bytes());
        bytes.extend(spec.flags.to_le_bytes());
        bytes.extend(spec.method.to_le_bytes());
        bytes.extend([0; 4]);
        for value in [spec.crc, spec.packed.len() as u32, spec.unpacked_bytes] {
            bytes.extend(if is_late { 0 } else { value }.to_le_bytes());
        }
        bytes.extend((spec.name.len() as u16).to_le_bytes());
        bytes.extend((spec.extra.len() as u16).to_le_bytes());
        bytes.extend(&spec.name);
        bytes.extend(&spec.extra);
        bytes.extend(&spec.packed);
        bytes.extend(spec.descriptor.iter().flatten());
    }
    bytes.extend(gap);
    let directory_at = bytes.len();
    let mut centrals = Vec::new();
    for (spec, local) in entries.iter().zip(&locals) {
        centrals.push(bytes.len());
        bytes.extend(b"PK\x01\x02");
        bytes.extend([20, spec.system]);
        bytes.extend(20_u16.to_le_bytes());
        bytes.extend(spec.flags.to_le_bytes());
        bytes.extend(spec.method.to_le_bytes());
        bytes.extend([0; 4]);
        for value in [spec.crc, spec.packed.len() as u32, spec.unpacked_bytes] {
            bytes.extend(value.to_le_bytes());
        }
        bytes.extend((spec.name.len() as u16).to_le_bytes());
        bytes.extend((spec.extra.len() as u16).to_le_bytes());
        bytes.extend([0; 6]);
        bytes.extend((spec.mode << 16).to_le_bytes());
        bytes.extend((*local as u32).to_le_bytes());
        bytes.extend(&spec.name);
        bytes.extend(&spec.extra);
    }
    let end = bytes.len();
    bytes.extend(b"PK\x05\x06\0\0\0\0");
    bytes.extend((entries.len() as u16).to_le_bytes());
    bytes.extend((entries.len() as u16).to_le_bytes());
    bytes.extend(((end - directory_at) as u32).to_le_bytes());
    bytes.extend((directory_at as u32).to_le_bytes());
    bytes.extend((comment.len() as u16).to_le_bytes());
    bytes.extend(comment);
    Zip {
        bytes,
        locals,
        centrals,
        end,
    }
}

/// One header of a tar, with its checksum.
pub(super) fn header(name: &[u8], flag: u8, mode: u32, size: u64) -> [u8; 512] {
    let mut block = [0; 512];
    block[..name.len()].copy_from_slice(name);
    block[100..108].copy_from_slice(format!("{mode:07o}\0").as_bytes());
    block[108..116].copy_from_slice(b"0001750\0");
    block[116..124].copy_from_slice(b"0001750\0");
    block[124..136].copy_from_slice(format!("{size:011o}\0").as_bytes());
    block[136..148].copy_from_slice(b"14000000000\0");
    block[156] = flag;
    block[257..265].copy_from_slice(b"ustar\x0000");
    sealed(block)
}

/// Sets the checksum.
pub(super) fn sealed(mut block: [u8; 512]) -> [u8; 512] {
    block[148..156].fill(b' ');
    let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
    block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    block
}

/// A header and its content, padded.
pub(super) fn member(name: &str, flag: u8, mode: u32, content: &[u8]) -> Vec<u8> {
    let mut bytes = header(name.as_bytes(), flag, mode, content.len() as u64).to_vec();
    bytes.extend(padded(content));
    bytes
}

pub(super) fn padded(content: &[u8]) -> Vec<u8> {
    let mut bytes = content.to_vec();
    bytes.resize(content.len().next_multiple_of(512), 0);
    bytes
}

pub(super) fn file(name: &str, content: &[u8]) -> Vec<u8> {
    member(name, b'0', 0o664, content)
}

pub(super) fn symlink(name: &str, target: &str) -> Vec<u8> {
    let mut block = header(name.as_bytes(), b'2', 0o777, 0);
    block[157..157 + target.len()].copy_from_slice(target.as_bytes());
    sealed(block).to_vec()
}

/// A pax header of the given kind (`x` or `g`).
pub(super) fn pax(flag: u8, records: &[(&str, &str)]) -> Vec<u8> {
    let mut data = String::new();
    for (key, value) in records {
        let rest = format!(" {key}={value}\n");
        let mut length = rest.len() + 1;
        while format!("{length}{rest}").len() != length {
            length += 1;
        }
        data.push_str(&format!("{length}{rest}"));
    }
    member("pax_header", flag, 0o644, data.as_bytes())
}

/// Members and the end of a tar.
pub(super) fn tar(members: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = members.concat();
    bytes.extend([0; 1024]);
    bytes
}

//! From bytes to packets: armor, framing and the limits on both.

use crate::error::Error;
use crate::{MAX_KEY_BYTES, MAX_PACKETS};
use pgp::armor::{BlockType, Dearmor, DearmorOptions};
use pgp::composed::PacketBodyReader;
use pgp::packet::{Packet, PacketHeader};
use std::io::{BufReader, Read as _};
use zeroize::Zeroizing;

/// How much disorder is tolerated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reading {
    /// Keys that we hand to clients or sign with: every byte must be understood.
    Strict,
    /// Keys and signatures of others: what clients skip is skipped.
    AsClients,
}

/// One packet, or the mark of one that was skipped.
#[derive(Debug)]
pub(crate) enum Item {
    /// A packet that the library reads.
    Packet(Box<Packet>),
    /// One that it does not: whatever refers to it must not be attached to its neighbour.
    Skipped,
}

/// Reads a key file, armored or binary.
pub(crate) fn read_key(
    what: &'static str,
    input: &[u8],
    reading: Reading,
) -> Result<Vec<Item>, Error> {
    if input.len() > MAX_KEY_BYTES {
        return Err(Error::TooLarge {
            what,
            limit: MAX_KEY_BYTES,
            unit: "bytes",
        });
    }
    // A byte order mark is a mistake in a text.
    let binary = input.first().is_some_and(|byte| byte & 0x80 != 0)
        && !input.starts_with("\u{feff}".as_bytes());
    if binary {
        read_packets(what, input, reading)
    } else {
        read_packets(what, &dearmor(what, input, reading)?, reading)
    }
}

/// Splits binary data into packets.
pub(crate) fn read_packets(
    what: &'static str,
    mut input: &[u8],
    reading: Reading,
) -> Result<Vec<Item>, Error> {
    let mut items = Vec::new();
    while !input.is_empty() {
        if items.len() == MAX_PACKETS {
            return Err(Error::TooLarge {
                what,
                limit: MAX_PACKETS,
                unit: "packets",
            });
        }
        let header =
            PacketHeader::try_from_reader(&mut input).map_err(|e| Error::malformed(what, e))?;
        let mut body = PacketBodyReader::new(header, &mut input)
            .map_err(|error| Error::malformed(what, error))?;
        match Packet::from_reader(header, &mut body) {
            Ok(packet) => items.push(Item::Packet(Box::new(packet))),
            Err(error) if reading == Reading::Strict || !is_skippable(&error) => {
                return Err(Error::malformed(what, innermost(&error)));
            }
            Err(_) => items.push(Item::Skipped),
        }
    }
    if items.is_empty() {
        return Err(Error::malformed(what, "it is empty"));
    }
    Ok(items)
}

/// Whether clients go on after a packet that fails this way: unknown numbers and versions.
fn is_skippable(error: &pgp::errors::Error) -> bool {
    use pgp::errors::Error as Pgp;
    match error {
        Pgp::Unsupported { .. } => true,
        Pgp::InvalidPacketContent { source } => {
            matches!(
                **source,
                Pgp::Unsupported { .. } | Pgp::EllipticCurve { .. }
            )
        }
        _ => false,
    }
}

/// The error that says what is wrong: the library shows one that it wraps in Rust's own notation,
/// backtrace included.
fn innermost(error: &pgp::errors::Error) -> &pgp::errors::Error {
    match error {
        pgp::errors::Error::InvalidPacketContent { source } => innermost(source),
        other => other,
    }
}

/// Unwraps the first armored block.
fn dearmor(
    what: &'static str,
    input: &[u8],
    reading: Reading,
) -> Result<Zeroizing<Vec<u8>>, Error> {
    if reading == Reading::Strict {
        only_one_block(what, input)?;
    }
    let options = DearmorOptions::new().set_limit(MAX_KEY_BYTES);
    let mut reader = Dearmor::with_options(BufReader::new(input), options);
    reader
        .read_header()
        .map_err(|error| Error::malformed(what, error))?;
    if !matches!(
        reader.typ,
        Some(BlockType::PublicKey | BlockType::PrivateKey)
    ) {
        return Err(Error::malformed(what, "the armor is not that of a key"));
    }
    let mut bytes = Zeroizing::new(Vec::with_capacity(input.len()));
    reader
        .read_to_end(&mut bytes)
        .map_err(|error| Error::malformed(what, error))?;
    Ok(bytes)
}

/// Clients read the first block and nobody reads the rest: a second one is a mistake that would
/// go unnoticed.
fn only_one_block(what: &'static str, input: &[u8]) -> Result<(), Error> {
    let text = std::str::from_utf8(input).map_err(|_| Error::malformed(what, "it is not text"))?;
    let text = text.trim();
    if !text.starts_with("-----BEGIN PGP ") {
        return Err(Error::malformed(
            what,
            "it does not start with `-----BEGIN PGP`",
        ));
    }
    if text.matches("-----BEGIN ").count() != 1 || text.matches("-----END ").count() != 1 {
        return Err(Error::malformed(
            what,
            "it must be exactly one armored block",
        ));
    }
    let last = text.lines().next_back().unwrap_or_default();
    if last.starts_with("-----END PGP ") && last.ends_with("-----") {
        Ok(())
    } else {
        Err(Error::malformed(what, "there is text after the armor"))
    }
}

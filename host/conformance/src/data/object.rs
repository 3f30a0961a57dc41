//! One object: its life, its parts, its sizes.

use super::{Case, Suite, expect, pattern};
use crate::bytes::Stored;
use opendepot_domain::Kind;
use opendepot_transfer::ByteRange;

/// One part of an upload by the host's own client.
const PART_BYTES: usize = 8 << 20;

pub(super) async fn life(suite: &Suite<'_>) -> Case {
    let object = suite
        .object(1, b"what is stored is what comes back")
        .await?;
    suite.put_new(&object).await?;
    suite.is_whole(&object).await?;
    expect(
        "a second put of the same bytes",
        suite.put(&object).await?,
        Stored::There,
    )?;
    suite.is_whole(&object).await?;
    suite.delete(&object).await?;
    suite.is_gone(&object).await?;
    suite
        .delete(&object)
        .await
        .map_err(|error| format!("a second delete is to succeed: {error}"))?;
    suite.put_new(&object).await?;
    suite.delete(&object).await?;
    Ok(())
}

pub(super) async fn ranges(suite: &Suite<'_>) -> Case {
    let content = pattern(100_000);
    let object = suite.object(2, &content).await?;
    suite.put(&object).await?;
    for (start, end_inclusive) in [
        (0, 0),
        (1, 10),
        (65_535, 65_537),
        (99_999, 99_999),
        (0, 99_999),
    ] {
        let range = ByteRange {
            start,
            end_inclusive,
        };
        // First out of the whole, which is hashed on the way, then perhaps as a part.
        for _ in 0..2 {
            let got = suite.get(&object, Some(range)).await?;
            let wanted = content.get(start as usize..=end_inclusive as usize);
            if Some(got.as_slice()) != wanted {
                return Err(format!(
                    "bytes {start} to {end_inclusive} are to come back as they are, got {} bytes",
                    got.len()
                )
                .into());
            }
        }
    }
    for (start, end_inclusive) in [(100_000, 100_000), (0, 100_000), (10, 9)] {
        let range = ByteRange {
            start,
            end_inclusive,
        };
        let got = suite.try_get(&object, object.expected, Some(range)).await?;
        let what = format!("bytes {start} to {end_inclusive} of 100000");
        expect(&what, got.err().map(|e| e.kind), Some(Kind::Invalid))?;
    }
    suite.delete(&object).await?;
    Ok(())
}

pub(super) async fn missing(suite: &Suite<'_>) -> Case {
    let object = suite.object(4, b"never stored").await?;
    expect(
        "head of what was never stored",
        suite.head(&object).await?,
        None,
    )?;
    let part = ByteRange {
        start: 0,
        end_inclusive: 3,
    };
    for range in [None, Some(part)] {
        let got = suite.try_get(&object, object.expected, range).await?;
        let kind = got.err().map(|error| error.kind);
        expect("get of what was never stored", kind, Some(Kind::NotFound))?;
    }
    suite
        .delete(&object)
        .await
        .map_err(|error| format!("a delete of what was never stored is to succeed: {error}"))?;
    Ok(())
}

/// Refused, and nothing is there afterwards.
pub(super) async fn empty(suite: &Suite<'_>) -> Case {
    let object = suite.object(6, b"").await?;
    let put = suite.try_put(&object).await?;
    let kind = put.err().map(|error| error.kind);
    expect("put of no bytes", kind, Some(Kind::Invalid))?;
    suite.is_gone(&object).await?;
    Ok(())
}

/// One byte, and sizes around that from which on objects go in parts.
pub(super) async fn sizes(suite: &Suite<'_>) -> Case {
    for (at, len) in [
        1,
        PART_BYTES - 1,
        PART_BYTES,
        PART_BYTES + 1,
        2 * PART_BYTES + 1,
    ]
    .into_iter()
    .enumerate()
    {
        let object = suite.object(70 + at, &pattern(len)).await?;
        suite.put_new(&object).await?;
        suite.is_whole(&object).await?;
        suite.delete(&object).await?;
        suite.is_gone(&object).await?;
    }
    Ok(())
}

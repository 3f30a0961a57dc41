//! What goes wrong on the way: bytes that are others, writers that leave.

use super::{Case, Suite, Unmet, expect, pattern};
use opendepot_domain::{Kind, Operation, Sha256};
use opendepot_transfer::{ByteRange, Expected};
use std::time::Duration;

/// What is not what its record says is neither written nor read.
pub(super) async fn wrong_bytes(suite: &Suite<'_>) -> Case {
    let content = pattern(100_000);
    let mut altered = content.clone();
    if let Some(byte) = altered.last_mut() {
        *byte ^= 1;
    }
    let shorter = content.get(1..).unwrap_or_default().to_vec();
    let longer = [content.as_slice(), b"x"].concat();
    let others = [altered, shorter, longer];
    for wrong in &others {
        let object = suite.object(12, &content).await?;
        std::fs::write(&object.file, wrong).map_err(|e| format!("cannot write a file: {e}"))?;
        let kind = suite.try_put(&object).await?.err().map(|error| error.kind);
        let what = "put of a file that is not what is expected";
        expect(what, kind, Some(Kind::Corrupt))?;
        suite
            .is_gone(&object)
            .await
            .map_err(|error| format!("after the refused put: {error}"))?;
    }
    let object = suite.object(12, &content).await?;
    suite.put_new(&object).await?;
    for other in &others {
        let expected = Expected {
            size: other.len() as u64,
            sha256: Sha256::of(other),
        };
        let part = ByteRange {
            start: 10,
            end_inclusive: 500,
        };
        for range in [None, Some(part)] {
            let got = suite.try_get(&object, expected, range).await?;
            let what = "get of an object that is not what is expected";
            expect(what, got.err().map(|e| e.kind), Some(Kind::Corrupt))?;
        }
    }
    suite.is_whole(&object).await?;
    suite.delete(&object).await?;
    Ok(())
}

/// A writer that leaves in the middle leaves nothing, or the whole object; the next one succeeds.
pub(super) async fn cut_off(suite: &Suite<'_>) -> Case {
    let object = suite.object(13, &pattern((16 << 20) + 1)).await?;
    let prepared = suite.object(14, b"what must exist is there").await?;
    suite.put_new(&prepared).await?;
    suite.delete(&prepared).await?;
    let plan = suite.plan(&object, Operation::Put).await?;
    for after in [1, 20, 60].map(Duration::from_millis) {
        let put = suite.bytes.put(&plan, &object.file, object.expected);
        // Whether it was cut off is the machine's affair; both ends are right.
        let _ended = tokio::time::timeout(after, put).await;
        match suite.head(&object).await? {
            None => {}
            Some(size) if size == object.expected.size => suite.is_whole(&object).await?,
            Some(size) => {
                return Err(Unmet::Failed(format!(
                    "a put that is cut off is to leave nothing or the whole, it left {size} bytes"
                )));
            }
        }
    }
    suite.put(&object).await?;
    suite.is_whole(&object).await?;
    suite.delete(&object).await?;
    suite.is_gone(&object).await?;
    Ok(())
}

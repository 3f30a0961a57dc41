//! Several writers of one place, one after the other and at once.

use super::{Case, Object, Suite, Unmet, expect, of_one_place, pattern};
use crate::bytes::Stored;
use futures::future::join_all;
use opendepot_domain::Kind;

pub(super) async fn no_overwrite(suite: &Suite<'_>) -> Case {
    let first = suite.object(3, b"the first").await?;
    let second = suite.object(3, b"the second, which is longer").await?;
    let alike = suite.object(3, b"the worst").await?;
    of_one_place(&first, &second)?;
    suite.put(&first).await?;
    for other in [&second, &alike] {
        if suite.try_put(other).await? == Ok(Stored::New) {
            let reason = "a put over other bytes is to be refused, it created an object";
            return Err(reason.to_owned().into());
        }
        suite
            .is_whole(&first)
            .await
            .map_err(|error| format!("after the refused put: {error}"))?;
    }
    suite.delete(&first).await?;
    Ok(())
}

/// Eight writers of the same bytes.
pub(super) async fn alike(suite: &Suite<'_>) -> Case {
    const NUM_WRITERS: usize = 8;
    let object = suite.object(5, &pattern(200_000)).await?;
    let writers = (0..NUM_WRITERS).map(|_| suite.put(&object));
    let mut num_new = 0;
    for outcome in join_all(writers).await {
        let stored =
            outcome.map_err(|e| format!("writers of the same bytes are all to succeed: {e}"))?;
        num_new += usize::from(stored == Stored::New);
    }
    if num_new == 0 || (num_new > 1 && suite.bytes.why_writers_race().is_none()) {
        let reason =
            format!("one of {NUM_WRITERS} writers is to make the object new, {num_new} did");
        return Err(reason.into());
    }
    suite.is_whole(&object).await?;
    suite.delete(&object).await?;
    Ok(())
}

/// Writers of other bytes: one makes the object, which is its own, and the rest are told.
pub(super) async fn one_wins(suite: &Suite<'_>) -> Case {
    if let Some(why) = suite.bytes.why_writers_race() {
        return Err(Unmet::Skipped(format!("two writers may both win: {why}")));
    }
    for (number, len, num_writers) in [
        (8, 1_000, 2),
        (9, 200_000, 8),
        (10, (8 << 20) + 1, 2),
        (11, 1, 4),
    ] {
        let mut objects = Vec::new();
        for writer in 0..num_writers {
            let mut content = pattern(len);
            if let Some(last) = content.last_mut() {
                *last ^= writer + 1;
            }
            objects.push(suite.object(number, &content).await?);
        }
        if let [first, second, ..] = objects.as_slice() {
            of_one_place(first, second)?;
        }
        one_of(suite, &objects).await?;
    }
    Ok(())
}

async fn one_of(suite: &Suite<'_>, objects: &[Object]) -> Result<(), String> {
    let outcomes = join_all(objects.iter().map(|object| suite.try_put(object))).await;
    let mut winners = Vec::new();
    for (outcome, object) in outcomes.into_iter().zip(objects) {
        match outcome? {
            Ok(Stored::New) => winners.push(object),
            Ok(Stored::There) => {
                let what = "a writer of other bytes is to be told that others are there";
                return Err(what.to_owned());
            }
            Err(error) => {
                expect(
                    &format!("a writer who came second ({error})"),
                    error.kind,
                    Kind::Conflict,
                )?;
            }
        }
    }
    let [winner] = winners.as_slice() else {
        return Err(format!(
            "of {} writers of other bytes one is to win, {} did",
            objects.len(),
            winners.len()
        ));
    };
    suite.is_whole(winner).await?;
    suite.delete(winner).await
}

//! What is changed behind our back never comes out as what it was: neither whole nor in part.

use super::Site;
use crate::{Fixture, bytes, expected};
use opendepot_domain::Kind;
use opendepot_transfer::{ByteRange, Error};

pub(super) const KEY: &str = "vpc/0190-module.zip";
const NUM_ROUNDS: u64 = 1_000;
const LEN: usize = 20_000;
/// Whoever sees a failure can have it again.
const SEED: u64 = 0x5eed_0190;

/// A sequence of numbers that a seed determines (SplitMix64).
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() % end as u64).unwrap()
    }
}

/// Another content, and what was done to it.
fn damaged(content: &[u8], numbers: &mut Numbers) -> (Vec<u8>, String) {
    let mut other = content.to_vec();
    let what = match numbers.below(4) {
        0 => {
            let (at, bit) = (numbers.below(LEN), numbers.below(8));
            other[at] ^= 1 << bit;
            format!("bit {bit} of byte {at} flipped")
        }
        1 => {
            other.truncate(numbers.below(LEN));
            format!("cut to {}", other.len())
        }
        2 => {
            let more = 1 + numbers.below(5_000);
            other.extend((0..more).map(|_| numbers.next() as u8));
            format!("{more} bytes more")
        }
        _ => {
            let len = if numbers.below(2) == 0 {
                LEN
            } else {
                1 + numbers.below(2 * LEN)
            };
            other = (0..len).map(|_| numbers.next() as u8).collect();
            format!("another object of {len}")
        }
    };
    (other, what)
}

/// Changes the object 1,000 times by `change`, reading it each time with a memory of what it was and
/// without one.
pub(super) async fn never_comes_out(site: &Site, change: impl AsyncFn(&[u8])) {
    let content = bytes(LEN);
    let (plan, expected) = (site.fill(KEY, &content).await, expected(&content));
    let mut numbers = Numbers(SEED);
    for round in 0..NUM_ROUNDS {
        let (start, len) = (numbers.below(LEN - 1), 1 + numbers.below(LEN / 2));
        let end = (start + len).min(LEN - 1);
        let range = ByteRange {
            start: start as u64,
            end_inclusive: end as u64,
        };
        // The object as it was, read whole and in part: remembered.
        change(&content).await;
        let fixture = &site.fixture;
        assert!(fixture.read(&plan, expected, None).await.unwrap() == content);
        let part = fixture.read(&plan, expected, Some(range)).await;
        assert!(part.unwrap() == content[start..=end]);
        let (other, what) = damaged(&content, &mut numbers);
        change(&other).await;
        let what = format!("round {round}, {what}, {start}..={end}");
        let without_memory;
        let fixtures = if round % 10 == 0 {
            without_memory = Fixture::new(fixture.operator.0.lock().unwrap().clone());
            vec![&site.fixture, &without_memory]
        } else {
            vec![&site.fixture]
        };
        for fixture in fixtures {
            let part = fixture.read(&plan, expected, Some(range)).await;
            fails(part, &what);
            fails(fixture.read(&plan, expected, None).await, &what);
            // Nor once it was found wrong.
            fails(fixture.read(&plan, expected, Some(range)).await, &what);
        }
    }
}

fn fails(read: Result<Vec<u8>, Error>, what: &str) {
    match read {
        Ok(_) => panic!("{what}: it came out"),
        Err(error) => assert_eq!(error.kind(), Kind::Corrupt, "{what}: {error}"),
    }
}

//! I5: whatever happens to a file, a body that ends normally has the recorded digest (R-26, S06).

use super::tests::{Fixture, expected, pattern, plan, read, settle};
use super::*;
use http_body_util::BodyExt as _;
use opendepot_domain::Kind;
use std::fs::OpenOptions;
use std::os::unix::fs::FileExt as _;

/// A small random number generator with a seed that a failure names.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }
}

fn damage(random: &mut Random, path: &Path, sibling: &Path, len: u64) -> &'static str {
    let open = || {
        OpenOptions::new()
            .write(true)
            .read(true)
            .open(path)
            .unwrap()
    };
    match random.below(5) {
        0 => {
            let (file, at) = (open(), random.below(len));
            let mut byte = [0];
            file.read_exact_at(&mut byte, at).unwrap();
            byte[0] ^= 1 << random.below(8);
            file.write_all_at(&byte, at).unwrap();
            "flip"
        }
        1 => {
            open().set_len(random.below(len)).unwrap();
            "truncate"
        }
        2 => {
            open().write_all_at(&[0], len).unwrap();
            "append"
        }
        3 => {
            std::fs::copy(sibling, path).unwrap();
            "overwrite with a sibling"
        }
        _ => {
            let other = path.with_extension("other");
            std::fs::copy(sibling, &other).unwrap();
            std::fs::rename(&other, path).unwrap();
            "replace by a sibling"
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_corruptions_never_deliver_a_complete_body() {
    let fixture = Fixture::new();
    // Several frames, so that damage may come before, within and after what was handed out.
    let len = crate::BUFFER_BYTES as u64 * 2 + 12_345;
    let bytes = pattern(usize::try_from(len).unwrap(), 1);
    let sibling = pattern(bytes.len(), 2);
    let sibling_path = fixture.directory.path().join("sibling");
    std::fs::write(&sibling_path, &sibling).unwrap();
    let path = fixture.path("x");
    let mut random = Random(0x5eed);
    let mut num_refused_at_once = 0;
    for number in 0..1000 {
        std::fs::write(&path, &bytes).unwrap();
        let is_streaming = random.below(2) == 0;
        let (name, outcome) = if is_streaming {
            let mut body = fixture
                .stores
                .open_body(&plan("x"), expected(&bytes), None)
                .await
                .unwrap();
            let mut got = Vec::new();
            for _ in 0..random.below(3) {
                let frame = body.frame().await.unwrap().unwrap();
                got.extend_from_slice(&frame.into_data().unwrap());
            }
            let name = damage(&mut random, &path, &sibling_path, len);
            let rest = read(body).await;
            (
                name,
                rest.map(|rest| {
                    got.extend_from_slice(&rest);
                    got
                }),
            )
        } else {
            let name = damage(&mut random, &path, &sibling_path, len);
            // Refused before the first byte, so that the answer can be an error.
            let outcome = fixture
                .stores
                .open_body(&plan("x"), expected(&bytes), None)
                .await;
            num_refused_at_once += usize::from(outcome.is_err());
            let outcome = outcome.map(|_| bytes.clone());
            (name, outcome)
        };
        match outcome {
            // The open file survives its name: a replaced name may complete, with the old bytes.
            Ok(got) => assert!(
                is_streaming && got == bytes,
                "{number}: {name}: a wrong body was complete"
            ),
            Err(error) => assert_eq!(error.kind(), Kind::Corrupt, "{number}: {name}: {error}"),
        }
    }
    assert!(num_refused_at_once > 400, "{num_refused_at_once}");
}

#[tokio::test]
async fn a_change_with_a_forged_mtime_shows() {
    let fixture = Fixture::new();
    let bytes = pattern(1 << 20, 1);
    fixture.put("x", &bytes).await.unwrap();
    let path = fixture.path("x");
    let file = OpenOptions::new().write(true).open(&path).unwrap();
    let modified = file.metadata().unwrap().modified().unwrap();
    settle(&path);
    fixture.get("x", expected(&bytes)).await.unwrap();
    file.write_all_at(b"!", 500_000).unwrap();
    file.set_modified(modified).unwrap();
    settle(&path);
    let error = fixture.get("x", expected(&bytes)).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Corrupt);
}

#[tokio::test]
async fn many_openers_of_an_unknown_file_share_one_hash() {
    let fixture = Fixture::new();
    let bytes = pattern(4 << 20, 1);
    fixture.put("x", &bytes).await.unwrap();
    let openers = (0..200).map(|_| {
        let (stores, expected) = (fixture.stores.clone(), expected(&bytes));
        tokio::spawn(async move { stores.open_body(&plan("x"), expected, None).await })
    });
    for opener in openers.collect::<Vec<_>>() {
        opener.await.unwrap().unwrap();
    }
}

#[tokio::test]
async fn a_truncation_while_a_range_streams_is_an_error() {
    let fixture = Fixture::new();
    let bytes = pattern(2 << 20, 1);
    fixture.put("x", &bytes).await.unwrap();
    let range = ByteRange {
        start: 1000,
        end_inclusive: (2 << 20) - 1000,
    };
    let mut body = fixture
        .stores
        .open_body(&plan("x"), expected(&bytes), Some(range))
        .await
        .unwrap();
    body.frame().await.unwrap().unwrap();
    let file = OpenOptions::new()
        .write(true)
        .open(fixture.path("x"))
        .unwrap();
    file.set_len(300_000).unwrap();
    assert_eq!(read(body).await.unwrap_err().kind(), Kind::Corrupt);
}

#[tokio::test]
async fn a_change_behind_what_was_sent_ends_the_body_of_a_remembered_file() {
    let fixture = Fixture::new();
    let bytes = pattern(1 << 20, 1);
    fixture.put("x", &bytes).await.unwrap();
    settle(&fixture.path("x"));
    for is_whole in [true, false] {
        // Remembered now, so only the file's state can tell.
        fixture.get("x", expected(&bytes)).await.unwrap();
        let range = (!is_whole).then_some(ByteRange {
            start: 10,
            end_inclusive: (1 << 20) - 10,
        });
        let mut body = fixture
            .stores
            .open_body(&plan("x"), expected(&bytes), range)
            .await
            .unwrap();
        body.frame().await.unwrap().unwrap();
        let file = OpenOptions::new()
            .write(true)
            .open(fixture.path("x"))
            .unwrap();
        file.write_all_at(&bytes[100..101], 100).unwrap();
        let error = read(body).await.unwrap_err();
        let is_change = matches!(
            error,
            Error::Corrupt {
                damage: crate::Damage::Changed,
                ..
            }
        );
        assert!(is_change, "{error}");
        settle(&fixture.path("x"));
    }
}

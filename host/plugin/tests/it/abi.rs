//! Guests that break the component ABI: texts, pointers and handles that are none.

use crate::guests::{self, ABSTAIN, ALLOW, StringEncoding, auth, auth_module, component_encoded};
use crate::hostile::{call_ends, denial, goes_on, site, with_realloc};
use crate::support::{artifact, failure, grants, id};
use opendepot_domain::Kind;
use opendepot_domain::seam::StorageDecisions as _;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn texts_of_every_encoding_are_checked() {
    // A denial whose text is at 3104 plus `shift` and has that length, after these bytes were
    // put there.
    let denying = |bytes: &str, shift: u32, len: i64| {
        let core = auth_module(&format!(
            "(drop (call $answer (i32.const 1) (local.get $n)))
             (i32.store offset=4 (i32.load (i32.const 2052)) (i32.const {}))
             (i32.store offset=8 (i32.load (i32.const 2052)) (i32.const {len})) (i32.const 2048)",
            3104 + shift
        ));
        core.replacen(
            "(data",
            &format!("(data (i32.const 3104) \"{bytes}\") (data"),
            1,
        )
    };
    // The rest keeps the default text, whose length and place suit every encoding.
    const UTF16_BIT: i64 = 1 << 31;
    for (name, encoding, core, is_good) in [
        ("utf-8", StringEncoding::UTF8, denying("ab", 0, 2), true),
        (
            "utf-8, cut",
            StringEncoding::UTF8,
            denying("\\e2\\82", 0, 2),
            false,
        ),
        (
            "utf-8, surrogate",
            StringEncoding::UTF8,
            denying("\\ed\\a0\\80", 0, 3),
            false,
        ),
        (
            "utf-8, overlong",
            StringEncoding::UTF8,
            denying("\\c0\\af", 0, 2),
            false,
        ),
        (
            "utf-16",
            StringEncoding::UTF16,
            denying("a\\00b\\00", 0, 2),
            true,
        ),
        (
            "utf-16, misaligned",
            StringEncoding::UTF16,
            denying("a\\00b\\00", 1, 1),
            false,
        ),
        (
            "utf-16, lone surrogate",
            StringEncoding::UTF16,
            denying("\\00\\d8", 0, 1),
            false,
        ),
        (
            "utf-16, outside",
            StringEncoding::UTF16,
            denying("", 0, 0x7fff_ffff),
            false,
        ),
        (
            "latin1",
            StringEncoding::CompactUTF16,
            denying("a\\ff", 0, 2),
            true,
        ),
        (
            "latin1, misaligned",
            StringEncoding::CompactUTF16,
            denying("ab", 1, 1),
            false,
        ),
        (
            "tagged utf-16",
            StringEncoding::CompactUTF16,
            denying("a\\00b\\00", 0, UTF16_BIT | 2),
            true,
        ),
        (
            "tagged utf-16, lone surrogate",
            StringEncoding::CompactUTF16,
            denying("\\00\\dc", 0, UTF16_BIT | 1),
            false,
        ),
        (
            "tagged utf-16, longest",
            StringEncoding::CompactUTF16,
            denying("", 0, UTF16_BIT | 0x7fff_ffff),
            false,
        ),
        (
            "tagged utf-16, empty",
            StringEncoding::CompactUTF16,
            denying("", 0, UTF16_BIT),
            true,
        ),
    ] {
        // In two bytes a character, the default text of the second target is another one.
        let core = core.replace("\"because\"", "\"b\\00e\\00c\\00a\\00u\\00s\\00e\\00\"");
        let host = site(&component_encoded("auth", &core, encoding))
            .host()
            .await;
        assert_eq!(failure(&host, "hostile"), None, "{name}");
        let reason = denial(&host, name).await;
        assert_eq!(!reason.contains("abi trap"), is_good, "{name}: {reason}");
        goes_on(&host, name).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wild_pointers_of_the_allocator_are_refused() {
    for (name, pointer) in [
        ("outside", "(i32.const -16)"),
        ("misaligned", "(i32.const 65537)"),
        ("nowhere", "(i32.const 0x7ffffff0)"),
    ] {
        let large = format!(
            "(if (i32.gt_u (local.get 3) (i32.const 100)) (then (return {pointer}))) (call $alloc (local.get 3))"
        );
        call_ends(name, &with_realloc(&large, ALLOW), &["abi trap"]).await;
    }
    let trapping = "(if (i32.gt_u (local.get 3) (i32.const 100)) (then (unreachable))) (call $alloc (local.get 3))";
    call_ends("trapping", &with_realloc(trapping, ALLOW), &["guest trap"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn handles_are_the_hosts() {
    for (name, misdeed, expected) in [
        (
            "dropped twice",
            "(call $drop (i32.load (i32.const 2052))) (call $drop (i32.load (i32.const 2052)))",
            "abi trap",
        ),
        (
            "used after it was dropped",
            "(call $drop (i32.load (i32.const 2052)))
             (call $mac (i32.load (i32.const 2052)) (i32.const 3000) (i32.const 3) (i32.const 2080))",
            "abi trap",
        ),
        ("never opened", "(call $drop (i32.const 77))", "abi trap"),
        (
            "guessed",
            "(call $mac (i32.const 2) (i32.const 3000) (i32.const 3) (i32.const 2080))",
            "abi trap",
        ),
        ("not a handle", "(call $drop (i32.const -1))", "abi trap"),
        (
            "opened and dropped for ever",
            "(loop $f (call $drop (i32.load (i32.const 2052)))
                (call $open (i32.const 4096) (i32.const 5) (i32.const 0) (i32.const 2048)) (br $f))",
            "too many host calls",
        ),
    ] {
        let mut site = site(&auth(ABSTAIN));
        let guest = guests::storage_mishandling("token", misdeed);
        site.plugin_needing("thief", "storage", &guest, "{ secrets: [token] }")
            .grants = grants("{ stores: [{ match: 'file:///' }], secrets: { token: {} } }");
        site.secret("token", "s3cret");
        let host = site.host().await;
        assert_eq!(failure(&host, "thief"), None, "{name}");
        let error = host.locate(&id("thief"), None, &artifact()).await.unwrap_err();
        assert_eq!(error.kind, Kind::Unavailable, "{name}");
        assert!(error.message.contains(expected), "{name}: {error}");
        goes_on(&host, name).await;
    }
}

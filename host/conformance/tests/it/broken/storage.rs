//! Backends.

use super::{fails, outcome, report_of};
use crate::guests::{self, Plan, Request, place, storage};
use opendepot_conformance::Outcome;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn storage_faults_are_found() {
    let native = |key| Plan::Native(place("file:///", key));
    let signed = |headers, expires_at| {
        Plan::Signed(Request {
            method: "GET",
            url: "https://store.test/x.zip",
            headers,
            expires_at,
        })
    };
    const LATER: u64 = 4_000_000_000;
    let here = || place("file:///", "vpc/x.zip");
    for (name, wasm, needs, check, expected) in [
        (
            "one key for all",
            storage(&here(), &native("vpc/x.zip")),
            "{}",
            "keys-distinct",
            "two artifacts are to have two places",
        ),
        (
            "another key than recorded",
            storage(&here(), &native("vpc/y.zip")),
            "{}",
            "plan-keeps-place",
            "vpc/y.zip",
        ),
        (
            "a key of its own for what is recorded",
            storage(&here(), &native("vpc/x.zip")),
            "{}",
            "plan-keeps-place",
            "recorded-long-ago",
        ),
        (
            "headers on a link",
            storage(&here(), &signed(vec![("Authorization", "x")], LATER)),
            "{ hosts: true }",
            "presign",
            "no headers",
        ),
        (
            "nothing to do",
            storage(&here(), &Plan::Nothing),
            "{}",
            "nothing",
            "`prepare` only",
        ),
        (
            "plans what it does not know",
            storage(&here(), &native("vpc/x.zip")),
            "{}",
            "unsupported",
            "is to be `unsupported`",
        ),
        (
            "no place",
            guests::storage_after(&here(), &native("vpc/x.zip"), "(unreachable)", ""),
            "{}",
            "locate",
            "it ended itself",
        ),
        (
            "traps on a long namespace",
            guests::storage_after(
                &here(),
                &native("vpc/x.zip"),
                "(if (i32.gt_u (i32.load offset=36 (local.get 0)) (i32.const 60000)) (then (unreachable)))",
                "",
            ),
            "{}",
            "hostile-texts",
            "an artifact named like",
        ),
        (
            "climbs",
            storage(&place("file:///", "../x.zip"), &native("../x.zip")),
            "{}",
            "placement-granted",
            "key `../x.zip`",
        ),
        (
            "expired",
            storage(&here(), &signed(Vec::new(), 1)),
            "{ hosts: true }",
            "plan",
            "expired",
        ),
        (
            "a host that it does not ask for",
            storage(&here(), &signed(Vec::new(), LATER)),
            "{}",
            "plan",
            "is not granted",
        ),
    ] {
        println!("{name}");
        fails(&report_of("storage", &wasm, needs).await, check, expected);
    }
    let kind = report_of("storage", &storage(&here(), &native("vpc/x.zip")), "{}").await;
    for check in [
        "locate",
        "presign",
        "nothing",
        "placement-granted",
        "locate-deterministic",
        "hostile-texts",
    ] {
        assert_eq!(*outcome(&kind, check), Outcome::Passed, "{check}: {kind}");
    }
}

//! Backends whose plans look right until they are carried out, before a store that is right.

use super::{fails, outcome, write};
use crate::careless::{Flaw, Memory};
use crate::guests::{Plan, Request, place, storage};
use crate::named::{Named, named};
use opendepot_conformance::{Outcome, Report};
use serde_json::Value;
use std::sync::Arc;

/// Links elsewhere: a signed request to read, of one place for all.
const FIXED_LINK: &str = r#"
    (if (i32.eq (local.get $operation) (i32.const 5)) (then
      (i32.store8 (i32.const 520) (i32.const 1))
      (i32.store (i32.const 528) (i32.const 1536)) (i32.store (i32.const 532) (i32.const 3))
      (i32.store (i32.const 536) (i32.const 1540)) (i32.store (i32.const 540) (i32.const 24))
      (i64.store (i32.const 552) (i64.const 4000000000))
      (i32.store16 (i32.const 1600) (i32.const 200))
      (i32.store (i32.const 560) (i32.const 1600)) (i32.store (i32.const 564) (i32.const 1))
      (return (i32.const 512))))"#;

async fn report_of(guest: &[u8], needs: &str) -> Report {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "storage", guest, needs);
    let store = Arc::new(Memory::new(Flaw::None));
    let mut options = crate::options(Value::Null);
    options.bytes = Some(Arc::clone(&store) as _);
    options.links = Some(store);
    let report = opendepot_conformance::run(folder.path(), &options).await;
    report.unwrap()
}

fn doing(before_plan: &'static str) -> Vec<u8> {
    named(Named {
        before_plan,
        ..Named::default()
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn plans_that_lead_elsewhere_are_found() {
    const LATER: u64 = 4_000_000_000;
    let put = Plan::Signed(Request {
        method: "PUT",
        url: "https://store.test/x.zip",
        headers: Vec::new(),
        expires_at: LATER,
    });
    for (name, guest, needs, check, expected) in [
        (
            "a size of 32 bits",
            doing("(if (i32.load offset=116 (local.get $args)) (then (unreachable)))"),
            "{}",
            "plan-large",
            "an artifact of 4294967296 bytes",
        ),
        (
            "a put to whatever is asked",
            storage(&place("s3://bucket", "vpc/x.zip"), &put),
            "{ hosts: true }",
            "data-put-get-head-delete",
            "method `PUT` is refused",
        ),
        (
            "a link to another object's place",
            doing(
                "(if (i32.eq (local.get $operation) (i32.const 5)) (then
                   (i32.store offset=148 (local.get $args) (i32.const 3))))",
            ),
            "{}",
            "data-link",
            "are not those of the record",
        ),
        (
            "a link to one place for all",
            doing(FIXED_LINK),
            "{ hosts: true }",
            "data-link",
            "got a refusal",
        ),
        (
            "another key for what is large",
            doing(
                "(if (i32.gt_u (i32.load offset=112 (local.get $args)) (i32.const 8388608)) (then
                   (i32.store offset=148 (local.get $args) (i32.const 3))))",
            ),
            "{}",
            "data-sizes",
            "are not those of the record",
        ),
    ] {
        println!("{name}");
        let report = report_of(&guest, needs).await;
        fails(&report, check, expected);
        assert_eq!(*outcome(&report, "loads"), Outcome::Passed, "{report}");
    }
}

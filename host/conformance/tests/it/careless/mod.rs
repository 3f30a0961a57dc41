//! Who carries out the plans can be at fault, too: stores that each do wrong one thing that can be
//! done wrong fail the case that is about it, and the plugin is the same right one.

mod store;

use crate::broken::{fails, outcome, write};
use crate::named::{Named, named};
use futures::StreamExt as _;
use opendepot_conformance::{Outcome, Report};
use serde_json::Value;
use std::path::Path;
use std::sync::Arc;
pub(crate) use store::{Flaw, Memory};

/// What moves bytes, in the order in which it runs.
const CASES: [&str; 15] = [
    "data-put-get-head-delete",
    "data-range",
    "data-no-overwrite",
    "data-missing",
    "data-concurrent-writers",
    "data-one-writer-wins",
    "data-empty",
    "data-sizes",
    "data-file-names",
    "data-odd-keys",
    "data-hostile-keys",
    "data-wrong-bytes",
    "data-put-cut-off",
    "data-link",
    "data-link-life",
];

/// Each flaw, the case that is about it, and words of what that case says.
const FLAWS: [(Flaw, &str, &str); 28] = [
    (
        Flaw::Overwrites,
        "data-no-overwrite",
        "it created an object",
    ),
    (
        Flaw::LosesBytes,
        "data-put-get-head-delete",
        "expected Some(33), got Some(32)",
    ),
    (
        Flaw::StoresNothing,
        "data-put-get-head-delete",
        "expected Some(33), got None",
    ),
    (Flaw::HandsOutAnother, "data-file-names", "that are others"),
    (
        Flaw::IgnoresRanges,
        "data-range",
        "bytes 0 to 0 are to come back as they are, got 100000",
    ),
    (
        Flaw::ShortRanges,
        "data-range",
        "bytes 0 to 0 are to come back as they are, got 0",
    ),
    (
        Flaw::OpenRanges,
        "data-range",
        "bytes 100000 to 100000 of 100000",
    ),
    (
        Flaw::MissingIsEmpty,
        "data-missing",
        "get of what was never stored",
    ),
    (
        Flaw::MissingHasSize,
        "data-missing",
        "head of what was never stored",
    ),
    (
        Flaw::GoneIsAnError,
        "data-put-get-head-delete",
        "a second delete is to succeed",
    ),
    (
        Flaw::GoneIsAnError,
        "data-missing",
        "a delete of what was never stored",
    ),
    (
        Flaw::DeletesNothing,
        "data-put-get-head-delete",
        "where there is nothing",
    ),
    (
        Flaw::LosesWriters,
        "data-concurrent-writers",
        "are all to succeed",
    ),
    (Flaw::Races, "data-one-writer-wins", "one is to win"),
    (Flaw::TakesEmpty, "data-empty", "put of no bytes"),
    (Flaw::OnePartOnly, "data-sizes", "put of"),
    (Flaw::TakesAnySource, "data-wrong-bytes", "put of a file"),
    (Flaw::ReadsAnything, "data-wrong-bytes", "get of an object"),
    (Flaw::DecodesKeys, "data-odd-keys", "is there alone"),
    (
        Flaw::TakesAnyKey,
        "data-hostile-keys",
        "to be refused as `invalid`",
    ),
    (
        Flaw::ShowsParts,
        "data-put-cut-off",
        "it left 8388608 bytes",
    ),
    (Flaw::LinkIsDead, "data-link", "got a refusal"),
    (Flaw::LinkOpensOthers, "data-link", "another object's path"),
    (Flaw::LinkWrites, "data-link", "a write by a link"),
    (Flaw::LinkUnsigned, "data-link", "parameter `end`"),
    (Flaw::LinkForNothing, "data-link", "without its link"),
    (Flaw::LinkForEver, "data-link-life", "is to end then"),
    (Flaw::LinkOpensGone, "data-link", "what was removed"),
];

async fn report_of(plugin: &Path, flaw: Flaw, cache: &Path) -> Report {
    let store = Arc::new(Memory::new(flaw));
    let mut options = crate::options(Value::Null);
    options.bytes = Some(Arc::clone(&store) as _);
    options.links = Some(store);
    options.compile.cache = Some(cache.to_owned());
    opendepot_conformance::run(plugin, &options).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flaw_of_a_store_fails_the_case_that_is_about_it() {
    let folder = tempfile::tempdir().unwrap();
    let (plugin, cache) = (folder.path().join("plugin"), folder.path().join("cache"));
    std::fs::create_dir(&plugin).unwrap();
    write(&plugin, "storage", &named(Named::default()), "{}");
    // The others find it compiled.
    let right = report_of(&plugin, Flaw::None, &cache).await;
    for case in CASES {
        assert_eq!(*outcome(&right, case), Outcome::Passed, "{right}");
    }
    let mut flaws: Vec<Flaw> = FLAWS.iter().map(|(flaw, ..)| *flaw).collect();
    flaws.dedup();
    let runs = futures::stream::iter(flaws).map(|flaw| {
        let (plugin, cache) = (&plugin, &cache);
        async move { (flaw, report_of(plugin, flaw, cache).await) }
    });
    let reports: Vec<(Flaw, Report)> = runs.buffer_unordered(4).collect().await;
    for (flaw, case, words) in FLAWS {
        let (_, report) = reports.iter().find(|(other, _)| *other == flaw).unwrap();
        println!("{flaw:?}: {:?}", report.failures().collect::<Vec<_>>());
        fails(report, case, words);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_does_not_apply_is_skipped_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let how = Named {
        by_digest: true,
        without_links: true,
        ..Named::default()
    };
    write(folder.path(), "storage", &named(how), "{}");
    let mut options = crate::options(Value::Null);
    let report = opendepot_conformance::run(folder.path(), &options).await;
    let report = report.unwrap();
    let skipped = |report: &Report, case: &str, words: &str| match outcome(report, case) {
        Outcome::Skipped(reason) if reason.contains(words) => {}
        other => panic!("{case}: {other:?}"),
    };
    skipped(&report, "data", "nothing else is written here");
    options.bytes = Some(Arc::new(Memory::new(Flaw::None)));
    let report = opendepot_conformance::run(folder.path(), &options).await;
    let report = report.unwrap();
    for case in ["data-no-overwrite", "data-one-writer-wins"] {
        skipped(&report, case, "its keys follow from the bytes");
    }
    for case in ["data-link", "data-link-life"] {
        skipped(&report, case, "it makes no links");
    }
    write(folder.path(), "storage", &named(Named::default()), "{}");
    let report = opendepot_conformance::run(folder.path(), &options).await;
    skipped(&report.unwrap(), "data-link", "nothing here follows links");
}

//! A fresh instance plus one `authorize` call: the price of an access decision on a cache miss.
//! The figure to keep: a median of at most 30 µs on two cores.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a benchmark fails loudly"
)]
#![expect(
    dead_code,
    reason = "the guests and folders of the tests, of which a few are used here"
)]

use criterion::{Criterion, criterion_group, criterion_main};
use opendepot_domain::Action;
use opendepot_domain::seam::AccessPolicy as _;
use std::hint::black_box;

#[path = "../tests/it/guests.rs"]
mod guests;
#[path = "../tests/it/support.rs"]
mod support;

fn authorize(criterion: &mut Criterion) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    let mut site = support::Site::new();
    site.plugin("policy", "auth", &guests::auth(guests::ALLOW));
    let host = runtime.block_on(site.host());
    let subject = support::subject();
    for (name, count) in [("one target", 1), ("10000 targets", 10_000)] {
        let targets = support::targets(count);
        criterion.bench_function(
            &format!("fresh instance and authorize, {name}"),
            |bencher| {
                bencher.iter(|| {
                    let decisions = host.authorize(&subject, Action::Download, &targets, 1_000);
                    black_box(runtime.block_on(decisions))
                });
            },
        );
    }
}

criterion_group!(benches, authorize);
criterion_main!(benches);

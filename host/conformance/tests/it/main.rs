//! The suites: every plugin that ships passes, and plugins that are broken on purpose do not.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails loudly, in its helpers as well"
)]

mod broken;
mod careless;
#[expect(
    dead_code,
    reason = "the guests of the host's tests, of which some are used here"
)]
#[path = "../../../plugin/tests/it/guests.rs"]
mod guests;
mod named;
mod shipped;

use opendepot_conformance::{Options, Report};
use opendepot_plugin::Limits;
use serde_json::Value;
use std::path::Path;
use std::time::Duration;

/// As registries have them, but for the shortest deadline: tests share their machine, and an
/// unoptimised host needs longer for large arguments.
fn options(settings: Value) -> Options {
    Options {
        settings,
        limits: Limits {
            auth_timeout: Duration::from_secs(20),
            scan_timeout: Duration::from_secs(20),
            ..Limits::default()
        },
        ..Options::default()
    }
}

async fn suite(folder: &Path, settings: Value) -> Report {
    opendepot_conformance::run(folder, &options(settings))
        .await
        .unwrap()
}

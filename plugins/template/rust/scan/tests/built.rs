//! The component in `dist/`, asked by the real host: `cargo test --features built`.

use opendepot_plugin_sdk::fixture::scan::{artifact, context, finding, report};
use opendepot_plugin_sdk::harness::Component;
use opendepot_plugin_sdk::scan::{Severity, Verdict};

#[test]
fn what_is_bad_enough_blocks() {
    let plugin = Component::built().settings(r#"{"block": "high"}"#);
    let findings = vec![finding("CVE-1", Severity::Critical)];
    let outcome = plugin.process(&artifact(), &report(findings), &context());
    assert!(matches!(outcome.unwrap().verdict, Verdict::Block(_)));
}

#[test]
fn mistakes_in_settings_are_refused() {
    let plugin = Component::built().settings(r#"{"block": "bad"}"#);
    assert!(plugin.validate_scan().is_err());
}

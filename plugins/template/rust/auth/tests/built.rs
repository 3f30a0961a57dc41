//! The component in `dist/`, asked by the real host: `cargo test --features built`.

use opendepot_plugin_sdk::auth::{Action, Decision};
use opendepot_plugin_sdk::fixture::auth::{module, subject};
use opendepot_plugin_sdk::harness::Component;

#[test]
fn strangers_are_denied() {
    let plugin =
        Component::built().settings(r#"{"namespaces": ["secret-*"], "groups": ["platform"]}"#);
    let targets = [module("secret-a", "vpc"), module("demo", "vpc")];
    let answer = plugin.authorize(&subject(&["dev"]), &Action::Download, &targets);
    assert!(matches!(
        answer.unwrap().as_slice(),
        [Decision::Deny(_), Decision::Abstain]
    ));
}

#[test]
fn mistakes_in_settings_are_refused() {
    let plugin = Component::built().settings(r#"{"namespaces": "all"}"#);
    assert!(plugin.validate_auth().is_err());
}

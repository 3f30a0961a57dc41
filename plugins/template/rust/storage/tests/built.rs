//! The component in `dist/`, asked by the real host: `cargo test --features built`.

use opendepot_plugin_sdk::fixture::storage::artifact;
use opendepot_plugin_sdk::harness::Component;
use opendepot_plugin_sdk::storage::{Operation, Placement, Transfer};

#[test]
fn what_was_placed_is_planned() {
    let plugin = Component::built().settings(r#"{"store": "file:///"}"#);
    let placement = plugin.locate(None, &artifact()).unwrap();
    assert_eq!(placement.store, "file:///");
    let plan = plugin.plan(&artifact(), &placement, &Operation::Get);
    let recorded = Placement::new(placement.store, placement.key);
    assert_eq!(plan, Ok(Transfer::Native(recorded)));
}

#[test]
fn mistakes_in_settings_are_refused() {
    let plugin = Component::built().settings(r#"{"store": 1}"#);
    assert!(plugin.validate_storage(None).is_err());
}

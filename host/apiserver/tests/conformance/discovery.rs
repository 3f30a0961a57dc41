//! What clients ask first.

use crate::support::{Fixture, within};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::Api;
use kube::discovery::{Discovery, Scope, verbs};
use kube::runtime::wait::{Condition as _, await_condition, conditions};

#[tokio::test]
async fn groups_kinds_and_verbs_are_found() {
    let fixture = Fixture::new().await;
    assert_eq!(fixture.client.apiserver_version().await.unwrap().major, "1");
    let discovery = Discovery::new(fixture.client.clone()).run().await.unwrap();
    let group = discovery
        .groups()
        .find(|group| group.name() == "test.opendepot.defdev.io")
        .unwrap();
    let (resource, capabilities) = group.recommended_kind("Widget").unwrap();
    assert_eq!(resource.plural, "widgets");
    assert_eq!(capabilities.scope, Scope::Namespaced);
    assert!(capabilities.supports_operation(verbs::WATCH));
    assert!(
        discovery
            .groups()
            .any(|group| group.name() == "coordination.k8s.io")
    );
}

#[tokio::test]
async fn definitions_can_be_read() {
    let fixture = Fixture::new().await;
    let definitions: Api<CustomResourceDefinition> = Api::all(fixture.client.clone());
    let found = definitions
        .get("widgets.test.opendepot.defdev.io")
        .await
        .unwrap();
    assert!(conditions::is_crd_established().matches_object(Some(&found)));
    let wait = await_condition(
        definitions.clone(),
        "widgets.test.opendepot.defdev.io",
        conditions::is_crd_established(),
    );
    within(wait).await.unwrap();
    assert!(
        !definitions
            .list(&Default::default())
            .await
            .unwrap()
            .items
            .is_empty()
    );
}

//! Lists in pages.

use crate::support::{Fixture, refused, widget};
use kube::ResourceExt as _;
use kube::api::{Api, DynamicObject, ListParams};
use serde_json::json;

#[tokio::test]
async fn pages_are_of_one_moment() {
    let fixture = Fixture::new().await;
    let widgets = fixture.widgets();
    for number in 0..7 {
        fixture
            .create(&format!("w{number}"), json!({"type": "module"}))
            .await
            .unwrap();
    }
    let first = widgets.list(&ListParams::default().limit(3)).await.unwrap();
    assert_eq!(first.items.len(), 3);
    let token = first.metadata.continue_.clone().unwrap();
    // What happens in between belongs to the watch, not to the pages.
    fixture
        .create("w00", json!({"type": "module"}))
        .await
        .unwrap();
    fixture
        .create("w5a", json!({"type": "module"}))
        .await
        .unwrap();
    widgets.delete("w6", &Default::default()).await.unwrap();
    let mut names: Vec<String> = first.items.iter().map(|item| item.name_any()).collect();
    let mut token = Some(token);
    while let Some(next) = token {
        let page = widgets
            .list(&ListParams::default().limit(3).continue_token(&next))
            .await
            .unwrap();
        assert_eq!(
            page.metadata.resource_version,
            first.metadata.resource_version
        );
        names.extend(page.items.iter().map(|item| item.name_any()));
        token = page.metadata.continue_.filter(|token| !token.is_empty());
    }
    assert_eq!(names, ["w0", "w1", "w2", "w3", "w4", "w5", "w6"]);
}

#[tokio::test]
async fn nonsense_tokens_are_refused() {
    let fixture = Fixture::new().await;
    let list = fixture.widgets();
    let status = refused(
        list.list(&ListParams::default().limit(1).continue_token("%%"))
            .await,
    );
    assert_eq!(status.code, 400);
}

#[tokio::test]
async fn all_namespaces_are_one_list() {
    let fixture = Fixture::new().await;
    fixture
        .create("mine", json!({"type": "module"}))
        .await
        .unwrap();
    let all: Api<DynamicObject> = Api::all_with(fixture.client.clone(), &widget());
    let own = ListParams::default().fields(&format!("metadata.namespace={}", fixture.namespace));
    let found = all.list(&own).await.unwrap();
    assert_eq!(found.items.len(), 1);
    assert_eq!(found.items[0].name_any(), "mine");
}

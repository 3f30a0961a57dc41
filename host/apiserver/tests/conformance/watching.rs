//! Watches.

use crate::support::{Fixture, object, widget, within};
use futures::{StreamExt as _, TryStreamExt as _};
use kube::ResourceExt as _;
use kube::api::{
    Api, DynamicObject, ListParams, Patch, PatchParams, PostParams, WatchEvent, WatchParams,
};
use kube::core::PartialObjectMeta;
use kube::runtime::{WatchStreamExt as _, watcher};
use serde_json::json;

/// `A:name`, `M:name`, `D:name`, `B`, `E:code`.
fn told(event: &WatchEvent<DynamicObject>) -> String {
    match event {
        WatchEvent::Added(object) => format!("A:{}", object.name_any()),
        WatchEvent::Modified(object) => format!("M:{}", object.name_any()),
        WatchEvent::Deleted(object) => format!("D:{}", object.name_any()),
        WatchEvent::Bookmark(_) => "B".to_owned(),
        WatchEvent::Error(status) => format!("E:{}", status.code),
    }
}

async fn follow(fixture: &Fixture, params: &WatchParams, from: &str, count: usize) -> Vec<String> {
    let stream = fixture.widgets().watch(params, from).await.unwrap();
    let events: Vec<_> = within(stream.take(count).try_collect()).await.unwrap();
    events.iter().map(told).collect()
}

#[tokio::test]
async fn a_watch_resumes_after_any_revision() {
    let fixture = Fixture::new().await;
    let widgets = fixture.widgets();
    let start = widgets
        .list(&ListParams::default())
        .await
        .unwrap()
        .metadata
        .resource_version
        .unwrap();
    let created = fixture
        .create("a", json!({"type": "module"}))
        .await
        .unwrap();
    widgets
        .patch(
            "a",
            &PatchParams::default(),
            &Patch::Merge(json!({"spec": {"size": 5}})),
        )
        .await
        .unwrap();
    fixture
        .create("b", json!({"type": "module"}))
        .await
        .unwrap();
    widgets.delete("a", &Default::default()).await.unwrap();
    let params = WatchParams::default();
    assert_eq!(
        follow(&fixture, &params, &start, 4).await,
        ["A:a", "M:a", "A:b", "D:a"]
    );
    let later = created.resource_version().unwrap();
    assert_eq!(
        follow(&fixture, &params, &later, 3).await,
        ["M:a", "A:b", "D:a"]
    );
}

#[tokio::test]
async fn a_watch_tells_what_happens_while_it_is_open() {
    let fixture = Fixture::new().await;
    let widgets = fixture.widgets();
    let start = widgets
        .list(&ListParams::default())
        .await
        .unwrap()
        .metadata
        .resource_version
        .unwrap();
    let mut stream = widgets
        .watch(&WatchParams::default(), &start)
        .await
        .unwrap()
        .boxed();
    for number in 0..20 {
        let name = format!("w{number}");
        let created = fixture
            .create(&name, json!({"type": "module"}))
            .await
            .unwrap();
        let event = within(stream.try_next()).await.unwrap().unwrap();
        let WatchEvent::Added(seen) = event else {
            panic!("{event:?}")
        };
        assert_eq!(seen, created);
    }
}

#[tokio::test]
async fn a_watch_without_a_revision_begins_with_what_is_there() {
    let fixture = Fixture::new().await;
    fixture
        .create("a", json!({"type": "module"}))
        .await
        .unwrap();
    fixture
        .create("b", json!({"type": "module"}))
        .await
        .unwrap();
    assert_eq!(
        follow(&fixture, &WatchParams::default(), "0", 2).await,
        ["A:a", "A:b"]
    );
}

#[tokio::test]
async fn selectors_turn_changes_into_arrivals_and_departures() {
    let fixture = Fixture::new().await;
    let widgets = fixture.widgets();
    let start = widgets
        .list(&ListParams::default())
        .await
        .unwrap()
        .metadata
        .resource_version
        .unwrap();
    fixture
        .create("a", json!({"type": "module"}))
        .await
        .unwrap();
    let label = |value: &str| Patch::Merge(json!({"metadata": {"labels": {"l": value}}}));
    for value in ["x", "x2", "y"] {
        widgets
            .patch("a", &PatchParams::default(), &label(value))
            .await
            .unwrap();
    }
    fixture
        .create("p", json!({"type": "provider"}))
        .await
        .unwrap();
    widgets.delete("a", &Default::default()).await.unwrap();
    let params = WatchParams::default().labels("l in (x, x2)");
    assert_eq!(
        follow(&fixture, &params, &start, 3).await,
        ["A:a", "M:a", "D:a"]
    );
    let params = WatchParams::default().fields("spec.type=provider");
    assert_eq!(follow(&fixture, &params, &start, 1).await, ["A:p"]);
}

#[tokio::test]
async fn a_watch_ends_in_time() {
    let fixture = Fixture::new().await;
    let params = WatchParams::default().timeout(1);
    let start = fixture
        .widgets()
        .list(&ListParams::default())
        .await
        .unwrap()
        .metadata
        .resource_version
        .unwrap();
    let stream = fixture.widgets().watch(&params, &start).await.unwrap();
    let events: Vec<_> = within(stream.try_collect()).await.unwrap();
    assert!(
        events
            .iter()
            .all(|event| matches!(event, WatchEvent::Bookmark(_)))
    );
}

#[tokio::test]
async fn a_revision_from_nowhere_is_not_served() {
    let fixture = Fixture::new().await;
    // A cluster takes it for a fault of its own.
    let code = if fixture.is_cluster() { 500 } else { 400 };
    match fixture
        .widgets()
        .watch(&WatchParams::default().timeout(1), "garbage")
        .await
    {
        Err(kube::Error::Api(status)) => assert_eq!(status.code, code),
        Err(error) => panic!("{error}"),
        Ok(stream) => {
            let events: Vec<_> = within(stream.try_collect()).await.unwrap();
            assert!(
                matches!(events.first(), Some(WatchEvent::Error(status)) if status.code == code),
                "{events:?}"
            );
        }
    }
}

#[tokio::test]
async fn metadata_can_be_watched_alone() {
    let fixture = Fixture::new().await;
    let created = fixture
        .create("a", json!({"type": "module"}))
        .await
        .unwrap();
    let widgets = fixture.widgets();
    let params = WatchParams::default();
    let stream = widgets.watch_metadata(&params, "0").await.unwrap();
    let first = within(stream.boxed().try_next()).await.unwrap().unwrap();
    let WatchEvent::Added(seen) = first else {
        panic!("{first:?}")
    };
    assert_eq!(seen.metadata, created.metadata);
    let partial: Api<PartialObjectMeta<DynamicObject>> =
        Api::namespaced_with(fixture.client.clone(), &fixture.namespace, &widget());
    let stream = watcher(partial, watcher::Config::default().streaming_lists());
    let mut stream = std::pin::pin!(stream.applied_objects());
    let seen = within(stream.try_next()).await.unwrap().unwrap();
    assert_eq!(seen.metadata, created.metadata);
}

#[tokio::test]
async fn concurrent_writers_lose_nothing() {
    let fixture = Fixture::new().await;
    let api = fixture.widgets();
    let start = api
        .list(&ListParams::default())
        .await
        .unwrap()
        .metadata
        .resource_version
        .unwrap();
    let writers = (0..8).map(|writer| {
        let api = api.clone();
        tokio::spawn(async move {
            for number in 0..20 {
                let name = format!("w{writer}-{number}");
                let widget = object(&name, json!({"type": "module"}));
                api.create(&PostParams::default(), &widget).await.unwrap();
            }
        })
    });
    for writer in writers.collect::<Vec<_>>() {
        writer.await.unwrap();
    }
    let stream = api.watch(&WatchParams::default(), &start).await.unwrap();
    let events: Vec<_> = within(stream.take(160).try_collect()).await.unwrap();
    let mut versions = Vec::new();
    for event in events {
        let WatchEvent::Added(object) = event else {
            panic!("{event:?}")
        };
        versions.push(object.resource_version().unwrap().parse::<u64>().unwrap());
    }
    assert_eq!(versions.len(), 160);
    assert!(
        versions.windows(2).all(|pair| pair[0] < pair[1]),
        "in order, each once"
    );
}

#[tokio::test]
async fn the_runtime_watcher_works_with_both_strategies() {
    for config in [
        watcher::Config::default().page_size(2),
        watcher::Config::default().streaming_lists(),
    ] {
        let fixture = Fixture::new().await;
        for name in ["a", "b", "c"] {
            fixture
                .create(name, json!({"type": "module"}))
                .await
                .unwrap();
        }
        let stream = watcher(fixture.widgets(), config);
        let mut stream = std::pin::pin!(stream);
        let mut initial = Vec::new();
        loop {
            match within(stream.try_next()).await.unwrap().unwrap() {
                watcher::Event::Init => {}
                watcher::Event::InitApply(object) => initial.push(object.name_any()),
                watcher::Event::InitDone => break,
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(initial, ["a", "b", "c"]);
        fixture
            .widgets()
            .create(
                &PostParams::default(),
                &object("d", json!({"type": "module"})),
            )
            .await
            .unwrap();
        let event = within(stream.try_next()).await.unwrap().unwrap();
        assert!(
            matches!(&event, watcher::Event::Apply(object) if object.name_any() == "d"),
            "{event:?}"
        );
    }
}

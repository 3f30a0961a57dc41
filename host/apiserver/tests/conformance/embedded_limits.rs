//! Bounds of the embedded server that a cluster does not have, or not at a size that a test can
//! reach.

use crate::support::{definition, gone, object, options, refused, widget, within};
use futures::{StreamExt as _, TryStreamExt as _};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::ResourceExt as _;
use kube::api::{
    Api, DynamicObject, ListParams, Patch, PatchParams, PostParams, WatchEvent, WatchParams,
};
use kube::runtime::wait::{await_condition, conditions};
use opendepot_apiserver::{Embedded, Error, Options};
use serde_json::json;
use std::time::{Duration, Instant};

fn widgets(embedded: &Embedded) -> Api<DynamicObject> {
    Api::namespaced_with(embedded.client("default"), "default", &widget())
}

async fn create(api: &Api<DynamicObject>, name: &str) -> DynamicObject {
    api.create(
        &PostParams::default(),
        &object(name, json!({"type": "module"})),
    )
    .await
    .unwrap()
}

#[tokio::test]
async fn a_revision_that_history_lost_is_gone() {
    let embedded = Embedded::open(Options {
        watch_history: 5,
        ..options()
    })
    .unwrap();
    let api = widgets(&embedded);
    let first = create(&api, "first").await.resource_version().unwrap();
    let open = api
        .watch(&WatchParams::default(), &first)
        .await
        .unwrap()
        .boxed();
    for number in 0..10 {
        create(&api, &format!("w{number}")).await;
    }
    // Both a new watch and one that never read are told, and end.
    for stream in [
        open,
        api.watch(&WatchParams::default(), &first)
            .await
            .unwrap()
            .boxed(),
    ] {
        let events: Vec<_> = within(stream.try_collect()).await.unwrap();
        assert_eq!(events.len(), 1);
        assert!(
            matches!(&events[0], WatchEvent::Error(status) if status.code == 410 && status.reason == "Expired")
        );
    }
}

#[tokio::test]
async fn a_restart_forgets_history_but_not_the_present() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.redb");
    let with_path = || Options {
        path: Some(path.clone()),
        ..options()
    };
    let embedded = Embedded::open(with_path()).unwrap();
    let old = create(&widgets(&embedded), "a")
        .await
        .resource_version()
        .unwrap();
    let last = create(&widgets(&embedded), "b")
        .await
        .resource_version()
        .unwrap();
    embedded.shutdown();
    let embedded = Embedded::open(with_path()).unwrap();
    let api = widgets(&embedded);
    let mut stale = api
        .watch(&WatchParams::default(), &old)
        .await
        .unwrap()
        .boxed();
    let event = within(stream_next(&mut stale)).await;
    assert!(matches!(event, Some(WatchEvent::Error(status)) if status.code == 410));
    let mut current = api
        .watch(&WatchParams::default(), &last)
        .await
        .unwrap()
        .boxed();
    create(&api, "c").await;
    assert!(
        matches!(within(stream_next(&mut current)).await, Some(WatchEvent::Added(object)) if object.name_any() == "c")
    );
    // A revision of another store is not waited for.
    let mut ahead = api.watch(&WatchParams::default(), "999999").await;
    let is_refused = match &mut ahead {
        Err(kube::Error::Api(status)) => status.code == 410,
        _ => false,
    };
    assert!(is_refused);
}

async fn stream_next<S>(stream: &mut S) -> Option<WatchEvent<DynamicObject>>
where
    S: futures::Stream<Item = kube::Result<WatchEvent<DynamicObject>>> + Unpin,
{
    stream.try_next().await.unwrap()
}

#[tokio::test]
async fn shutdown_ends_watches() {
    let embedded = Embedded::open(options()).unwrap();
    let stream = widgets(&embedded)
        .watch(&WatchParams::default(), "0")
        .await
        .unwrap();
    embedded.shutdown();
    let events: Vec<_> = within(stream.try_collect()).await.unwrap();
    assert!(events.is_empty());
}

#[tokio::test(start_paused = true)]
async fn bookmarks_come_within_a_minute() {
    let embedded = Embedded::open(options()).unwrap();
    let stream = widgets(&embedded)
        .watch(&WatchParams::default(), "0")
        .await
        .unwrap();
    let mut stream = stream.boxed();
    let before = tokio::time::Instant::now();
    let event = stream.try_next().await.unwrap();
    assert!(matches!(event, Some(WatchEvent::Bookmark(_))));
    assert!(before.elapsed() <= Duration::from_secs(60));
}

#[tokio::test]
async fn server_side_apply_is_refused_by_name() {
    let embedded = Embedded::open(options()).unwrap();
    let apply = Patch::Apply(object("a", json!({"type": "module"})));
    let result = widgets(&embedded)
        .patch("a", &PatchParams::apply("me"), &apply)
        .await;
    let status = refused(result);
    assert_eq!(
        (status.code, status.reason.as_str()),
        (415, "UnsupportedMediaType")
    );
    assert!(
        status.message.contains("server-side apply"),
        "{}",
        status.message
    );
}

/// While a kind is not served, nobody can say that an owner of it is gone.
#[tokio::test]
async fn what_lost_its_owner_is_collected_at_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.redb");
    let maps = |embedded: &Embedded| -> Api<ConfigMap> {
        Api::namespaced(embedded.client("default"), "default")
    };
    let embedded = Embedded::open(Options {
        path: Some(path.clone()),
        ..Options::default()
    })
    .unwrap();
    let map: ConfigMap =
        serde_json::from_value(json!({"metadata": {"name": "m", "ownerReferences": [{
            "apiVersion": "test.opendepot.defdev.io/v1", "kind": "Widget", "name": "gone",
            "uid": "00000000-0000-0000-0000-000000000001",
        }]}}))
        .unwrap();
    let map = maps(&embedded)
        .create(&PostParams::default(), &map)
        .await
        .unwrap();
    embedded.shutdown();
    let embedded = Embedded::open(Options {
        path: Some(path.clone()),
        ..Options::default()
    })
    .unwrap();
    assert_eq!(maps(&embedded).get("m").await.unwrap(), map);
    embedded.shutdown();
    let embedded = Embedded::open(Options {
        path: Some(path),
        ..options()
    })
    .unwrap();
    let uid = map.uid().unwrap();
    within(await_condition(
        maps(&embedded),
        "m",
        conditions::is_deleted(&uid),
    ))
    .await
    .unwrap();
}

#[tokio::test]
async fn a_tighter_definition_does_not_lock_existing_objects() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.redb");
    let embedded = Embedded::open(Options {
        path: Some(path.clone()),
        ..options()
    })
    .unwrap();
    let api = widgets(&embedded);
    api.create(
        &PostParams::default(),
        &object(
            "a",
            json!({"type": "module", "title": "old", "tags": ["x"]}),
        ),
    )
    .await
    .unwrap();
    embedded.shutdown();
    let mut tighter = serde_json::to_value(definition()).unwrap();
    let spec =
        &mut tighter["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"];
    spec["properties"]["title"]["pattern"] = json!("^new$");
    spec["properties"]["tags"]["x-kubernetes-validations"] =
        json!([{"rule": "self.all(t, t != 'x')", "message": "no x"}]);
    let options = Options {
        path: Some(path),
        crds: vec![serde_json::from_value(tighter).unwrap()],
        ..Options::default()
    };
    let embedded = Embedded::open(options).unwrap();
    let api = widgets(&embedded);
    let merge = |spec: serde_json::Value| {
        let api = api.clone();
        async move {
            api.patch(
                "a",
                &PatchParams::default(),
                &Patch::Merge(json!({"spec": spec})),
            )
            .await
        }
    };
    merge(json!({"size": 4})).await.unwrap();
    let status = refused(merge(json!({"title": "other"})).await);
    assert!(status.message.contains("spec.title"), "{}", status.message);
    let status = refused(merge(json!({"tags": ["x", "y"]})).await);
    assert!(status.message.contains("no x"), "{}", status.message);
    merge(json!({"title": "new", "tags": ["z"]})).await.unwrap();
}

#[tokio::test]
async fn unusable_definitions_are_named() {
    let broken = |pointer: &str, value: serde_json::Value| {
        let mut crd = serde_json::to_value(definition()).unwrap();
        *crd.pointer_mut(pointer).unwrap() = value;
        let crds = vec![serde_json::from_value(crd).unwrap()];
        Embedded::open(Options {
            crds,
            ..Options::default()
        })
        .unwrap_err()
    };
    let spec = "/spec/versions/0/schema/openAPIV3Schema/properties/spec";
    for (error, words) in [
        (
            broken(&format!("{spec}/properties/title/pattern"), json!("(")),
            "pattern",
        ),
        (
            broken(
                &format!("{spec}/x-kubernetes-validations/0/rule"),
                json!("self..x"),
            ),
            "rule",
        ),
        (
            broken("/spec/versions/0/served", json!(false)),
            "served version",
        ),
        (broken("/spec/scope", json!("Galactic")), "Galactic"),
    ] {
        assert!(matches!(error, Error::Definition { .. }), "{error}");
        assert!(error.to_string().contains(words), "{error}");
    }
}

/// Figures, printed with `--nocapture`; the bounds are for a debug build on a busy machine.
#[tokio::test]
#[ignore = "takes a while; run for figures"]
async fn ten_thousand_objects() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.redb");
    let with_path = || Options {
        path: Some(path.clone()),
        ..options()
    };
    let embedded = Embedded::open(with_path()).unwrap();
    let api = widgets(&embedded);
    let body = "x".repeat(2_600);
    let started = Instant::now();
    let writers = (0..32).map(|writer| {
        let (api, body) = (api.clone(), body.clone());
        tokio::spawn(async move {
            for number in (writer..10_000).step_by(32) {
                let object = object(
                    &format!("w{number:05}"),
                    json!({"type": "module", "anything": {"body": body}}),
                );
                api.create(&PostParams::default(), &object).await.unwrap();
            }
        })
    });
    for writer in writers.collect::<Vec<_>>() {
        writer.await.unwrap();
    }
    println!("wrote 10000 objects in {:?}", started.elapsed());
    embedded.shutdown();
    // Another process, so that its memory is that of an open store and nothing else.
    let status = std::process::Command::new(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "embedded_limits::figures_of_an_open_store",
            "--nocapture",
        ])
        .env(FIGURES, &path)
        .status()
        .unwrap();
    assert!(status.success());
}

const FIGURES: &str = "OPENDEPOT_FIGURES_TEST_PATH";

/// The second half of `ten_thousand_objects`; does nothing when run as a test of its own.
#[tokio::test]
async fn figures_of_an_open_store() {
    let Some(path) = std::env::var_os(FIGURES).map(std::path::PathBuf::from) else {
        return;
    };
    let memory = |when: &str| {
        if let Ok(status) = std::fs::read_to_string("/proc/self/status") {
            let line = status.lines().find(|line| line.starts_with("VmHWM"));
            println!("{when}: {}", line.unwrap_or_default());
        }
    };
    memory("before");
    let started = Instant::now();
    let embedded = Embedded::open(Options {
        path: Some(path),
        ..options()
    })
    .unwrap();
    println!("opened in {:?}", started.elapsed());
    memory("after opening");
    let api = widgets(&embedded);
    let started = Instant::now();
    let (mut token, mut count) = (None::<String>, 0);
    loop {
        let mut params = ListParams::default().limit(500);
        params.continue_token = token;
        let page = api.list(&params).await.unwrap();
        count += page.items.len();
        token = page.metadata.continue_.filter(|token| !token.is_empty());
        if token.is_none() {
            break;
        }
    }
    println!(
        "listed {count} objects in pages of 500 in {:?}",
        started.elapsed()
    );
    memory("after listing");
    assert_eq!(count, 10_000);
}

/// More than one step of the collector takes, with every propagation and a namespace.
#[tokio::test]
async fn large_families_are_collected_in_steps() {
    use k8s_openapi::api::core::v1::Namespace;
    use kube::api::DeleteParams;
    const MANY: usize = 230;
    let embedded = Embedded::open(options()).unwrap();
    let client = embedded.client("default");
    let api = widgets(&embedded);
    for (name, params, survivors) in [
        ("background", DeleteParams::background(), 0),
        ("foreground", DeleteParams::foreground(), 0),
        ("orphan", DeleteParams::orphan(), MANY),
    ] {
        let owner = create(&api, name).await;
        let mut last = None;
        for number in 0..MANY {
            let mut dependent = object(&format!("{name}-{number:03}"), json!({"type": "module"}));
            dependent.metadata.owner_references = Some(vec![
                serde_json::from_value(json!({
                    "apiVersion": "test.opendepot.defdev.io/v1", "kind": "Widget", "name": name,
                    "uid": owner.uid(), "blockOwnerDeletion": true,
                }))
                .unwrap(),
            ]);
            last = Some(
                api.create(&PostParams::default(), &dependent)
                    .await
                    .unwrap(),
            );
        }
        api.delete(name, &params).await.unwrap();
        gone(&api, &owner).await;
        if survivors == 0 {
            gone(&api, &last.unwrap()).await;
        }
        let left = api.list(&ListParams::default()).await.unwrap();
        assert_eq!(left.items.len(), survivors, "{name}");
        assert!(
            left.items
                .iter()
                .all(|object| object.owner_references().is_empty()),
            "{name}"
        );
    }
    let namespaces: Api<Namespace> = Api::all(client.clone());
    let namespace: Namespace =
        serde_json::from_value(json!({"metadata": {"name": "full"}})).unwrap();
    let namespace = namespaces
        .create(&PostParams::default(), &namespace)
        .await
        .unwrap();
    let inside: Api<DynamicObject> = Api::namespaced_with(client.clone(), "full", &widget());
    let maps: Api<ConfigMap> = Api::namespaced(client, "full");
    for number in 0..MANY {
        create(&inside, &format!("w{number}")).await;
        let map: ConfigMap =
            serde_json::from_value(json!({"metadata": {"name": format!("m{number}")}})).unwrap();
        maps.create(&PostParams::default(), &map).await.unwrap();
    }
    namespaces
        .delete("full", &DeleteParams::default())
        .await
        .unwrap();
    let uid = namespace.uid().unwrap();
    within(await_condition(
        namespaces,
        "full",
        conditions::is_deleted(&uid),
    ))
    .await
    .unwrap();
    assert!(
        inside
            .list(&ListParams::default())
            .await
            .unwrap()
            .items
            .is_empty()
    );
    assert!(
        maps.list(&ListParams::default())
            .await
            .unwrap()
            .items
            .is_empty()
    );
}

//! Labels of Namespaces, Modules and Providers, as policies are told them.

use crate::feed::watch_failed;
use futures::{StreamExt as _, TryStreamExt as _};
use k8s_openapi::api::core::v1::Namespace;
use kube::runtime::watcher::{self, Event};
use kube::runtime::{WatchStreamExt as _, watcher as watch};
use kube::{Api, Client, ResourceExt as _};
use opendepot_domain::ArtifactKind;
use opendepot_domain::access::{LabelMap, Labels};
use parking_lot::RwLock;
use std::collections::HashMap;

type ByName = HashMap<String, LabelMap>;

/// What is known; what is not in it, nobody has told.
#[derive(Default)]
pub(crate) struct LabelIndex {
    namespaces: RwLock<ByName>,
    modules: RwLock<HashMap<String, ByName>>,
    providers: RwLock<HashMap<String, ByName>>,
}

impl LabelIndex {
    fn shelf(&self, kind: ArtifactKind) -> &RwLock<HashMap<String, ByName>> {
        match kind {
            ArtifactKind::Module => &self.modules,
            ArtifactKind::Provider => &self.providers,
        }
    }

    /// The labels of a resource and its namespace.
    pub(crate) fn of(&self, namespace: &str, kind: ArtifactKind, name: &str) -> Labels {
        let shelf = self.shelf(kind).read();
        let resource = shelf.get(namespace).and_then(|names| names.get(name));
        Labels {
            namespace: self.namespaces.read().get(namespace).cloned(),
            resource: resource.cloned(),
        }
    }

    /// Notes a Module or Provider as it is, or that it is gone.
    pub(crate) fn note<K: kube::Resource>(&self, kind: ArtifactKind, object: &K, is_there: bool) {
        let namespace = object.namespace().unwrap_or_default();
        let mut shelf = self.shelf(kind).write();
        let names = shelf.entry(namespace.clone()).or_default();
        if is_there {
            names.insert(object.name_any(), labels(object));
        } else {
            names.remove(&object.name_any());
        }
        if names.is_empty() {
            shelf.remove(&namespace);
        }
    }

    /// Replaces all of a kind by a complete list.
    pub(crate) fn replace(&self, kind: ArtifactKind, list: Vec<(String, String, LabelMap)>) {
        let mut shelf: HashMap<String, ByName> = HashMap::new();
        for (namespace, name, labels) in list {
            shelf.entry(namespace).or_default().insert(name, labels);
        }
        *self.shelf(kind).write() = shelf;
    }

    /// Notes a Namespace as it is, or that it is gone.
    pub(crate) fn note_namespace<K: kube::Resource>(&self, object: &K, is_there: bool) {
        let name = object.name_any();
        let mut namespaces = self.namespaces.write();
        if is_there {
            namespaces.insert(name, labels(object));
        } else {
            namespaces.remove(&name);
        }
    }

    /// Replaces all Namespaces by a complete list.
    pub(crate) fn replace_namespaces(&self, list: HashMap<String, LabelMap>) {
        *self.namespaces.write() = list;
    }
}

/// An object's labels.
pub(crate) fn labels<K: kube::Resource>(object: &K) -> LabelMap {
    object.labels().clone().into()
}

/// Keeps the labels of Namespaces. Where they may not be read, they stay unknown.
pub(crate) async fn watch_namespaces(client: Client, only: Option<&str>, index: &LabelIndex) {
    let mut config = watcher::Config::default().page_size(crate::PAGE_SIZE);
    if let Some(only) = only {
        config = config.fields(&format!("metadata.name={only}"));
    }
    let api = Api::<Namespace>::all(client);
    let mut events = watch(api, config).default_backoff().boxed();
    let mut fresh = HashMap::new();
    loop {
        match events.try_next().await {
            Ok(Some(Event::Init)) => fresh.clear(),
            Ok(Some(Event::InitApply(object))) => {
                fresh.insert(object.name_any(), labels(&object));
            }
            Ok(Some(Event::InitDone)) => index.replace_namespaces(std::mem::take(&mut fresh)),
            Ok(Some(Event::Apply(object))) => index.note_namespace(&object, true),
            Ok(Some(Event::Delete(object))) => index.note_namespace(&object, false),
            Ok(None) => return,
            Err(error) => watch_failed("namespace", &error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use opendepot_crds::Module;

    fn module(namespace: &str, name: &str, label: &str) -> Module {
        serde_json::from_value(serde_json::json!({
            "apiVersion": "opendepot.defdev.io/v1alpha1", "kind": "Module",
            "metadata": { "name": name, "namespace": namespace, "labels": { "tier": label } },
            "spec": { "moduleConfig": { "name": name, "provider": "null" }, "versions": [] },
        }))
        .unwrap()
    }

    #[test]
    fn what_is_gone_is_unknown_and_a_list_replaces_all() {
        let index = LabelIndex::default();
        let tier = |name: &str| {
            let labels = index.of("team", ArtifactKind::Module, name).resource?;
            labels.get("tier").cloned()
        };
        let (one, two) = (module("team", "one", "a"), module("team", "two", "b"));
        index.note(ArtifactKind::Module, &one, true);
        index.note(ArtifactKind::Module, &two, true);
        assert_eq!(
            (tier("one"), tier("two")),
            (Some("a".into()), Some("b".into()))
        );
        let provider = index.of("team", ArtifactKind::Provider, "one");
        assert_eq!(provider, Labels::default());
        index.note(ArtifactKind::Module, &one, false);
        assert_eq!(tier("one"), None);
        let list = vec![("team".to_owned(), "one".to_owned(), labels(&one))];
        index.replace(ArtifactKind::Module, list);
        assert_eq!((tier("one"), tier("two")), (Some("a".into()), None));
    }
}

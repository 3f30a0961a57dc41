//! The fixture, its kind, and ways to wait for something with a deadline.

use http::{Request, header};
use http_body_util::BodyExt as _;
use k8s_openapi::api::core::v1::Namespace;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{
    Api, ApiResource, DynamicObject, GroupVersionKind, ListParams, ObjectMeta, PostParams,
};
use kube::client::Body;
use kube::runtime::wait::{await_condition, conditions};
use kube::{Client, Config, ResourceExt as _};
use opendepot_apiserver::{Embedded, Options};
use serde_json::{Value, json};
use std::future::Future;
use std::time::Duration;

/// Nothing here takes longer, also on a busy machine.
pub(crate) const DEADLINE: Duration = Duration::from_secs(30);
/// The garbage collector of a cluster looks only every 30 seconds for kinds that are new.
const CLUSTER_DEADLINE: Duration = Duration::from_secs(120);
const CLUSTER: &str = "OPENDEPOT_CONFORMANCE_KUBECONFIG";

pub(crate) struct Fixture {
    pub(crate) client: Client,
    pub(crate) namespace: String,
    /// Kept so that the store outlives the test.
    embedded: Option<Embedded>,
}

impl Fixture {
    pub(crate) async fn new() -> Self {
        let (client, embedded) = match std::env::var(CLUSTER) {
            Ok(path) => (cluster(&path).await, None),
            Err(_) => {
                let crds = crds();
                let embedded = Embedded::open(Options {
                    crds,
                    ..Options::default()
                })
                .unwrap();
                (embedded.client("default"), Some(embedded))
            }
        };
        let namespaces: Api<Namespace> = Api::all(client.clone());
        let namespace = Namespace {
            metadata: ObjectMeta {
                generate_name: Some("conformance-".to_owned()),
                ..ObjectMeta::default()
            },
            ..Namespace::default()
        };
        let namespace = namespaces
            .create(&PostParams::default(), &namespace)
            .await
            .unwrap()
            .name_any();
        Self {
            client,
            namespace,
            embedded,
        }
    }

    /// Whether this is a real one. For the few questions that it answers in another way.
    pub(crate) fn is_cluster(&self) -> bool {
        self.embedded.is_none()
    }

    /// Sends a request as it is.
    pub(crate) async fn send(
        &self,
        method: &str,
        path: &str,
        media: &str,
        body: &str,
    ) -> (u16, Value) {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::CONTENT_TYPE, media)
            .body(Body::from(body.as_bytes().to_vec()))
            .unwrap();
        within(async {
            let response = self.client.send(request).await.unwrap();
            let code = response.status().as_u16();
            let bytes = response.into_body().collect().await.unwrap().to_bytes();
            (code, serde_json::from_slice(&bytes).unwrap())
        })
        .await
    }

    pub(crate) fn widgets(&self) -> Api<DynamicObject> {
        Api::namespaced_with(self.client.clone(), &self.namespace, &widget())
    }

    pub(crate) async fn create(&self, name: &str, spec: Value) -> kube::Result<DynamicObject> {
        self.widgets()
            .create(&PostParams::default(), &object(name, spec))
            .await
    }
}

pub(crate) fn options() -> Options {
    Options {
        crds: vec![definition()],
        ..Options::default()
    }
}

async fn cluster(path: &str) -> Client {
    let kubeconfig = kube::config::Kubeconfig::read_from(path).unwrap();
    let mut config = Config::from_custom_kubeconfig(kubeconfig, &Default::default())
        .await
        .unwrap();
    // The first answer counts.
    config.default_retry = false;
    let client = Client::try_from(config).unwrap();
    let definitions: Api<CustomResourceDefinition> = Api::all(client.clone());
    for crd in crds() {
        let name = crd.name_any();
        match definitions.create(&PostParams::default(), &crd).await {
            Ok(_) => {}
            Err(kube::Error::Api(status)) if status.code == 409 => {}
            Err(error) => panic!("cannot install the definition: {error}"),
        }
        let wait = await_condition(definitions.clone(), &name, conditions::is_crd_established());
        within(wait).await.unwrap();
        // It serves a kind a moment after it says so.
        let kind = GroupVersionKind::gvk(
            &crd.spec.group,
            &crd.spec.versions.first().unwrap().name,
            &crd.spec.names.kind,
        );
        let kind = ApiResource::from_gvk_with_plural(&kind, &crd.spec.names.plural);
        let objects: Api<DynamicObject> = Api::all_with(client.clone(), &kind);
        within(async {
            while objects.list(&ListParams::default().limit(1)).await.is_err() {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        })
        .await;
    }
    client
}

fn crds() -> Vec<CustomResourceDefinition> {
    let mut all = opendepot_crds::all();
    all.push(definition());
    all
}

/// Fails the test when the future takes longer than anything should.
pub(crate) async fn within<F: Future>(future: F) -> F::Output {
    let deadline = match std::env::var_os(CLUSTER) {
        Some(_) => CLUSTER_DEADLINE,
        None => DEADLINE,
    };
    tokio::time::timeout(deadline, future)
        .await
        .expect("in time")
}

pub(crate) fn widget() -> ApiResource {
    let kind = GroupVersionKind::gvk("test.opendepot.defdev.io", "v1", "Widget");
    ApiResource::from_gvk_with_plural(&kind, "widgets")
}

pub(crate) fn object(name: &str, spec: Value) -> DynamicObject {
    DynamicObject::new(name, &widget()).data(json!({ "spec": spec }))
}

/// The `Status` of a refusal.
pub(crate) fn refused<T: std::fmt::Debug>(result: kube::Result<T>) -> kube::core::Status {
    match result {
        Err(kube::Error::Api(status)) => *status,
        other => panic!("expected a refusal, got {other:?}"),
    }
}

/// Waits until the object with this uid is gone.
pub(crate) async fn gone(api: &Api<DynamicObject>, object: &DynamicObject) {
    let (uid, name) = (object.uid().unwrap(), object.name_any());
    let wait = await_condition(api.clone(), &name, conditions::is_deleted(&uid));
    within(wait).await.unwrap();
}

/// Waits until the object is as `claim` says.
pub(crate) async fn becomes(
    api: &Api<DynamicObject>,
    name: &str,
    claim: impl Fn(&DynamicObject) -> bool,
) -> DynamicObject {
    let wait = await_condition(api.clone(), name, |object: Option<&DynamicObject>| {
        object.is_some_and(&claim)
    });
    within(wait).await.unwrap().unwrap()
}

pub(crate) fn definition() -> CustomResourceDefinition {
    serde_json::from_value(json!({
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": "widgets.test.opendepot.defdev.io"},
        "spec": {
            "group": "test.opendepot.defdev.io",
            "scope": "Namespaced",
            "names": {"kind": "Widget", "listKind": "WidgetList", "plural": "widgets", "singular": "widget", "shortNames": ["wd"]},
            "versions": [{
                "name": "v1", "served": true, "storage": true,
                "subresources": {"status": {}},
                "selectableFields": [{"jsonPath": ".spec.type"}],
                "schema": {"openAPIV3Schema": schema()},
            }],
        },
    }))
    .unwrap()
}

fn schema() -> Value {
    json!({
        "type": "object",
        "required": ["spec"],
        "properties": {
            "apiVersion": {"type": "string"},
            "kind": {"type": "string"},
            "metadata": {"type": "object"},
            "spec": {
                "type": "object",
                "required": ["type"],
                "properties": {
                    "type": {
                        "type": "string", "enum": ["module", "provider"],
                        "x-kubernetes-validations": [{"rule": "self == oldSelf", "message": "type is immutable"}],
                    },
                    "size": {"type": "integer", "format": "int32", "minimum": 1, "maximum": 10, "default": 3},
                    "title": {"type": "string", "pattern": "^[a-zé]+$", "minLength": 2, "maxLength": 10},
                    "when": {"type": "string", "format": "date-time"},
                    "blob": {"type": "string", "format": "byte"},
                    "port": {"x-kubernetes-int-or-string": true},
                    "maybe": {"type": "string", "nullable": true},
                    "tags": {"type": "array", "maxItems": 3, "x-kubernetes-list-type": "set", "items": {"type": "string", "maxLength": 20}},
                    "entries": {
                        "type": "array", "maxItems": 5,
                        "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"],
                        "items": {
                            "type": "object", "required": ["name"],
                            "properties": {
                                "name": {"type": "string", "maxLength": 20},
                                "value": {
                                    "type": "string", "maxLength": 20, "default": "none",
                                    "x-kubernetes-validations": [{"rule": "self == oldSelf", "message": "value is immutable"}],
                                },
                            },
                        },
                    },
                    "options": {
                        "type": "object", "maxProperties": 10,
                        "additionalProperties": {"type": "string", "maxLength": 20},
                    },
                    "anything": {"type": "object", "x-kubernetes-preserve-unknown-fields": true},
                    "nested": {
                        "type": "object", "default": {},
                        "properties": {"level": {"type": "integer", "default": 1}},
                    },
                },
                "x-kubernetes-validations": [
                    {"rule": "!has(self.title) || self.title != 'forbidden'", "message": "this title is taken", "fieldPath": ".title", "reason": "FieldValueForbidden"},
                    {"rule": "self.size != 7", "messageExpression": "'size must not be 7 of a ' + self.type"},
                ],
            },
            "status": {
                "type": "object",
                "properties": {
                    "phase": {"type": "string", "maxLength": 20},
                    "count": {"type": "integer"},
                },
            },
        },
    })
}

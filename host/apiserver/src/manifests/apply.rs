//! One pass over the folder.

use super::read::{self, Document, Folder};
use super::sources;
use super::{Options, Problem, Report, merge};
use crate::Embedded;
use crate::resource::Resource;
use crate::routes::{self, BoxError};
use crate::store::Key;
use bytes::Bytes;
use http::{Method, Request, header};
use http_body_util::{BodyExt as _, Full};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;
use std::sync::Arc;

/// What the file said when it was applied last.
const LAST_APPLIED: &str = "opendepot.defdev.io/last-applied";
/// Which file an object came from.
const MANIFEST: &str = "opendepot.defdev.io/manifest";
const MANAGER: &str = "opendepot-manifests";
/// Fields of metadata that belong to the server.
const SERVER_FIELDS: [&str; 9] = [
    "creationTimestamp",
    "deletionGracePeriodSeconds",
    "deletionTimestamp",
    "generateName",
    "generation",
    "managedFields",
    "resourceVersion",
    "selfLink",
    "uid",
];

/// One object as a file wants it.
struct Wanted {
    resource: Arc<Resource>,
    namespace: String,
    name: String,
    file: String,
    line: usize,
    value: Value,
}

impl Wanted {
    fn key(&self) -> Key {
        Key::new(&self.resource, &self.namespace, &self.name)
    }

    fn problem(&self, message: impl Into<String>) -> Problem {
        Problem {
            file: self.file.clone(),
            line: Some(self.line),
            message: format!("{} `{}`: {}", self.resource.kind, self.name, message.into()),
        }
    }
}

pub(super) async fn apply(embedded: &Embedded, options: &Options) -> Report {
    let dir = options.dir.clone();
    let mut folder = tokio::task::spawn_blocking(move || read::read(&dir))
        .await
        .unwrap_or_else(|error| {
            let mut folder = Folder::default();
            folder.unseen(".", format!("cannot read the folder: {error}"));
            folder
        });
    sources::leave_out(&mut folder);
    let mut report = Report {
        problems: folder.problems,
        ..Report::default()
    };
    let mut broken = folder.broken;
    let (wanted, kept) = collect(embedded, folder.documents, &mut report, &mut broken);
    create_namespaces(embedded, &wanted, &mut report).await;
    for object in &wanted {
        match apply_object(embedded, object).await {
            Ok(Outcome::Applied) => report.applied += 1,
            Ok(Outcome::Unchanged) => report.unchanged += 1,
            Err(message) => report.problems.push(object.problem(message)),
        }
    }
    if options.prune && !folder.is_incomplete {
        prune(embedded, &kept, &broken, &mut report).await;
    }
    report
}

/// Turns documents into objects, namespaces first. Also answers the keys of everything that some
/// file still defines.
fn collect(
    embedded: &Embedded,
    documents: Vec<Document>,
    report: &mut Report,
    broken: &mut BTreeSet<String>,
) -> (Vec<Wanted>, BTreeSet<Key>) {
    let mut found: BTreeMap<Key, Vec<Wanted>> = BTreeMap::new();
    let mut order = Vec::new();
    for document in documents {
        let (file, line) = (document.file.clone(), document.line);
        match identify(embedded, document) {
            Ok(wanted) => {
                let key = wanted.key();
                let same = found.entry(key.clone()).or_default();
                if same.is_empty() {
                    order.push(key);
                }
                same.push(wanted);
            }
            Err(message) => {
                broken.insert(file.clone());
                report.problems.push(Problem {
                    file,
                    line: Some(line),
                    message,
                });
            }
        }
    }
    let kept = found.keys().cloned().collect();
    let mut wanted = Vec::with_capacity(order.len());
    for key in order {
        let mut same = found.remove(&key).unwrap_or_default().into_iter();
        let Some(first) = same.next() else { continue };
        for other in same {
            report.problems.push(other.problem(format!(
                "also defined at {}:{}, which is used",
                first.file, first.line
            )));
            report.problems.push(first.problem(format!(
                "also defined at {}:{}, which is ignored",
                other.file, other.line
            )));
        }
        wanted.push(first);
    }
    wanted.sort_by_key(|object| !object.resource.is_namespace());
    (wanted, kept)
}

fn identify(embedded: &Embedded, document: Document) -> Result<Wanted, String> {
    let Document { file, line, value } = document;
    let text = |pointer: &str| {
        value
            .pointer(pointer)
            .and_then(Value::as_str)
            .filter(|text| !text.is_empty())
            .map(str::to_owned)
    };
    let kind = text("/kind").ok_or("a document has no `kind`")?;
    let api_version = text("/apiVersion").ok_or("a document has no `apiVersion`")?;
    let name = text("/metadata/name")
        .ok_or_else(|| format!("{kind}: `metadata.name` is missing or no string"))?;
    let namespace = text("/metadata/namespace");
    let resource = embedded
        .store
        .shared
        .registry
        .by_kind(&api_version, &kind)
        .map(Arc::clone)
        .ok_or_else(|| format!("{kind} `{name}`: no kind `{kind}` of `{api_version}` is served"))?;
    if !crate::names::is_subdomain(&name) {
        return Err(format!("{kind}: `{}` is not a name", name.escape_debug()));
    }
    let namespace = if resource.is_namespaced {
        let namespace = namespace.unwrap_or_else(|| "default".to_owned());
        if !crate::names::is_label(&namespace) {
            return Err(format!(
                "{kind} `{name}`: `{}` is not a namespace",
                namespace.escape_debug()
            ));
        }
        namespace
    } else if namespace.is_some() {
        return Err(format!("{kind} `{name}`: this kind has no namespace"));
    } else {
        String::new()
    };
    let value = clean(value, &namespace);
    Ok(Wanted {
        resource,
        namespace,
        name,
        file,
        line,
        value,
    })
}

/// Keeps what a file may decide.
fn clean(mut value: Value, namespace: &str) -> Value {
    merge::without_nulls(&mut value);
    let Some(object) = value.as_object_mut() else {
        return value;
    };
    object.remove("status");
    if let Some(meta) = object.get_mut("metadata").and_then(Value::as_object_mut) {
        meta.retain(|key, _| !SERVER_FIELDS.contains(&key.as_str()));
        if !namespace.is_empty() {
            meta.insert("namespace".to_owned(), Value::from(namespace));
        }
        // Always present, so that annotations that a file drops are removed one by one.
        let annotations = meta
            .entry("annotations")
            .or_insert_with(|| Value::Object(Map::new()));
        if let Some(annotations) = annotations.as_object_mut() {
            annotations.remove(LAST_APPLIED);
            annotations.remove(MANIFEST);
        }
    }
    value
}

/// Creates the namespaces that objects need and that do not exist.
async fn create_namespaces(embedded: &Embedded, wanted: &[Wanted], report: &mut Report) {
    let namespaces = Arc::clone(&embedded.store.shared.registry.namespaces);
    let mut seen: BTreeSet<&str> = wanted
        .iter()
        .filter(|object| object.resource.is_namespace())
        .map(|object| object.name.as_str())
        .collect();
    for object in wanted {
        if object.namespace.is_empty() || !seen.insert(&object.namespace) {
            continue;
        }
        let path = path_of(&namespaces, "", Some(&object.namespace));
        let answer = call(embedded, Method::GET, &path, "", None).await;
        if matches!(&answer, Answer::Refused { code: 404, .. }) {
            let body = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": object.namespace}});
            let path = path_of(&namespaces, "", None);
            match call(
                embedded,
                Method::POST,
                &path,
                "application/json",
                Some(&body),
            )
            .await
            {
                Answer::Done(_) | Answer::Refused { code: 409, .. } => {}
                Answer::Refused { message, .. } => report.problems.push(object.problem(message)),
            }
        }
    }
}

enum Outcome {
    Applied,
    Unchanged,
}

async fn apply_object(embedded: &Embedded, object: &Wanted) -> Result<Outcome, String> {
    let path = path_of(&object.resource, &object.namespace, Some(&object.name));
    match call(embedded, Method::GET, &path, "", None).await {
        Answer::Refused { code: 404, .. } => {
            let mut body = object.value.clone();
            annotate(&mut body, object);
            let path = path_of(&object.resource, &object.namespace, None);
            match call(
                embedded,
                Method::POST,
                &path,
                "application/json",
                Some(&body),
            )
            .await
            {
                Answer::Done(_) => Ok(Outcome::Applied),
                Answer::Refused { message, .. } => Err(message),
            }
        }
        Answer::Refused { message, .. } => Err(message),
        Answer::Done(current) => update_object(embedded, object, &path, &current).await,
    }
}

async fn update_object(
    embedded: &Embedded,
    object: &Wanted,
    path: &str,
    current: &Value,
) -> Result<Outcome, String> {
    if current.pointer("/metadata/deletionTimestamp").is_some() {
        return Err("is being deleted; it will be created again once it is gone".to_owned());
    }
    let annotation = |name: &str| {
        current
            .get("metadata")?
            .get("annotations")?
            .get(name)?
            .as_str()
    };
    let last = annotation(LAST_APPLIED)
        .and_then(|text| serde_json::from_str(text).ok())
        .unwrap_or(Value::Null);
    let is_recorded = last == object.value && annotation(MANIFEST) == Some(&object.file);
    let patch = merge::patch(&last, &object.value, current);
    if is_recorded && patch.is_none() {
        return Ok(Outcome::Unchanged);
    }
    let mut patch = patch.unwrap_or_else(|| Value::Object(Map::new()));
    annotate(&mut patch, object);
    let media = "application/merge-patch+json";
    match call(embedded, Method::PATCH, path, media, Some(&patch)).await {
        Answer::Done(after) => {
            let version = |value: &Value| value.pointer("/metadata/resourceVersion").cloned();
            if version(&after) == version(current) {
                // The server sees no difference, such as for a Secret's `stringData`.
                Ok(Outcome::Unchanged)
            } else {
                Ok(Outcome::Applied)
            }
        }
        Answer::Refused { message, .. } => Err(message),
    }
}

/// Adds the two annotations to a body or a merge patch.
fn annotate(value: &mut Value, object: &Wanted) {
    let Some(root) = value.as_object_mut() else {
        return;
    };
    let mut at = root;
    for key in ["metadata", "annotations"] {
        let inner = at.entry(key).or_insert_with(|| Value::Object(Map::new()));
        if !inner.is_object() {
            // A merge patch that removes all annotations: ours replace them.
            *inner = Value::Object(Map::new());
        }
        let Some(inner) = inner.as_object_mut() else {
            return;
        };
        at = inner;
    }
    at.insert(
        LAST_APPLIED.to_owned(),
        Value::from(object.value.to_string()),
    );
    at.insert(MANIFEST.to_owned(), Value::from(object.file.as_str()));
}

/// Deletes what came from files and documents that are gone.
async fn prune(
    embedded: &Embedded,
    kept: &BTreeSet<Key>,
    broken: &BTreeSet<String>,
    report: &mut Report,
) {
    for (key, file, uid) in ours(embedded) {
        if kept.contains(&key) || broken.contains(&file) {
            continue;
        }
        let Some(resource) = key.resource(&embedded.store.shared.registry) else {
            continue;
        };
        let (_, namespace, name) = key.parts();
        let path = path_of(resource, namespace, Some(name));
        let body = json!({"propagationPolicy": "Background", "preconditions": {"uid": uid}});
        match call(
            embedded,
            Method::DELETE,
            &path,
            "application/json",
            Some(&body),
        )
        .await
        {
            Answer::Done(_) => report.pruned += 1,
            Answer::Refused {
                code: 404 | 409, ..
            } => {}
            Answer::Refused { message, .. } => report.problems.push(Problem {
                file,
                line: None,
                message: format!("cannot delete {} `{name}`: {message}", resource.kind),
            }),
        }
    }
}

/// Objects that came from a file and are not being deleted: key, file and uid. What a controller
/// owns is the controller's to delete, also when a file has annotated it.
fn ours(embedded: &Embedded) -> Vec<(Key, String, String)> {
    #[derive(serde::Deserialize)]
    struct Outline {
        metadata: Meta,
    }
    #[derive(serde::Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Meta {
        #[serde(default)]
        uid: String,
        #[serde(default)]
        annotations: BTreeMap<String, String>,
        #[serde(default)]
        owner_references: Vec<OwnerReference>,
        deletion_timestamp: Option<String>,
    }
    let is_controller = |owner: &OwnerReference| owner.controller == Some(true);
    let shared = &embedded.store.shared;
    let Ok(snapshot) = shared.snapshot() else {
        return Vec::new();
    };
    let mut found = Vec::new();
    for resource in shared.registry.all() {
        let prefix = crate::store::prefix(resource, None);
        let scanned = snapshot.scan(&prefix, None, |key, bytes| {
            if let Ok(mut outline) = serde_json::from_slice::<Outline>(bytes)
                && outline.metadata.deletion_timestamp.is_none()
                && !outline.metadata.owner_references.iter().any(is_controller)
                && let Some(file) = outline.metadata.annotations.remove(MANIFEST)
            {
                found.push((key, file, outline.metadata.uid));
            }
            Ok(ControlFlow::Continue(()))
        });
        if scanned.is_err() {
            // Logged where it happened; what was not seen is not deleted.
            break;
        }
    }
    found
}

fn path_of(resource: &Resource, namespace: &str, name: Option<&str>) -> String {
    let mut path = if resource.group.is_empty() {
        format!("/api/{}", resource.version)
    } else {
        format!("/apis/{}/{}", resource.group, resource.version)
    };
    if !namespace.is_empty() {
        path.push_str("/namespaces/");
        path.push_str(namespace);
    }
    path.push('/');
    path.push_str(&resource.plural);
    if let Some(name) = name {
        path.push('/');
        path.push_str(name);
    }
    path
}

enum Answer {
    Done(Value),
    Refused { code: u16, message: String },
}

/// One request to our own server, over its front door.
async fn call(
    embedded: &Embedded,
    method: Method,
    path: &str,
    media: &str,
    body: Option<&Value>,
) -> Answer {
    let query = if method == Method::POST || method == Method::PATCH {
        format!("?fieldManager={MANAGER}&fieldValidation=Strict")
    } else {
        String::new()
    };
    let refused = |error: BoxError| Answer::Refused {
        code: 500,
        message: error.to_string(),
    };
    let bytes = body.map_or_else(Bytes::new, |body| Bytes::from(body.to_string()));
    let request = Request::builder()
        .method(method)
        .uri(format!("{path}{query}"))
        .header(header::CONTENT_TYPE, media)
        .body(Full::new(bytes));
    let request = match request {
        Ok(request) => request,
        Err(error) => return refused(error.into()),
    };
    let response = routes::handle(Arc::clone(&embedded.store), request).await;
    let code = response.status();
    let bytes = match response.into_body().collect().await {
        Ok(body) => body.to_bytes(),
        Err(never) => match never {},
    };
    match serde_json::from_slice::<Value>(&bytes) {
        Ok(value) if code.is_success() => Answer::Done(value),
        Ok(status) => Answer::Refused {
            code: code.as_u16(),
            message: status
                .get("message")
                .and_then(Value::as_str)
                .unwrap_or("refused")
                .to_owned(),
        },
        Err(error) => refused(error.into()),
    }
}

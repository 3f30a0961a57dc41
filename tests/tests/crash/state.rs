//! What is kept: objects of the control plane and files of the data dir, without what differs
//! between two equal runs (times, uids, keys).

use opendepot_tests::fixture::NAMESPACE;
use opendepot_tests::{Setup, sha256};
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;

/// Every object that a run may leave behind.
const LISTS: [&str; 4] = [
    "/apis/opendepot.defdev.io/v1alpha1/modules",
    "/apis/opendepot.defdev.io/v1alpha1/providers",
    "/apis/opendepot.defdev.io/v1alpha1/versions",
    "/api/v1/configmaps",
];

/// Members that differ between two equal runs.
const VARYING: [&str; 11] = [
    "creationTimestamp",
    "generation",
    "keyId",
    "lastTransitionTime",
    "managedFields",
    "observedGeneration",
    "publishedAt",
    "resourceVersion",
    "seal",
    "signature",
    "signedAt",
];

/// All objects by kind and name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Objects {
    objects: BTreeMap<String, Value>,
}

impl Objects {
    /// Reads them through the control socket; also the revision of the store. Nothing when
    /// nobody listens.
    pub(crate) async fn read(setup: &Setup) -> Option<(Self, String)> {
        let mut objects = BTreeMap::new();
        let mut revision = String::new();
        for path in LISTS {
            let list = get(&setup.data_dir().join("control.sock"), path).await?;
            revision = text(&list, "/metadata/resourceVersion")?.to_owned();
            for item in list.get("items")?.as_array()? {
                let name = text(item, "/metadata/name")?;
                objects.insert(format!("{path}/{name}"), stable(item));
            }
        }
        Some((Self { objects }, revision))
    }

    /// How many of them record stored bytes.
    pub(crate) fn num_stored(&self) -> usize {
        let stored = |value: &&Value| value.pointer("/status/artifact").is_some();
        self.objects.values().filter(stored).count()
    }

    /// Where `self` differs from `expected`, one place a line.
    pub(crate) fn differences(&self, expected: &Self) -> Vec<String> {
        let mut found = Vec::new();
        let names: BTreeSet<&String> = self.objects.keys().chain(expected.objects.keys()).collect();
        for name in names {
            let short = name
                .rsplit_once("v1alpha1/")
                .map_or(name.as_str(), |(_, short)| short);
            let (is, should) = (self.objects.get(name), expected.objects.get(name));
            compare(
                short,
                is.unwrap_or(&Value::Null),
                should.unwrap_or(&Value::Null),
                &mut found,
            );
        }
        found
    }
}

fn text<'a>(value: &'a Value, pointer: &str) -> Option<&'a str> {
    value.pointer(pointer)?.as_str()
}

fn compare(place: &str, is: &Value, should: &Value, found: &mut Vec<String>) {
    if is == should {
        return;
    }
    if let (Value::Object(one), Value::Object(other)) = (is, should) {
        let members: BTreeSet<&String> = one.keys().chain(other.keys()).collect();
        for member in members {
            let (is, should) = (one.get(member), other.get(member));
            let place = format!("{place}.{member}");
            compare(
                &place,
                is.unwrap_or(&Value::Null),
                should.unwrap_or(&Value::Null),
                found,
            );
        }
        return;
    }
    let short = |value: &Value| {
        let text = value.to_string();
        text.chars().take(300).collect::<String>()
    };
    found.push(format!("{place} is {}, not {}", short(is), short(should)));
}

/// A value without what varies; conditions by their type.
fn stable(value: &Value) -> Value {
    match value {
        Value::Object(members) => {
            let kept = members
                .iter()
                .filter(|(name, _)| !VARYING.contains(&name.as_str()) && *name != "uid")
                .map(|(name, value)| (name.clone(), stable(value)));
            Value::Object(kept.collect::<Map<_, _>>())
        }
        Value::Array(items) => {
            let typed: Option<Map<String, Value>> = items
                .iter()
                .map(|item| Some((item.get("type")?.as_str()?.to_owned(), stable(item))))
                .collect();
            match typed.filter(|_| !items.is_empty()) {
                Some(by_type) => Value::Object(by_type),
                None => Value::Array(items.iter().map(stable).collect()),
            }
        }
        other => other.clone(),
    }
}

/// Sets an annotation of a Version, as an administrator does.
pub(crate) async fn annotate(setup: &Setup, version: &str, name: &str, value: &str) {
    let path =
        format!("/apis/opendepot.defdev.io/v1alpha1/namespaces/{NAMESPACE}/versions/{version}");
    let patch = json!({ "metadata": { "annotations": { name: value } } }).to_string();
    let head = format!(
        "PATCH {path} HTTP/1.0\r\nHost: localhost\r\nContent-Type: application/merge-patch+json\r\n\
         Content-Length: {}\r\n\r\n",
        patch.len()
    );
    let socket = setup.data_dir().join("control.sock");
    call(&socket, &(head + &patch))
        .await
        .expect("the annotation is taken");
}

async fn get(socket: &Path, path: &str) -> Option<Value> {
    call(
        socket,
        &format!("GET {path} HTTP/1.0\r\nHost: localhost\r\n\r\n"),
    )
    .await
}

/// One request over a socket. HTTP/1.0, so that the body ends with the connection.
async fn call(socket: &Path, request: &str) -> Option<Value> {
    let mut stream = UnixStream::connect(socket).await.ok()?;
    stream.write_all(request.as_bytes()).await.ok()?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.ok()?;
    let text = String::from_utf8(answer).ok()?;
    let (head, body) = text.split_once("\r\n\r\n")?;
    head.split_whitespace()
        .nth(1)
        .filter(|code| *code == "200")?;
    serde_json::from_str(body).ok()
}

/// Every file below the data dir with its digest; the store and the keys by name only. The folder
/// for what is fetched may be a link to another disk.
pub(crate) fn files(setup: &Setup) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    visit(&setup.data_dir(), "", &mut found);
    if found.remove("tmp").is_some() {
        visit(&setup.data_dir().join("tmp"), "tmp/", &mut found);
    }
    found
}

fn visit(folder: &Path, prefix: &str, found: &mut BTreeMap<String, String>) {
    for entry in fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        let name = format!("{prefix}{}", entry.file_name().to_string_lossy());
        if entry.file_type().unwrap().is_dir() {
            visit(&entry.path(), &format!("{name}/"), found);
        } else if name.starts_with("artifacts/") {
            found.insert(name, sha256(&fs::read(entry.path()).unwrap()));
        } else if name.ends_with(".pub.asc") {
            // Named by a key that every data dir makes for itself.
            found.insert("signing/KEY.pub.asc".to_owned(), String::new());
        } else {
            found.insert(name, String::new());
        }
    }
}

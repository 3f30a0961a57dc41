//! `status` and `annotate`: what somebody without `kubectl` needs of the embedded control plane.

use crate::cli::{AnnotateArgs, StatusArgs};
use crate::control;
use crate::data::DataDir;
use anyhow::{Context as _, bail};
use kube::api::{ApiResource, DynamicObject, ListParams, Patch, PatchParams};
use kube::{Api, ResourceExt as _};
use opendepot_crds::{Depot, GroupBinding, Module, Provider, Version};
use serde_json::{Map, Value, json};
use std::fmt::Write as _;
use std::path::Path;
use std::process::ExitCode;

/// Nobody watches while these run.
const WATCH_HISTORY: usize = 16;
/// Who these writes are from.
const MANAGER: &str = "opendepot-cli";

/// Our kinds, in the order in which they are listed.
fn kinds() -> [ApiResource; 5] {
    [
        ApiResource::erase::<Depot>(&()),
        ApiResource::erase::<Module>(&()),
        ApiResource::erase::<Provider>(&()),
        ApiResource::erase::<GroupBinding>(&()),
        ApiResource::erase::<Version>(&()),
    ]
}

/// The control plane of the running process, or its store where none runs.
pub(crate) async fn client(data_dir: &Path) -> anyhow::Result<kube::Client> {
    if !data_dir.is_dir() {
        bail!(
            "there is no data directory `{}`; name the registry's with --data-dir",
            data_dir.display()
        );
    }
    let data = DataDir::at(data_dir);
    Ok(match control::client(&data.socket()).await {
        Some(client) => client,
        None => data.open_store(WATCH_HISTORY)?.client("default"),
    })
}

fn api(
    client: kube::Client,
    namespace: Option<&str>,
    resource: &ApiResource,
) -> Api<DynamicObject> {
    match namespace {
        Some(namespace) => Api::namespaced_with(client, namespace, resource),
        None => Api::all_with(client, resource),
    }
}

/// Prints every resource with its summary; exit 0 when all are ready.
pub(crate) fn status(args: &StatusArgs) -> anyhow::Result<ExitCode> {
    tokio::runtime::Runtime::new()?.block_on(async {
        let client = client(&args.data_dir).await?;
        let problems = control::manifest_problems(&DataDir::at(&args.data_dir).socket()).await;
        let mut rows = Vec::new();
        let (mut num_unready, mut num_hidden) = (0_usize, 0_usize);
        for resource in kinds() {
            let objects = api(client.clone(), args.namespace.as_deref(), &resource)
                .list(&ListParams::default())
                .await
                .with_context(|| {
                    format!("cannot list the resources of kind `{}`", resource.kind)
                })?;
            for object in objects {
                let row = Row::of(&resource, &object);
                let is_ready = row.ready == "True";
                // An owner speaks for its Versions: it knows which of them it can do without.
                let is_owned = object
                    .owner_references()
                    .iter()
                    .any(|owner| owner.controller == Some(true));
                num_unready += usize::from(!is_ready && !is_owned);
                if is_ready && !row.is_noteworthy && resource.kind == "Version" && !args.all {
                    num_hidden += 1;
                } else {
                    rows.push(row);
                }
            }
        }
        let mut text = table(&rows);
        if num_hidden > 0 {
            writeln!(
                text,
                "Versions that are ready: {num_hidden} (--all lists them)"
            )?;
        }
        for problem in &problems {
            writeln!(text, "cannot apply {problem}")?;
        }
        crate::say(&text)?;
        Ok(if num_unready == 0 && problems.is_empty() {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        })
    })
}

/// One line of the table.
struct Row {
    kind: String,
    namespace: String,
    name: String,
    ready: String,
    reason: String,
    message: String,
    /// Ready, with something to be looked at.
    is_noteworthy: bool,
}

impl Row {
    fn of(resource: &ApiResource, object: &DynamicObject) -> Self {
        let conditions = object.data.pointer("/status/conditions");
        let conditions = conditions.and_then(Value::as_array);
        let field = |condition: &Value, name: &str| {
            let text = condition.get(name).and_then(Value::as_str);
            // Guests and sources have a say in these: nothing may move a terminal's cursor.
            text.unwrap_or_default().replace(char::is_control, " ")
        };
        let found = |name: &str| {
            let all = conditions.into_iter().flatten();
            all.clone()
                .find(|condition| field(condition, "type") == name)
        };
        let Some(ready) = found("Ready") else {
            return Self {
                kind: resource.kind.clone(),
                namespace: object.namespace().unwrap_or_default(),
                name: object.name_any(),
                ready: "Unknown".to_owned(),
                reason: "Pending".to_owned(),
                message: "nobody has looked at it yet".to_owned(),
                is_noteworthy: false,
            };
        };
        // What is served although something about it is wrong.
        let note = [
            "ContentDrift",
            "ArtifactCorrupt",
            "ArtifactMissing",
            "Stale",
        ]
        .into_iter()
        .filter_map(found)
        .find(|condition| field(condition, "status") == "True");
        let is_noteworthy = field(ready, "status") == "True" && note.is_some();
        let shown = note.filter(|_| is_noteworthy).unwrap_or(ready);
        Self {
            kind: resource.kind.clone(),
            namespace: object.namespace().unwrap_or_default(),
            name: object.name_any(),
            ready: field(ready, "status"),
            reason: field(shown, if is_noteworthy { "type" } else { "reason" }),
            message: field(shown, "message"),
            is_noteworthy,
        }
    }

    fn cells(&self) -> [&str; 6] {
        let Self {
            kind,
            namespace,
            name,
            ready,
            reason,
            message,
            is_noteworthy: _,
        } = self;
        [kind, namespace, name, ready, reason, message]
    }
}

/// Columns as wide as their widest cell; the last one runs on.
fn table(rows: &[Row]) -> String {
    const HEAD: [&str; 6] = ["KIND", "NAMESPACE", "NAME", "READY", "REASON", "MESSAGE"];
    let lines: Vec<[&str; 6]> = std::iter::once(HEAD)
        .chain(rows.iter().map(Row::cells))
        .collect();
    let widths = HEAD.iter().enumerate().map(|(column, _)| {
        let cells = lines.iter().filter_map(|line| line.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    });
    let widths: Vec<usize> = widths.collect();
    let mut text = String::new();
    for line in &lines {
        let mut padded = String::new();
        for (cell, width) in line.iter().zip(&widths) {
            padded.push_str(&format!("{cell:<width$}  "));
        }
        text.push_str(padded.trim_end());
        text.push('\n');
    }
    text
}

/// Sets or removes annotations of one resource.
pub(crate) fn annotate(args: &AnnotateArgs) -> anyhow::Result<ExitCode> {
    let annotations = parse(&args.annotations)?;
    let (resource, name) = target(&args.target)?;
    tokio::runtime::Runtime::new()?.block_on(async {
        let client = client(&args.data_dir).await?;
        let params = PatchParams {
            field_manager: Some(MANAGER.to_owned()),
            ..PatchParams::default()
        };
        let patch = json!({ "metadata": { "annotations": annotations } });
        api(client, Some(&args.namespace), &resource)
            .patch(name, &params, &Patch::Merge(&patch))
            .await
            .with_context(|| {
                format!(
                    "cannot annotate {} `{}/{name}`",
                    resource.kind, args.namespace
                )
            })?;
        crate::say(&format!(
            "annotated {} {}/{name}\n",
            resource.kind, args.namespace
        ))
    })
}

/// `KIND/NAME`; the kind in any case, one or many.
fn target(text: &str) -> anyhow::Result<(ApiResource, &str)> {
    let (kind, name) = text
        .split_once('/')
        .with_context(|| format!("`{text}` is not KIND/NAME, such as `version/hello-1-0-0`"))?;
    let wanted = kind.to_lowercase();
    let wanted = wanted.split('.').next().unwrap_or_default();
    let found = kinds()
        .into_iter()
        .find(|resource| resource.kind.to_lowercase() == wanted || resource.plural == wanted);
    let resource = found.with_context(|| {
        format!(
            "`{kind}` is no kind of ours; they are depot, module, provider, groupbinding, version"
        )
    })?;
    if name.is_empty() || name.contains(|c: char| !(c.is_ascii_alphanumeric() || "-.".contains(c)))
    {
        bail!("`{name}` is not the name of a resource");
    }
    Ok((resource, name))
}

/// `KEY=VALUE` sets, `KEY-` removes.
fn parse(texts: &[String]) -> anyhow::Result<Map<String, Value>> {
    let mut annotations = Map::new();
    for text in texts {
        let (key, value) = match (text.split_once('='), text.strip_suffix('-')) {
            (Some((key, value)), _) => (key, Value::from(value)),
            (None, Some(key)) => (key, Value::Null),
            (None, None) => bail!("`{text}` is neither KEY=VALUE nor KEY-"),
        };
        annotations.insert(key.to_owned(), value);
    }
    Ok(annotations)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_named_as_kubectl_names_them() {
        for text in [
            "version/hello-1-0-0",
            "Versions/hello-1-0-0",
            "versions.opendepot.defdev.io/hello-1-0-0",
        ] {
            let (resource, name) = target(text).unwrap();
            assert_eq!((resource.kind.as_str(), name), ("Version", "hello-1-0-0"));
        }
        for text in [
            "hello",
            "pod/x",
            "version/",
            "version/../x",
            "version/a/b",
            "version/a?b",
        ] {
            assert!(target(text).is_err(), "{text}");
        }
    }

    #[test]
    fn annotations_are_set_and_removed() {
        let parsed = parse(&["a/b=sha256:0=1".to_owned(), "c-".to_owned()]).unwrap();
        assert_eq!(
            Value::Object(parsed),
            json!({ "a/b": "sha256:0=1", "c": null })
        );
        assert!(parse(&["a".to_owned()]).is_err());
    }

    #[test]
    fn what_is_served_and_drifted_is_shown_with_the_drift() {
        let resource = ApiResource::erase::<Version>(&());
        let mut object = DynamicObject::new("hello-1-0-0", &resource);
        let condition = |name: &str, message: &str| json!({ "type": name, "status": "True", "reason": "Any", "message": message });
        let conditions = [
            condition("Ready", "fine"),
            condition("ContentDrift", "differs"),
        ];
        object.data = json!({ "status": { "conditions": conditions } });
        let row = Row::of(&resource, &object);
        assert!(row.is_noteworthy);
        assert_eq!(
            (
                row.ready.as_str(),
                row.reason.as_str(),
                row.message.as_str()
            ),
            ("True", "ContentDrift", "differs")
        );
    }

    #[test]
    fn a_table_lines_up_and_nothing_in_it_moves_the_cursor() {
        let mut object = DynamicObject::new("hello", &ApiResource::erase::<Module>(&()));
        object.metadata.namespace = Some("demo".to_owned());
        let condition = json!({ "type": "Ready", "status": "False", "reason": "SourceFailed", "message": "no\u{1b}[2J\nfolder" });
        object.data = json!({ "status": { "conditions": [condition] } });
        let text = table(&[Row::of(&ApiResource::erase::<Module>(&()), &object)]);
        assert_eq!(
            text,
            "KIND    NAMESPACE  NAME   READY  REASON        MESSAGE\n\
             Module  demo       hello  False  SourceFailed  no [2J folder\n"
        );
    }
}

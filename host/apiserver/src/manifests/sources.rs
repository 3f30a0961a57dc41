//! Folders of the manifests folder that hold what resources publish, not resources.

use super::read::Folder;
use serde_json::Value;

/// Drops what was read beneath the folders that documents name as `source.path`: a module's own
/// YAML files, or a release's JSON manifest, are content.
pub(super) fn leave_out(folder: &mut Folder) {
    let mut prefixes = Vec::new();
    for document in &folder.documents {
        collect(&document.value, &mut prefixes);
    }
    if prefixes.is_empty() {
        return;
    }
    let is_content = |file: &str| {
        prefixes
            .iter()
            .any(|prefix| file.starts_with(prefix.as_str()))
    };
    folder
        .documents
        .retain(|document| !is_content(&document.file));
    folder.problems.retain(|problem| !is_content(&problem.file));
    folder.broken.retain(|file| !is_content(file));
}

/// The part of each `source.path` before its first placeholder, with a slash at its end.
fn collect(value: &Value, prefixes: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            for (key, field) in fields {
                let path = field
                    .get("path")
                    .and_then(Value::as_str)
                    .filter(|_| key == "source");
                prefixes.extend(path.and_then(prefix));
                collect(field, prefixes);
            }
        }
        Value::Array(items) => items.iter().for_each(|item| collect(item, prefixes)),
        _ => {}
    }
}

fn prefix(path: &str) -> Option<String> {
    let fixed = path.trim_start_matches("./").split('{').next()?;
    let end = fixed.rfind('/')?;
    fixed
        .get(..=end)
        .filter(|prefix| prefix.len() > 1 && !prefix.starts_with('/'))
        .map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifests::Problem;
    use crate::manifests::read::Document;
    use serde_json::json;

    #[test]
    fn files_beneath_a_source_are_content() {
        let document = |file: &str, value| Document {
            file: file.to_owned(),
            line: 1,
            value,
        };
        let module = json!({"spec": {"moduleConfig": {"source": {"path": "./src/vpc/{version}"}}}});
        let mut folder = Folder {
            documents: vec![
                document("vpc.yaml", module),
                document(
                    "src/vpc/1.0.0/deployment.yaml",
                    json!({"kind": "Deployment"}),
                ),
                document("src/other.yaml", json!({"kind": "Module"})),
            ],
            problems: vec![Problem {
                file: "src/vpc/1.0.0/x.json".to_owned(),
                line: None,
                message: "bad".to_owned(),
            }],
            ..Folder::default()
        };
        leave_out(&mut folder);
        let files: Vec<_> = folder
            .documents
            .iter()
            .map(|document| document.file.as_str())
            .collect();
        assert_eq!(files, ["vpc.yaml", "src/other.yaml"]);
        assert!(folder.problems.is_empty());
    }

    #[test]
    fn a_path_without_a_fixed_folder_leaves_out_nothing() {
        assert_eq!(prefix("{version}/x"), None);
        assert_eq!(prefix("/srv/{version}"), None);
        assert_eq!(prefix("a/b-{version}"), Some("a/".to_owned()));
    }
}

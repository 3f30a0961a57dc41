//! The operator's `root` and the resource's `directoryPath`.

use crate::key::check_segment;
use opendepot_plugin_sdk::settings::{Object, Problems, parse, shown};
use opendepot_plugin_sdk::storage::{Configuration, Error};

/// An absolute path's segments.
type Segments<'a> = Vec<&'a str>;

/// The resource's directory below the root, as segments; empty when the resource names none.
/// Problems of both documents are reported together.
pub(crate) fn directory(configuration: &Configuration) -> Result<Vec<String>, Error> {
    let problems = Problems::new();
    let operator = parse(&configuration.operator, "operator", &problems);
    let backend = configuration
        .backend
        .as_deref()
        .and_then(|text| parse(text, "backend", &problems));

    let root = operator
        .as_ref()
        .and_then(|value| Object::new(value, "operator", &problems))
        .and_then(|object| {
            object.deny_unknown(&["root"]);
            let root = absolute(&object, "root", object.required_text("root")?)?;
            if root.is_empty() {
                object.problem("root", "must be a folder below `/`");
            }
            Some(root)
        });
    let directory = backend
        .as_ref()
        .and_then(|value| Object::new(value, "backend", &problems))
        .and_then(|object| {
            object.deny_unknown(&["directoryPath"]);
            let text = object.text("directoryPath")?;
            let directory = absolute(&object, "directoryPath", text)?;
            let root = root.as_ref()?;
            let below = directory.strip_prefix(root.as_slice());
            if below.is_none() {
                object.problem(
                    "directoryPath",
                    format!(
                        "`{}` is not below the operator's root `/{}`",
                        shown(text),
                        shown(&root.join("/"))
                    ),
                );
            }
            below.map(|segments| segments.iter().map(|part| (*part).to_owned()).collect())
        });
    problems.into_storage_result()?;
    Ok(directory.unwrap_or_default())
}

/// Splits an absolute path; empty parts are dropped. Everything else that is not a plain name is
/// a problem.
fn absolute<'a>(object: &Object<'_>, key: &str, text: &'a str) -> Option<Segments<'a>> {
    let Some(rest) = text.strip_prefix('/') else {
        object.problem(
            key,
            format!("`{}` must be absolute: start with `/`", shown(text)),
        );
        return None;
    };
    let segments: Segments<'a> = rest.split('/').filter(|part| !part.is_empty()).collect();
    for segment in &segments {
        if let Err(reason) = check_segment(segment) {
            object.problem(key, format!("`{}` cannot be used: {reason}", shown(text)));
            return None;
        }
    }
    Some(segments)
}

//! The operator's `root` and the resource's `directoryPath`.

use opendepot_plugin_sdk::key;
use opendepot_plugin_sdk::settings::{Object, shown};
use opendepot_plugin_sdk::storage::{Configuration, Error};

/// The resource's directory below the root, as segments; empty when the resource names none.
/// Problems of both documents are reported together.
pub(crate) fn directory(configuration: &Configuration) -> Result<Vec<String>, Error> {
    configuration.read(|operator, backend| {
        let root = operator.and_then(|object| {
            object.deny_unknown(&["root"]);
            let root = absolute(object, "root", object.required_text("root")?)?;
            if root.is_empty() {
                object.problem("root", "must be a folder below `/`");
            }
            Some(root)
        });
        let directory = backend.and_then(|object| {
            object.deny_unknown(&["directoryPath"]);
            let text = object.text("directoryPath")?;
            let directory = absolute(object, "directoryPath", text)?;
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
        Some(directory.unwrap_or_default())
    })
}

/// Splits an absolute path; empty parts are dropped. Everything else that is not a plain name is
/// a problem.
fn absolute<'a>(object: &Object<'_>, key: &str, text: &'a str) -> Option<Vec<&'a str>> {
    let Some(rest) = text.strip_prefix('/') else {
        object.problem(
            key,
            format!("`{}` must be absolute: start with `/`", shown(text)),
        );
        return None;
    };
    let segments = key::segments(rest);
    if let Err(reason) = segments {
        object.problem(key, format!("`{}` cannot be used: {reason}", shown(text)));
    }
    segments.ok()
}

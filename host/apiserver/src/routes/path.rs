//! Paths. Anything that is not exactly a known shape of valid names is refused here, before the
//! store is touched.

use crate::names;
use crate::resource::{Registry, Resource};
use crate::status_error::ApiError;
use crate::update::Door;
use std::sync::Arc;

/// A page about the server itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Page {
    Version,
    Health,
    CoreVersions,
    Groups,
    Group(String),
    Resources { group: String, version: String },
    Definitions,
    Definition(String),
}

/// What a path names.
#[derive(Clone, Debug)]
pub(super) enum Target {
    Discovery(Page),
    Collection {
        resource: Arc<Resource>,
        /// `None`: all of them, or a cluster-scoped kind.
        namespace: Option<String>,
    },
    Object {
        resource: Arc<Resource>,
        /// Empty for cluster-scoped kinds.
        namespace: String,
        name: String,
        door: Door,
    },
}

const DEFINITIONS: [&str; 3] = ["apiextensions.k8s.io", "v1", "customresourcedefinitions"];

fn refuse(segment: &str) -> ApiError {
    let shown: String = segment.escape_debug().take(80).collect();
    ApiError::bad_request(format!("`{shown}` cannot be part of a path"))
}

/// Splits a path into segments of characters that no valid name needs to escape.
fn segments(path: &str) -> Result<Vec<&str>, ApiError> {
    let path = path.strip_prefix('/').ok_or_else(|| refuse(path))?;
    let path = path.strip_suffix('/').unwrap_or(path);
    if path.is_empty() {
        return Ok(Vec::new());
    }
    path.split('/')
        .map(|segment| {
            let is_plain = !segment.is_empty()
                && segment != "."
                && segment != ".."
                && segment
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_'));
            if is_plain {
                Ok(segment)
            } else {
                Err(refuse(segment))
            }
        })
        .collect()
}

pub(super) fn parse(registry: &Registry, path: &str) -> Result<Target, ApiError> {
    let segments = segments(path)?;
    let page = |page| Ok(Target::Discovery(page));
    match segments.as_slice() {
        ["version"] => page(Page::Version),
        ["livez" | "readyz" | "healthz"] => page(Page::Health),
        ["api"] => page(Page::CoreVersions),
        ["apis"] => page(Page::Groups),
        ["apis", group] => page(Page::Group((*group).to_owned())),
        ["api", version] => page(Page::Resources {
            group: String::new(),
            version: (*version).to_owned(),
        }),
        ["apis", group, version] => page(Page::Resources {
            group: (*group).to_owned(),
            version: (*version).to_owned(),
        }),
        ["apis", rest @ ..] if rest.starts_with(&DEFINITIONS) => match rest.get(3..) {
            None | Some([]) => page(Page::Definitions),
            Some([name]) => page(Page::Definition((*name).to_owned())),
            Some(_) => Err(ApiError::no_route()),
        },
        ["api", version, rest @ ..] => resource(registry, "", version, rest),
        ["apis", group, version, rest @ ..] => resource(registry, group, version, rest),
        _ => Err(ApiError::no_route()),
    }
}

fn resource(
    registry: &Registry,
    group: &str,
    version: &str,
    rest: &[&str],
) -> Result<Target, ApiError> {
    let find = |plural: &str| {
        registry
            .by_route(group, version, plural)
            .map(Arc::clone)
            .ok_or_else(ApiError::no_route)
    };
    match rest {
        ["namespaces", namespace, plural, rest @ ..]
            if !(group.is_empty() && matches!(*plural, "status" | "finalize")) =>
        {
            let resource = find(plural)?;
            if !resource.is_namespaced {
                return Err(ApiError::no_route());
            }
            let namespace = valid_namespace(namespace)?;
            if rest.is_empty() {
                return Ok(Target::Collection {
                    resource,
                    namespace: Some(namespace),
                });
            }
            object(resource, namespace, rest)
        }
        [plural] => Ok(Target::Collection {
            resource: find(plural)?,
            namespace: None,
        }),
        [plural, rest @ ..] => {
            let resource = find(plural)?;
            if resource.is_namespaced {
                return Err(ApiError::no_route());
            }
            object(resource, String::new(), rest)
        }
        [] => Err(ApiError::no_route()),
    }
}

fn object(resource: Arc<Resource>, namespace: String, rest: &[&str]) -> Result<Target, ApiError> {
    let (name, door) = match rest {
        [name] => (*name, Door::Main),
        [name, "status"] if resource.has_status => (*name, Door::Status),
        _ => return Err(ApiError::no_route()),
    };
    if !names::is_subdomain(name) {
        return Err(refuse(name));
    }
    Ok(Target::Object {
        resource,
        namespace,
        name: name.to_owned(),
        door,
    })
}

fn valid_namespace(text: &str) -> Result<String, ApiError> {
    if names::is_label(text) {
        Ok(text.to_owned())
    } else {
        Err(refuse(text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(path: &str) -> u16 {
        match parse(&Registry::new(&[]).unwrap(), path) {
            Ok(_) => 200,
            Err(error) => error.code.as_u16(),
        }
    }

    #[test]
    fn hostile_paths_are_refused_before_anything_else() {
        for path in [
            "/api/v1/namespaces/default/configmaps/..",
            "/api/v1/namespaces/default/configmaps/.",
            "/api/v1/namespaces/default/configmaps/%2e%2e",
            "/api/v1/namespaces/default/configmaps/a%2fb",
            "/api/v1/namespaces/default/configmaps/a%3Fwatch=true",
            "/api/v1/namespaces/default/configmaps/a%00",
            "/api/v1/namespaces/default/configmaps/a%5cb",
            "/api/v1/namespaces/default/configmaps/..;",
            "/api/v1/namespaces/default//configmaps",
            "/api/v1/namespaces/../configmaps/a",
            "/api/v1/namespaces/Default/configmaps/a",
            "/api/v1/namespaces/a.b/configmaps/a",
            "/api/v1/namespaces/default/configmaps/A",
            "/api/v1/namespaces/default/configmaps/a_b",
            "/api/v1//namespaces",
            "api/v1/namespaces",
        ] {
            assert_eq!(code(path), 400, "{path}");
        }
    }

    #[test]
    fn unknown_routes_are_not_found() {
        for path in [
            "/",
            "/api/v2/namespaces",
            "/api/v1/pods",
            "/apis/none/v1/things",
            "/api/v1/configmaps/a",
            "/api/v1/namespaces/default/configmaps/a/status",
            "/api/v1/namespaces/default/namespaces",
            "/api/v1/namespaces/default/finalize",
        ] {
            assert_eq!(code(path), 404, "{path}");
        }
    }

    #[test]
    fn known_routes() {
        for path in [
            "/version",
            "/api",
            "/apis/coordination.k8s.io/v1",
            "/api/v1/namespaces",
            "/api/v1/namespaces/default",
            "/api/v1/namespaces/default/status",
            "/api/v1/configmaps",
            "/api/v1/namespaces/default/configmaps/a.b",
            "/apis/apiextensions.k8s.io/v1/customresourcedefinitions",
        ] {
            assert_eq!(code(path), 200, "{path}");
        }
    }
}

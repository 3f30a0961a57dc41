//! Places artifacts in one store that the operator names, by kind, namespace, name and version. A
//! resource may ask for a folder of its own.
//!
//! ```yaml
//! settings:                     # the operator's
//!   store: s3://depot-artifacts # a grant under `stores` must match it
//! # and in a resource:
//! storageConfig: { plugin: { name: template-storage, settings: { folder: team-a } } }
//! ```

use opendepot_plugin_sdk::settings::{self, Object};
use opendepot_plugin_sdk::storage::{Configuration, Error, Placement, StoragePlugin};
use opendepot_plugin_sdk::{Artifact, Problem, key, register_storage};

/// The plugin. It keeps nothing: a fresh instance may serve each call. The trait's own `plan` lets
/// the host's client act on the placement as it is, which is all that these stores need.
pub struct Plugin;

struct Settings {
    store: String,
    folder: Option<String>,
}

impl Settings {
    /// Reads both sides, so that every mistake is seen at once. Paths begin with the side.
    fn read(configuration: &Configuration) -> Result<Self, Error> {
        let operator = settings::read(&configuration.operator, |root| {
            root.deny_unknown(&["store"]);
            root.line("store", 200).unwrap_or_default().to_owned()
        });
        let backend = configuration.backend.as_deref().unwrap_or("{}");
        let backend = settings::read(backend, |root: &Object<'_>| {
            root.deny_unknown(&["folder"]);
            let folder = root.text("folder").map(str::to_owned);
            if let Some(Err(reason)) = folder.as_deref().map(|folder| key::join([folder])) {
                root.problem("folder", reason);
            }
            folder
        });
        match (operator, backend) {
            (Ok(store), Ok(folder)) => Ok(Self { store, folder }),
            (operator, backend) => {
                let of = |side: &str, problems: Option<Vec<Problem>>| -> Vec<Problem> {
                    let problems = problems.unwrap_or_default().into_iter();
                    let at = |path: &str| format!("{side}.{path}").trim_end_matches('.').to_owned();
                    problems
                        .map(|problem| Problem::new(at(&problem.path), problem.message))
                        .collect()
                };
                let mut problems = of("operator", operator.err());
                problems.extend(of("backend", backend.err()));
                Err(problems.into())
            }
        }
    }
}

impl StoragePlugin for Plugin {
    fn validate(configuration: &Configuration) -> Result<(), Error> {
        Settings::read(configuration).map(|_| ())
    }

    /// Asked once for each new artifact; store and key are then recorded. Artifacts that differ
    /// must not get one key.
    fn locate(configuration: &Configuration, artifact: &Artifact) -> Result<Placement, Error> {
        let Settings { store, folder } = Settings::read(configuration)?;
        let mut segments: Vec<&str> = folder.iter().map(String::as_str).collect();
        segments.extend([
            artifact.kind.as_str(),
            &artifact.namespace,
            &artifact.name,
            &artifact.version,
        ]);
        segments.extend(artifact.os.as_deref());
        segments.extend(artifact.arch.as_deref());
        segments.push(&artifact.file_name);
        let key = key::join(segments).map_err(Error::Denied)?;
        Ok(Placement::new(store, key))
    }
}

register_storage!(Plugin);

#[cfg(test)]
mod tests {
    use super::*;
    use opendepot_plugin_sdk::fixture::storage::{artifact, configuration, problems};
    use opendepot_plugin_sdk::storage::{Operation, Transfer};

    const SETTINGS: &str = r#"{"store": "s3://depot"}"#;

    #[test]
    fn the_key_says_what_it_is() {
        let provider = artifact();
        let file = &provider.file_name;
        for (backend, folder) in [
            (None, ""),
            (Some("{}"), ""),
            (Some(r#"{"folder": "x"}"#), "x/"),
        ] {
            let placement = Plugin::locate(&configuration(SETTINGS, backend), &provider).unwrap();
            let key = format!("{folder}provider/team-a/aws/5.0.0/linux/amd64/{file}");
            assert_eq!(placement, Placement::new("s3://depot", key));
        }
    }

    #[test]
    fn hostile_names_are_refused() {
        for file_name in ["", "..", "a/b", "a\\b", "a\n"] {
            let hostile = Artifact {
                file_name: file_name.to_owned(),
                ..artifact()
            };
            let answer = Plugin::locate(&configuration(SETTINGS, None), &hostile);
            assert!(matches!(answer, Err(Error::Denied(_))), "{file_name:?}");
        }
    }

    #[test]
    fn a_record_is_planned_as_it_is() {
        let placement = Placement::new("s3://depot", "k");
        let configuration = configuration(SETTINGS, None);
        let plan = |operation: &Operation| {
            let placement = placement.clone();
            Plugin::plan(&configuration, &artifact(), placement, operation, 0)
        };
        assert_eq!(
            plan(&Operation::Get),
            Ok(Transfer::Native(placement.clone()))
        );
        assert_eq!(plan(&Operation::Prepare), Ok(Transfer::Nothing));
        let unknown = Operation::Other("copy".to_owned());
        assert!(matches!(plan(&unknown), Err(Error::Unsupported(_))));
    }

    #[test]
    fn every_mistake_is_reported_with_its_path() {
        for (operator, backend, paths) in [
            (SETTINGS, None, vec![]),
            ("{}", None, vec!["operator.store"]),
            ("[]", Some("[]"), vec!["operator", "backend"]),
            (
                r#"{"store": 1, "key": 2}"#,
                Some(r#"{"folder": "../x"}"#),
                vec!["operator.key", "operator.store", "backend.folder"],
            ),
        ] {
            let found = problems::<Plugin>(&configuration(operator, backend));
            let found: Vec<&str> = found.iter().map(|(path, _)| path.as_str()).collect();
            assert_eq!(found, paths);
        }
    }
}

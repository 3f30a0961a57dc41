//! The storage world: where an artifact lives, and how the host reaches it.
//!
//! The plugin decides, the host moves the bytes. Where bytes are is a record: the host asks
//! [`StoragePlugin::locate`] once and keeps the answer; every later plan must keep to it.

pub use crate::bindings::storage::opendepot::storage::types::{
    Configuration, Error, Operation, OptionValue, Placement, SignedRequest, StoreOption, Transfer,
};

use crate::artifact::{Artifact, Attribute, Problem};
use crate::bindings::storage::exports::opendepot::storage::backend::Guest;
use crate::key;
use crate::settings::{Object, Problems, parse, shown};
use std::marker::PhantomData;

/// A storage plugin. Every function gets all that it needs; keep nothing between calls.
pub trait StoragePlugin {
    /// Checks the operator's settings and, when present, a resource's backend block. Report every
    /// problem, not the first: see [`crate::settings`].
    ///
    /// # Errors
    /// [`Error::InvalidSettings`] with all problems.
    fn validate(configuration: &Configuration) -> Result<(), Error> {
        let _ = configuration;
        Ok(())
    }

    /// Says where a new artifact is to live. Asked once for each placement: store and key are
    /// then recorded.
    ///
    /// # Errors
    /// Any [`Error`]; the artifact is then not stored.
    fn locate(configuration: &Configuration, artifact: &Artifact) -> Result<Placement, Error>;

    /// Plans one operation on a placement. For recorded artifacts the placement carries store and
    /// key alone and the configuration has no backend block.
    ///
    /// The default lets the host's own client act on the placement as it is, and creates nothing.
    ///
    /// # Errors
    /// Any [`Error`]; [`Error::Unsupported`] for an operation that this plugin does not offer.
    fn plan(
        configuration: &Configuration,
        artifact: &Artifact,
        placement: Placement,
        operation: &Operation,
        now: u64,
    ) -> Result<Transfer, Error> {
        let _ = (configuration, artifact, now);
        match operation {
            Operation::Prepare => Ok(Transfer::Nothing),
            Operation::Other(name) => Err(Error::unknown_operation(name)),
            _ => Ok(Transfer::Native(placement)),
        }
    }
}

impl Placement {
    /// A key in a store, with nothing else.
    pub fn new(store: impl Into<String>, key: impl Into<String>) -> Self {
        Self {
            store: store.into(),
            key: key.into(),
            attributes: Vec::new(),
            options: Vec::new(),
            credentials: None,
        }
    }

    /// The placement with an option of the host's client, such as `storage-class`.
    #[must_use]
    pub fn with_option(mut self, name: &str, value: impl Into<String>) -> Self {
        self.options.push(StoreOption {
            name: name.to_owned(),
            value: OptionValue::Plain(value.into()),
        });
        self
    }

    /// The placement with an attribute of the object, such as `content-type`.
    #[must_use]
    pub fn with_attribute(mut self, name: &str, value: impl Into<String>) -> Self {
        self.attributes.push(Attribute::new(name, value));
        self
    }

    /// Checks the key of a placement that is to be planned for.
    ///
    /// # Errors
    /// [`Error::Denied`] when it leaves the grammar of [`crate::key`].
    pub fn check_key(&self) -> Result<(), Error> {
        key::check(&self.key).map_err(|reason| Error::cannot_plan("key", &self.key, reason))
    }
}

impl Configuration {
    /// Reads both documents, of which `of_both` makes what the plugin uses: the operator's settings
    /// and, when the resource has one, its block. A document that cannot be read is absent there.
    /// `None` is for what cannot be used; the reason is then among the problems that `of_both`
    /// reported to the objects that it got.
    ///
    /// # Errors
    /// [`Error::InvalidSettings`] with the problems of both. Their paths begin with `operator` or
    /// `backend`.
    pub fn read<T>(
        &self,
        of_both: impl FnOnce(Option<&Object<'_>>, Option<&Object<'_>>) -> Option<T>,
    ) -> Result<T, Error> {
        let problems = Problems::new();
        let operator = parse(&self.operator, "operator", &problems);
        let backend = self.backend.as_deref();
        let backend = backend.and_then(|text| parse(text, "backend", &problems));
        let operator = operator
            .as_ref()
            .and_then(|value| Object::new(value, "operator", &problems));
        let backend = backend
            .as_ref()
            .and_then(|value| Object::new(value, "backend", &problems));
        let answer = of_both(operator.as_ref(), backend.as_ref());
        problems.into_storage_result()?;
        answer.ok_or_else(|| Error::Other("the settings are unusable".to_owned()))
    }
}

impl Error {
    /// The refusal to plan for a recorded store or key, the `what`, that this plugin would never
    /// have located.
    #[must_use]
    pub fn cannot_plan(what: &str, name: &str, reason: &str) -> Self {
        Self::Denied(format!(
            "cannot plan for {what} `{}`: {reason}",
            shown(name)
        ))
    }

    /// The answer to an [`Operation::Other`].
    #[must_use]
    pub fn unknown_operation(name: &str) -> Self {
        Self::Unsupported(format!("unknown operation `{}`", shown(name)))
    }
}

/// The content type to store a file with, by its name.
#[must_use]
pub fn content_type(file_name: &str) -> &'static str {
    if file_name.ends_with(".zip") {
        "application/zip"
    } else if file_name.ends_with(".tar.gz") || file_name.ends_with(".tgz") {
        "application/gzip"
    } else {
        "application/octet-stream"
    }
}

impl Operation {
    /// The operation's name, as messages quote it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::Prepare => "prepare",
            Self::Put => "put",
            Self::Get => "get",
            Self::Head => "head",
            Self::Delete => "delete",
            Self::Presign(_) => "presign",
            Self::Other(name) => name,
        }
    }
}

impl From<Vec<Problem>> for Error {
    fn from(problems: Vec<Problem>) -> Self {
        Self::InvalidSettings(problems)
    }
}

impl Problems {
    /// Nothing, or all problems as the storage world's error.
    ///
    /// # Errors
    /// [`Error::InvalidSettings`] when there is any problem.
    pub fn into_storage_result(self) -> Result<(), Error> {
        if self.is_empty() {
            Ok(())
        } else {
            Err(self.into_vec().into())
        }
    }
}

/// What [`crate::register_storage!`] exports.
#[doc(hidden)]
pub struct Adapter<T>(PhantomData<T>);

impl<T: StoragePlugin> Guest for Adapter<T> {
    fn validate(configuration: Configuration) -> Result<(), Error> {
        crate::log::report_panics();
        T::validate(&configuration)
    }

    fn locate(configuration: Configuration, artifact: Artifact) -> Result<Placement, Error> {
        crate::log::report_panics();
        T::locate(&configuration, &artifact)
    }

    fn plan(
        configuration: Configuration,
        artifact: Artifact,
        placement: Placement,
        operation: Operation,
        now: u64,
    ) -> Result<Transfer, Error> {
        crate::log::report_panics();
        T::plan(&configuration, &artifact, placement, &operation, now)
    }
}

/// Makes a [`StoragePlugin`] the component's one export. Call it once, at the crate's root.
#[macro_export]
macro_rules! register_storage {
    ($plugin:ty) => {
        #[cfg(target_family = "wasm")]
        const _: () = {
            type Registered = $crate::storage::Adapter<$plugin>;
            $crate::bindings::storage::__export_storage_plugin!(
                Registered with_types_in $crate::bindings::storage
            );
        };
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    fn configuration(operator: &str, backend: Option<&str>) -> Configuration {
        Configuration {
            operator: operator.to_owned(),
            backend: backend.map(str::to_owned),
            attributes: Vec::new(),
        }
    }

    #[test]
    fn both_documents_are_read_whatever_the_other_is() {
        for (operator, backend, paths) in [
            (
                r#"{"a": 1}"#,
                Some(r#"{"b": 1}"#),
                vec!["operator.a", "backend.b"],
            ),
            ("[]", Some(r#"{"b": 1}"#), vec!["operator", "backend.b"]),
            (r#"{"a": 1}"#, Some(""), vec!["backend", "operator.a"]),
            ("", None, vec!["operator"]),
        ] {
            let read = configuration(operator, backend).read(|operator, backend| {
                for object in operator.into_iter().chain(backend) {
                    object.deny_unknown(&[]);
                }
                Some(())
            });
            let Err(Error::InvalidSettings(problems)) = read else {
                panic!("{operator} {backend:?}: {read:?}");
            };
            let found: Vec<&str> = problems
                .iter()
                .map(|problem| problem.path.as_str())
                .collect();
            assert_eq!(found, paths);
        }
        let read = configuration("{}", None)
            .read(|operator, backend| Some((operator.is_some(), backend.is_some())));
        assert_eq!(read, Ok((true, false)));
        let unusable = configuration("{}", None).read(|_, _| None::<()>);
        assert!(matches!(unusable, Err(Error::Other(_))), "{unusable:?}");
    }

    #[test]
    fn content_types_are_those_of_the_names() {
        for (name, expected) in [
            ("a.zip", "application/zip"),
            ("a.tar.gz", "application/gzip"),
            ("a.tgz", "application/gzip"),
            ("a.zip.txt", "application/octet-stream"),
            ("zip", "application/octet-stream"),
            ("", "application/octet-stream"),
        ] {
            assert_eq!(content_type(name), expected, "{name}");
        }
    }
}

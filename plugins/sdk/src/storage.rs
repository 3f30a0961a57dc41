//! The storage world: where an artifact lives, and how the host reaches it.
//!
//! The plugin decides, the host moves the bytes. Where bytes are is a record: the host asks
//! [`StoragePlugin::locate`] once and keeps the answer; every later plan must keep to it.

pub use crate::bindings::storage::opendepot::storage::types::{
    Configuration, Error, Operation, OptionValue, Placement, SignedRequest, StoreOption, Transfer,
};

use crate::artifact::{Artifact, Problem};
use crate::bindings::storage::exports::opendepot::storage::backend::Guest;
use crate::settings::Problems;
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
            Operation::Other(name) => Err(Error::Unsupported(format!("operation `{name}`"))),
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

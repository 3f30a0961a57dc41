//! The auth world: who may do what.
//!
//! Every auth plugin is asked: any deny denies; else any allow allows; else the mode's base
//! decides. So a plugin that only grants answers [`Decision::Allow`] or [`Decision::Abstain`] and
//! leaves [`Decision::Deny`] to plugins that exist to forbid.

pub use crate::bindings::auth::opendepot::auth::types::{
    Action, Authentication, Binding, BindingProblem, Decision, Error, Prepared, Subject, Target,
};

use crate::artifact::{Problem, attribute};
use crate::bindings::auth::exports::opendepot::auth::policy::Guest;
use crate::settings::Problems;
use std::marker::PhantomData;

/// The attribute of a target that holds one label of its namespace begins with this; the label's
/// key follows: `namespace-label/team`.
pub const NAMESPACE_LABEL: &str = "namespace-label/";

/// The attribute of a target that holds one label of the resource itself begins with this.
pub const LABEL: &str = "label/";

/// A target has this attribute, with the value [`LABELS_KNOWN`], when every label of its namespace
/// is among its attributes. Without it, a label that is absent is one that nobody looked for.
pub const NAMESPACE_LABELS: &str = "namespace-labels";

/// As [`NAMESPACE_LABELS`], for the labels of the resource itself.
pub const LABELS: &str = "labels";

/// The value of [`NAMESPACE_LABELS`] and [`LABELS`].
pub const LABELS_KNOWN: &str = "known";

/// An auth plugin. Every function gets all that it needs; keep nothing between calls.
pub trait AuthPlugin {
    /// Checks the settings. Report every problem, not the first: see [`crate::settings`].
    ///
    /// # Errors
    /// [`Error::InvalidSettings`] with all problems.
    fn validate(settings: &str) -> Result<(), Error> {
        Self::prepare(settings, &[]).map(drop)
    }

    /// Compiles settings and bindings into the bytes that [`AuthPlugin::authorize`] gets. Called
    /// when either changes, so spend time here.
    ///
    /// # Errors
    /// [`Error::InvalidSettings`]. A broken binding is no error: it is reported in the answer and
    /// left out.
    fn prepare(settings: &str, bindings: &[Binding]) -> Result<Prepared, Error>;

    /// Decides for each target. Called on the request path: keep it to microseconds.
    ///
    /// # Errors
    /// Any [`Error`], which the host takes as a deny of every target, as it does an answer of
    /// another length than `targets`.
    fn authorize(
        settings: &str,
        state: &[u8],
        subject: &Subject,
        action: &Action,
        targets: &[Target],
        now: u64,
    ) -> Result<Vec<Decision>, Error>;
}

impl Action {
    /// The names of all actions that this version knows, in WIT order.
    pub const NAMES: [&'static str; 6] = [
        "list-versions",
        "read-package",
        "download",
        "browse",
        "publish",
        "administer",
    ];

    /// The action's name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::ListVersions => "list-versions",
            Self::ReadPackage => "read-package",
            Self::Download => "download",
            Self::Browse => "browse",
            Self::Publish => "publish",
            Self::Administer => "administer",
            Self::Other(name) => name,
        }
    }
}

impl Subject {
    /// Whether the caller showed no credential.
    #[must_use]
    pub const fn is_anonymous(&self) -> bool {
        matches!(self.authentication, Authentication::Anonymous)
    }
}

impl Target {
    /// The value of the first attribute called `name`.
    #[must_use]
    pub fn attribute(&self, name: &str) -> Option<&str> {
        attribute(&self.attributes, name)
    }
}

impl From<Vec<Problem>> for Error {
    fn from(problems: Vec<Problem>) -> Self {
        Self::InvalidSettings(problems)
    }
}

impl Problems {
    /// Nothing, or all problems as the auth world's error.
    ///
    /// # Errors
    /// [`Error::InvalidSettings`] when there is any problem.
    pub fn into_auth_result(self) -> Result<(), Error> {
        if self.is_empty() {
            Ok(())
        } else {
            Err(self.into_vec().into())
        }
    }
}

/// What [`crate::register_auth!`] exports.
#[doc(hidden)]
pub struct Adapter<T>(PhantomData<T>);

impl<T: AuthPlugin> Guest for Adapter<T> {
    fn validate(settings: String) -> Result<(), Error> {
        crate::log::report_panics();
        T::validate(&settings)
    }

    fn prepare(settings: String, bindings: Vec<Binding>) -> Result<Prepared, Error> {
        crate::log::report_panics();
        T::prepare(&settings, &bindings)
    }

    fn authorize(
        settings: String,
        state: Vec<u8>,
        subject: Subject,
        action: Action,
        targets: Vec<Target>,
        now: u64,
    ) -> Result<Vec<Decision>, Error> {
        crate::log::report_panics();
        T::authorize(&settings, &state, &subject, &action, &targets, now)
    }
}

/// Makes an [`AuthPlugin`] the component's one export. Call it once, at the crate's root.
#[macro_export]
macro_rules! register_auth {
    ($plugin:ty) => {
        #[cfg(target_family = "wasm")]
        const _: () = {
            type Registered = $crate::auth::Adapter<$plugin>;
            $crate::bindings::auth::__export_auth_plugin!(
                Registered with_types_in $crate::bindings::auth
            );
        };
    };
}

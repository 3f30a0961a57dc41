//! The seams that need a fake in tests: `plugin` implements them over wasm, tests by hand.

use crate::access::{Action, Decision, Labels, Subject, Target};
use crate::artifact::{Artifact, ArtifactRecord};
use crate::error::Kind;
use crate::name::PluginId;
use crate::placement::{Operation, Placement, Transfer};
use crate::scan::{Context, Outcome, Report};
use std::future::Future;
use std::pin::Pin;

/// A boxed future, so that the seams stay object-safe.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// A seam's failure: what it means, and text for log and status.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct SeamError {
    /// What it means.
    pub kind: Kind,
    /// Lower-case, no full stop; never shown to a registry client.
    pub message: String,
}

/// Where artifacts live. A plan is untrusted input until its caller has checked it; the
/// implementation over wasm has already applied the plugin's grants.
pub trait StorageDecisions: Send + Sync {
    /// Checks the operator's settings and, when given, a resource's backend block (JSON).
    /// Every problem found is in the message.
    fn validate<'a>(
        &'a self,
        plugin: &'a PluginId,
        backend: Option<&'a str>,
    ) -> BoxFuture<'a, Result<(), SeamError>>;

    /// Asks once, for a new placement, where the artifact is to live.
    fn locate<'a>(
        &'a self,
        plugin: &'a PluginId,
        backend: Option<&'a str>,
        artifact: &'a Artifact,
    ) -> BoxFuture<'a, Result<Placement, SeamError>>;

    /// Plans one operation on a recorded placement; `record` is the authority on store and key.
    fn plan<'a>(
        &'a self,
        record: &'a ArtifactRecord,
        artifact: &'a Artifact,
        operation: Operation,
        now: u64,
    ) -> BoxFuture<'a, Result<Transfer, SeamError>>;
}

/// Who may do what: the chain of auth plugins.
pub trait AccessPolicy: Send + Sync {
    /// Changes whenever answers may change: a part of every decision cache key.
    fn generation(&self) -> u64;

    /// Whether any plugin is in the chain; without one the mode's base decides alone.
    fn is_empty(&self) -> bool;

    /// One combined answer a target, before the mode's base is applied: deny, allow or abstain.
    /// Anything but a well-formed answer is a deny.
    fn authorize<'a>(
        &'a self,
        subject: &'a Subject,
        action: Action,
        targets: &'a [Target],
        now: u64,
    ) -> BoxFuture<'a, Vec<Decision>>;
}

/// Who knows the labels of resources.
pub trait LabelSource: Send + Sync {
    /// The labels of what is asked about, as far as they are known. On the request path.
    fn labels(&self, target: &Target) -> Labels;
}

/// A GroupBinding as policies see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Binding {
    /// The object's name.
    pub name: String,
    /// The expression over the caller, as written.
    pub expression: String,
    /// Globs of modules that it opens.
    pub modules: Vec<String>,
    /// Globs of providers that it opens.
    pub providers: Vec<String>,
    /// Globs of namespaces that it opens; none for all of them.
    pub namespaces: Vec<String>,
}

/// A binding that a policy cannot use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BindingProblem {
    /// The policy.
    pub plugin: PluginId,
    /// The binding; empty when the policy as a whole failed to prepare.
    pub binding: String,
    /// The policy's text, escaped and cut.
    pub message: String,
}

/// Who is given GroupBindings: the chain of auth plugins.
pub trait BindingPolicies: Send + Sync {
    /// The plugins of the chain, in its order.
    fn names(&self) -> Vec<PluginId>;

    /// Gives every plugin these bindings instead of those that it had. One that cannot prepare
    /// with them denies everything until it can: its old state could allow what was revoked.
    fn set_bindings<'a>(&'a self, bindings: &'a [Binding]) -> BoxFuture<'a, Vec<BindingProblem>>;
}

/// What a scan report means: the chain of scan plugins.
pub trait ScanPolicy: Send + Sync {
    /// Judges one report.
    fn process<'a>(
        &'a self,
        report: Report,
        context: &'a Context,
        now: u64,
    ) -> BoxFuture<'a, Outcome>;
}

//! The plugin host: WebAssembly components that decide where artifacts live, who may do what, and
//! what a scan report means. Implements the three seams of [`opendepot_domain::seam`].
//!
//! What bounds it: every call gets a fresh instance with its own memory, and is bounded in guest
//! time, wall-clock time, memory, host calls and bytes ([`Limits`]). Calls in flight are bounded
//! over all plugins and per plugin; a call that finds no slot in 50 ms fails as busy. A plugin that
//! keeps failing is not called for a while.
//!
//! What it refuses: components that export none or several of the three worlds, or import
//! anything outside theirs (no WASI); bytes that are not the pinned ones, or not signed where the
//! operator lists keys; plans that leave the grants ([`PlanError`]). Anything but a well-formed
//! answer is a deny (auth), a failure (storage) or "not scanned" (scan), never a pass.
//!
//! What may surprise: an auth or scan plugin that is listed and fails to load keeps its place in
//! the chain, from which it denies or judges nothing; when not even its `plugin.yaml` can be read
//! it counts as a policy, unless its name or grants say otherwise. A call that is not over within
//! a few milliseconds moves to threads of low priority. The store `file:///` is the configured
//! file system root, and keys are relative to it.

#![warn(missing_docs)]

mod auth;
mod breaker;
mod call;
mod candidate;
mod compile;
mod config;
mod denial;
mod egress;
mod engine;
mod error;
mod grants;
mod host;
mod info;
mod invoke;
mod limits;
mod link;
mod load;
mod loaded;
mod manifest;
mod metric;
mod package;
mod pattern;
mod plan;
mod reload;
mod scan;
mod secret;
mod signature;
mod stamp;
mod storage;
mod text;
mod v0_1;
mod world;

pub use auth::Explained;
pub use breaker::BreakerState;
pub use compile::{CompileConfig, WORKER_COMMAND, compile_worker};
pub use config::{
    CredentialConfig, CredentialKind, GrantsConfig, HostConfig, PluginEntry, PluginPolicy,
    SecretGrantConfig, Source, StoreGrantConfig,
};
pub use egress::{CheckedRequest, HeaderText, HttpError, HttpResponse, HttpSender};
pub use error::{Error, Fault, LoadError, TrapClass};
pub use host::{Credential, PluginHost, PluginPuller, Services, StoreAccess};
pub use info::{PluginInfo, PluginState};
pub use invoke::{ComponentFacts, Invocation, InvokeError, Invoker, InvokerConfig};
pub use limits::Limits;
pub use manifest::Needs;
pub use opendepot_domain::seam::{Binding, BindingPolicies, BindingProblem};
pub use pattern::PatternError;
pub use plan::PlanError;
pub use reload::{Change, Changed};
pub use secret::SecretError;
pub use signature::SignatureError;
pub use world::{World, WorldError};

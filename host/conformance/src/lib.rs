//! What each world demands of a plugin, tried on a built one under the real host: for
//! `opendepot plugin test`, and for the tests of the plugins that ship.
//!
//! What bounds it: every call has the limits of a registry. A suite makes a few hundred calls and
//! takes seconds.
//!
//! What it reads and writes: the plugin's folder, and a temporary folder where the plans of a
//! storage plugin for `file:///` are carried out. Nothing is sent anywhere, but by who carries out
//! plans for other stores ([`ByteStore`]).
//!
//! What may surprise: a check can only see what the settings make a plugin do. A policy without
//! rules abstains in any order, so its suite says more with `--settings` that have some. A check
//! that does not apply is skipped and says why; only a failed one fails the suite.

#![warn(missing_docs)]

mod auth;
mod bytes;
mod data;
mod hosted;
mod planner;
mod report;
mod sample;
mod scan;
mod session;
mod settings;
mod storage;

pub use bytes::{ByteStore, Links, StoreBytes, StoreError, Stored, Visit};
pub use report::{Check, Outcome, Report};

use opendepot_plugin::{
    CompileConfig, GrantsConfig, Invoker, InvokerConfig, Limits, LoadError, World, WorldError,
};
use serde_json::Value;
use session::Session;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What a suite runs with.
#[derive(Clone, Default)]
pub struct Options {
    /// The operator's settings, over those of `plugin.yaml`.
    pub settings: Value,
    /// The operator's grants; absent: those that the plugin's own answers need.
    pub grants: Option<GrantsConfig>,
    /// The folder of the secrets that the grants name.
    pub secrets_dir: Option<PathBuf>,
    /// Limits of the calls. The checks of time hold against these.
    pub limits: Limits,
    /// How the component is compiled.
    pub compile: CompileConfig,
    /// Carries out plans for other stores than `file:///`.
    pub bytes: Option<Arc<dyn ByteStore>>,
    /// Follows links as a client does; absent: none is.
    pub links: Option<Arc<dyn Links>>,
}

/// A suite that could not begin, for a reason that is not the plugin's.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The folder or component is not there.
    #[error("there is no plugin in `{0}`: name the folder with `plugin.yaml` and the component")]
    NoPlugin(PathBuf),
    /// The host could not be set up.
    #[error("cannot set up the host of the checks: {0}")]
    Host(String),
}

/// Runs the suite of the plugin's world.
///
/// Must run on a multi-threaded runtime, as a host must.
///
/// # Errors
/// [`Error`]; what is wrong with the plugin is in the report.
pub async fn run(plugin: &Path, options: &Options) -> Result<Report, Error> {
    if !plugin.exists() {
        return Err(Error::NoPlugin(plugin.to_owned()));
    }
    // A storage plugin is loaded twice, and large components take seconds to compile.
    let temp = tempfile::tempdir().map_err(|e| Error::Host(e.to_string()))?;
    let mut options = options.clone();
    let cache = &mut options.compile.cache;
    cache.get_or_insert_with(|| temp.path().join("compiled"));
    let config = InvokerConfig {
        settings: options.settings.clone(),
        grants: options.grants.clone().unwrap_or_default(),
        secrets_dir: options.secrets_dir.clone(),
        limits: options.limits.clone(),
        compile: options.compile.clone(),
        http: None,
    };
    let invoker = match Invoker::open(plugin, config).await {
        Ok(invoker) => invoker,
        Err(error) => return Ok(refused(&error)),
    };
    let world = invoker.facts().world;
    let mut session = Session::new(invoker);
    for check in ["manifest", "world", "imports"] {
        session.note(check, Ok(()));
    }
    let is_accepted = settings::check(&mut session).await;
    match world {
        _ if !is_accepted => session.skip(world.as_str(), "it takes settings that it accepts"),
        World::Auth => auth::check(&mut session).await,
        World::Scan => scan::check(&mut session).await,
        World::Storage => storage::check(&mut session, plugin, &options).await?,
    }
    session.check_memory();
    Ok(session.into_report())
}

/// The report of a component that no host loads.
fn refused(error: &LoadError) -> Report {
    let check = match error {
        LoadError::World(WorldError::Import { .. }) => "imports",
        LoadError::World(_) => "world",
        LoadError::Manifest { .. } | LoadError::Read { .. } | LoadError::Settings(_) => "manifest",
        _ => "loads",
    };
    Report {
        plugin: None,
        world: None,
        checks: vec![Check {
            name: check,
            outcome: Outcome::Failed(error.to_string()),
        }],
    }
}

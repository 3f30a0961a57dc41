//! From flags, environment and file to the one validated [`Config`]. Every error is found and
//! listed at once; nothing listens before there is none.

mod file;
mod read;
mod refused;
mod settle;
#[cfg(test)]
mod tests;

pub(crate) use file::FileConfig;
pub(crate) use settle::Settled;

use crate::cli::ServeArgs;
use opendepot_crds::StorageConfig;
use opendepot_plugin::{PluginEntry, PluginPolicy};
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

/// Who callers are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum AuthMode {
    /// Everybody is the anonymous subject. `local_only`: the default on loopback, which refuses
    /// what came through a proxy or names another host.
    Anonymous { local_only: bool },
    /// Bearer tokens of a file.
    TokenFile(PathBuf),
}

/// TLS of the public listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum TlsMode {
    Off,
    Files { certificate: PathBuf, key: PathBuf },
    Development,
}

/// Which controllers run here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum ControllerKind {
    Module,
    Provider,
    Version,
}

impl ControllerKind {
    pub(crate) const ALL: [Self; 3] = [Self::Module, Self::Provider, Self::Version];

    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Module => "module",
            Self::Provider => "provider",
            Self::Version => "version",
        }
    }
}

/// Everything that the program goes by.
#[derive(Clone, Debug)]
pub(crate) struct Config {
    pub(crate) listen: SocketAddr,
    pub(crate) admin_listen: SocketAddr,
    pub(crate) public_url: Option<String>,
    pub(crate) data_dir: PathBuf,
    pub(crate) manifests: Option<PathBuf>,
    pub(crate) manifests_prune: bool,
    pub(crate) watch_namespace: Option<String>,
    pub(crate) controllers: BTreeSet<ControllerKind>,
    pub(crate) serve_registry: bool,
    pub(crate) plugin_dirs: Vec<PathBuf>,
    pub(crate) filesystem_root: PathBuf,
    pub(crate) tls: TlsMode,
    pub(crate) auth: AuthMode,
    pub(crate) log_level: String,
    pub(crate) log_is_json: Option<bool>,
    pub(crate) default_storage: Option<StorageConfig>,
    pub(crate) plugins: Vec<PluginEntry>,
    pub(crate) plugin_policy: PluginPolicy,
    pub(crate) drain_delay: Duration,
    pub(crate) grace: Duration,
    pub(crate) download_grace: Duration,
    /// The sections that need no settling.
    pub(crate) file: FileConfig,
}

/// What is wrong with the configuration: every problem, one a line.
#[derive(Debug)]
pub(crate) struct Problems(pub Vec<String>);

impl std::fmt::Display for Problems {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for problem in &self.0 {
            writeln!(f, "error: {problem}")?;
        }
        Ok(())
    }
}

/// Settles flags, environment and file. `refused` are the switches that [`without_refused`] found;
/// they are listed with everything else that is wrong.
///
/// # Errors
/// [`Problems`] with everything that is wrong.
pub(crate) fn load(
    args: &ServeArgs,
    matches: Option<&clap::ArgMatches>,
    refused: Vec<String>,
) -> Result<Settled, Problems> {
    match settle::settle(args, matches) {
        Ok(settled) if refused.is_empty() => Ok(settled),
        Ok(_) => Err(Problems(refused)),
        Err(Problems(others)) => Err(Problems(refused.into_iter().chain(others).collect())),
    }
}

/// How to read the configuration again: flags and environment stay what they were.
#[derive(Clone, Debug)]
pub(crate) struct Reload {
    args: ServeArgs,
    matches: Option<clap::ArgMatches>,
    path: PathBuf,
}

impl Reload {
    /// Nothing where there is no configuration file.
    pub(crate) fn new(args: &ServeArgs, matches: Option<&clap::ArgMatches>) -> Option<Self> {
        Some(Self {
            path: args.config.clone()?,
            args: args.clone(),
            matches: matches.cloned(),
        })
    }

    /// The configuration file.
    pub(crate) fn path(&self) -> &std::path::Path {
        &self.path
    }

    /// Settles everything again.
    ///
    /// # Errors
    /// [`Problems`] with everything that is wrong.
    pub(crate) fn read(&self) -> Result<Config, Problems> {
        let settled = settle::settle(&self.args, self.matches.as_ref())?;
        Ok(settled.config)
    }
}

/// Takes the refused switches out of raw arguments, with their values, and says which there were,
/// in the environment too: the parser would call them unknown.
pub(crate) fn without_refused(arguments: Vec<String>) -> (Vec<String>, Vec<String>) {
    let (mut kept, mut refused) = (Vec::new(), Vec::new());
    let mut arguments = arguments.into_iter().peekable();
    while let Some(argument) = arguments.next() {
        let Some(switch) = refused::of_argument(&argument) else {
            kept.push(argument);
            continue;
        };
        refused.push(switch.message(&format!("--{}", switch.flag)));
        if !argument.contains('=') {
            arguments.next_if(|value| !value.starts_with('-'));
        }
    }
    for switch in refused::REFUSED {
        let name = switch.environment();
        if std::env::var_os(&name).is_some() {
            refused.push(switch.message(&name));
        }
    }
    (kept, refused)
}

//! The plugin host as this binary sets it up, and what follows from changes under it.

use crate::config::{Config, Reload};
use opendepot_plugin::{CompileConfig, HostConfig, PluginHost};
use serde_json::Value;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::sync::watch;

/// How often folders and configuration are looked at.
const LOOK_AFTER: Duration = Duration::from_millis(500);
/// The sections of the configuration file that are taken over while running.
const LIVE_SECTIONS: [&str; 3] = ["plugins", "pluginDirs", "pluginPolicy"];

/// What the host is built from, with this configuration.
pub(crate) fn host_config(config: &Config) -> anyhow::Result<HostConfig> {
    Ok(HostConfig {
        entries: config.plugins.clone(),
        builtin_dir: crate::paths::builtin_plugins()?,
        plugin_dirs: config.plugin_dirs.clone(),
        policy: config.plugin_policy.clone(),
        limits: crate::limits::plugins(config),
        filesystem_root: config.filesystem_root.clone(),
        compile: compile(Some(cache(&config.data_dir))),
    })
}

/// Where compiled code and pulled plugins of a data directory are.
pub(crate) fn cache(data_dir: &Path) -> PathBuf {
    data_dir.join("plugin-cache")
}

/// Components are compiled by this very executable, in a process of its own.
pub(crate) fn compile(cache: Option<PathBuf>) -> CompileConfig {
    CompileConfig {
        // Where it cannot be told, guests are compiled without limits, as by a library.
        worker: std::env::current_exe().ok(),
        cache: cache.map(|folder| folder.join("compiled")),
        ..CompileConfig::default()
    }
}

/// Takes over what changes in plugin folders and in the configuration file, until `end`.
pub(crate) struct Follower {
    pub(crate) plugins: PluginHost,
    /// Reads the configuration again; none where there is no file.
    pub(crate) reload: Option<Reload>,
    /// What is in force.
    pub(crate) config: Config,
    /// Told whenever a plugin came, changed or went.
    pub(crate) changed: watch::Sender<u64>,
    /// Why the configuration file, as it is now, is not in force.
    pub(crate) problem: watch::Sender<Option<String>>,
}

impl Follower {
    pub(crate) async fn run(mut self, end: impl Future<Output = ()>) {
        let mut end = std::pin::pin!(end);
        let mut file = FileWatch::new(self.reload.as_ref().map(Reload::path));
        loop {
            tokio::select! {
                () = &mut end => return,
                () = tokio::time::sleep(LOOK_AFTER) => {}
            }
            if file.has_changed() {
                self.read_again();
            }
            self.look().await;
        }
    }

    async fn look(&self) {
        let config = match host_config(&self.config) {
            Ok(config) => config,
            Err(error) => {
                tracing::debug!("cannot look at the plugins: {error:#}");
                return;
            }
        };
        match self.plugins.reload(config).await {
            Ok(changes) if changes.is_empty() => {}
            Ok(_) => self.changed.send_modify(|number| *number += 1),
            Err(error) => self.refuse(error.to_string()),
        }
    }

    fn refuse(&self, problem: String) {
        let problem = Some(problem);
        if *self.problem.borrow() == problem {
            return;
        }
        tracing::error!(
            "the changed configuration is not in force, what was in force stays so: {}",
            problem.as_deref().unwrap_or_default()
        );
        self.problem.send_replace(problem);
    }

    fn read_again(&mut self) {
        let Some(reload) = &self.reload else { return };
        let fresh = match reload.read() {
            Ok(fresh) => fresh,
            Err(problems) => {
                let text = problems.to_string();
                return self.refuse(text.trim_end().replace('\n', "; "));
            }
        };
        self.problem.send_replace(None);
        let others = other_changes(&self.config, &fresh);
        if !others.is_empty() {
            tracing::warn!(
                "changed in the configuration file and not in force before a restart: {}",
                others.join(", ")
            );
        }
        tracing::info!("read the changed configuration file");
        self.config.plugins = fresh.plugins;
        self.config.plugin_dirs = fresh.plugin_dirs;
        self.config.plugin_policy = fresh.plugin_policy;
        self.config.file = fresh.file;
    }
}

/// The sections that differ and are read at the start only.
fn other_changes(old: &Config, new: &Config) -> Vec<String> {
    let sections = |config: &Config| match serde_json::to_value(&config.file) {
        Ok(Value::Object(sections)) => sections,
        _ => serde_json::Map::new(),
    };
    let (old, new) = (sections(old), sections(new));
    let names = new.iter().filter(|(name, value)| {
        old.get(*name) != Some(value) && !LIVE_SECTIONS.contains(&name.as_str())
    });
    names.map(|(name, _)| format!("`{name}`")).collect()
}

/// A file by identity, size and times; links are followed, as a mounted ConfigMap needs.
struct FileWatch {
    path: Option<PathBuf>,
    known: Option<State>,
    last: Option<State>,
}

type State = (u64, u64, u64, (i64, i64));

impl FileWatch {
    fn new(path: Option<&Path>) -> Self {
        let state = path.and_then(state);
        Self {
            path: path.map(Path::to_owned),
            known: state,
            last: state,
        }
    }

    /// Whether it is another than last said, and was so at the look before.
    fn has_changed(&mut self) -> bool {
        let state = self.path.as_deref().and_then(state);
        let is_settled = state == self.last;
        self.last = state;
        // While it is gone, what was in force stays.
        if state.is_none() || state == self.known || !is_settled {
            return false;
        }
        self.known = state;
        true
    }
}

fn state(path: &Path) -> Option<State> {
    let metadata = std::fs::metadata(path).ok()?;
    let modified = (metadata.mtime(), metadata.mtime_nsec());
    Some((metadata.dev(), metadata.ino(), metadata.size(), modified))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_read_again_when_it_is_settled() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("config.yaml");
        std::fs::write(&path, "one").unwrap();
        let mut watch = FileWatch::new(Some(&path));
        assert!(!watch.has_changed());
        std::fs::write(&path, "two, longer").unwrap();
        assert!(!watch.has_changed(), "it may be written still");
        assert!(watch.has_changed());
        assert!(!watch.has_changed());
        std::fs::remove_file(&path).unwrap();
        assert!(!watch.has_changed() && !watch.has_changed());
        std::fs::write(&path, "three").unwrap();
        assert!(!watch.has_changed());
        assert!(watch.has_changed());
        assert!(!FileWatch::new(None).has_changed());
    }
}

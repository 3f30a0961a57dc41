//! Plugins from OCI registries, pulled as `egress.plugins` and `pluginPolicy.dockerConfig` allow.
//!
//! What bounds it: whoever asks waits 10 s, because nothing else about plugins is looked at
//! meanwhile; a pull that takes longer goes on by itself for up to 2 minutes, and who asks again
//! gets what came of it.

use crate::config::Config;
use crate::limits;
use anyhow::Context as _;
use futures::FutureExt as _;
use futures::future::{BoxFuture, Shared};
use opendepot_oci::{OciConfig, OciPuller, Reference};
use opendepot_plugin::{PluginEntry, PluginPuller, Services, Source};
use parking_lot::Mutex;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// How long whoever asks is kept.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long a pull may take in all.
const PULL_TIMEOUT: Duration = Duration::from_secs(120);

/// What is pulled, and the file of credentials that it is pulled with.
type Job = (Reference, Option<PathBuf>);
type Running = Shared<BoxFuture<'static, Result<PathBuf, String>>>;

/// Pulls for one process.
pub(crate) struct Puller {
    puller: Arc<OciPuller>,
    running: Mutex<HashMap<Job, Running>>,
    patience: Duration,
    /// Removed with the puller.
    _scratch: Option<TempDir>,
}

impl Puller {
    /// Keeps what it pulls in the data directory, so that a start needs no registry.
    pub(crate) fn new(config: &Config) -> anyhow::Result<Arc<Self>> {
        let puller = Self::build(config, kept(config), None, None)?;
        Ok(Arc::new(puller))
    }

    /// Takes what is in the data directory and leaves nothing there: for commands that look.
    pub(crate) fn of_a_look(config: &Config) -> anyhow::Result<Arc<Self>> {
        let scratch = TempDir::new().context("cannot make a temporary folder")?;
        let cache = scratch.path().to_owned();
        let puller = Self::build(config, cache, Some(kept(config)), Some(scratch))?;
        Ok(Arc::new(puller))
    }

    fn build(
        config: &Config,
        cache: PathBuf,
        read_only_cache: Option<PathBuf>,
        scratch: Option<TempDir>,
    ) -> anyhow::Result<Self> {
        let puller = OciPuller::new(OciConfig {
            egress: config.file.egress.plugins.clone(),
            cache,
            read_only_cache,
            component_bytes: limits::plugins(config).component_bytes,
        })?;
        Ok(Self {
            puller: Arc::new(puller),
            running: Mutex::default(),
            patience: PATIENCE,
            _scratch: scratch,
        })
    }

    /// These services, and plugins from registries.
    pub(crate) fn with(self: &Arc<Self>, services: Services) -> Services {
        let puller: Arc<dyn PluginPuller> = Arc::<Self>::clone(self);
        Services {
            puller: Some(puller),
            ..services
        }
    }

    /// Removes every pulled plugin that none of these entries names.
    pub(crate) async fn forget_others(&self, entries: &[PluginEntry]) {
        let references = entries.iter().filter_map(|entry| match &entry.source {
            Source::Oci(reference) => reference.parse().ok(),
            Source::Folder(_) | Source::Builtin(_) => None,
        });
        let (puller, keep) = (Arc::clone(&self.puller), references.collect::<Vec<_>>());
        // It fails only when the process is ending.
        let _ended = tokio::task::spawn_blocking(move || puller.forget_others(&keep)).await;
    }

    /// The pull of this that is under way, or a new one.
    fn join(&self, job: &Job) -> Running {
        let mut running = self.running.lock();
        let begin = || {
            let (puller, (reference, docker_config)) = (Arc::clone(&self.puller), job.clone());
            let work = tokio::spawn(async move {
                let deadline = Instant::now() + PULL_TIMEOUT;
                let pulled = puller.pull(&reference, docker_config.as_deref(), deadline);
                pulled.await.map_err(|error| error.to_string())
            });
            let ended = work.map(|ended| match ended {
                Ok(pulled) => pulled,
                Err(_) => Err("the pull ended early".to_owned()),
            });
            ended.boxed().shared()
        };
        running.entry(job.clone()).or_insert_with(begin).clone()
    }
}

/// Where pulled plugins of a data directory are.
fn kept(config: &Config) -> PathBuf {
    crate::plugins::cache(&config.data_dir).join("oci")
}

impl PluginPuller for Puller {
    fn pull<'a>(
        &'a self,
        reference: &'a str,
        docker_config: Option<&'a Path>,
    ) -> opendepot_domain::seam::BoxFuture<'a, Result<PathBuf, String>> {
        Box::pin(async move {
            let parsed: Reference = reference.parse().map_err(|error| format!("{error}"))?;
            let job = (parsed, docker_config.map(Path::to_owned));
            let pulled = tokio::time::timeout(self.patience, self.join(&job)).await;
            let Ok(pulled) = pulled else {
                return Err(format!(
                    "it takes longer than {} s, and goes on by itself; it is looked for again",
                    self.patience.as_secs()
                ));
            };
            self.running.lock().remove(&job);
            pulled
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::ServeArgs;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    #[tokio::test]
    async fn a_slow_registry_holds_nobody_and_is_asked_once() {
        let registry = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let host = registry.local_addr().unwrap().to_string();
        let dir = tempfile::tempdir().unwrap();
        let settled = crate::config::load(&ServeArgs::default(), None, Vec::new()).unwrap();
        let mut config = settled.config;
        config.data_dir = dir.path().to_owned();
        let egress = &mut config.file.egress.plugins;
        egress.allow_http = vec![host.clone()];
        egress.allow_private = vec!["127.0.0.1/32".to_owned()];
        let mut puller = Puller::build(&config, kept(&config), None, None).unwrap();
        let reference = format!("{host}/x@sha256:{}", "0".repeat(64));
        puller.patience = Duration::from_millis(50);
        for _ in 0..2 {
            let error = puller.pull(&reference, None).await.unwrap_err();
            assert!(error.contains("goes on by itself"), "{error}");
        }
        let (mut stream, _) = registry.accept().await.unwrap();
        let mut request = [0; 1024];
        assert!(stream.read(&mut request).await.unwrap() > 0);
        let answer = b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n";
        stream.write_all(answer).await.unwrap();
        // Its answer is for whoever asks next.
        puller.patience = Duration::from_secs(60);
        let error = puller.pull(&reference, None).await.unwrap_err();
        assert!(error.contains("no such manifest"), "{error}");
        assert!(puller.running.lock().is_empty());
        let error = puller.pull("registry.example/x:1", None).await.unwrap_err();
        assert!(error.contains("a tag can be moved"), "{error}");
    }
}

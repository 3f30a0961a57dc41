//! A data directory with 10,000 Versions of modules and the providers that are measured, made
//! once and kept under `target/bench/`.

use super::content::{module_yaml, place, write_module_source, write_provider};
use super::subject::{Listed, Subject};
use crate::workspace;
use anyhow::{Context, Result, bail};
use sha2::{Digest, Sha256};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

/// Modules that only have to be there.
const MODULES: usize = 10;
/// Versions of each: as many as a resource may list.
const VERSIONS: usize = 1_000;
/// All of them.
pub(super) const LOADED: usize = MODULES * VERSIONS;
/// Versions of the provider whose list is asked for: about 12 KB.
pub(super) const LISTED: usize = 100;
/// The provider with [`LISTED`] small versions.
pub(super) const SMALL: &str = "small";
/// The providers with one large archive each, and its bytes.
pub(super) const LARGE: [(&str, usize); 2] = [("fifty", 50_000_000), ("hundreds", 200_000_000)];
/// The module that gets one more version in a measurement.
pub(super) const GROWING: &str = "growing";
/// Written last: without it the folder is half-made.
const COMPLETE: &str = "complete";

/// The folder, made in this run or an earlier one.
pub(super) struct Seed {
    dir: PathBuf,
}

impl Seed {
    /// Finds it or makes it, which takes a minute or two.
    pub(super) async fn open(root: &Path, binary: &Path) -> Result<Self> {
        let recipe = format!(
            "1 {MODULES} {VERSIONS} {LISTED} {LARGE:?} {}",
            module_yaml(GROWING, &[])
        );
        let hash: String = hex::encode(Sha256::digest(recipe))
            .chars()
            .take(12)
            .collect();
        let seed = Self {
            dir: workspace::target(root).join(format!("bench/seed-{hash}")),
        };
        if seed.dir.join(COMPLETE).exists() {
            eprintln!(
                "taking the store of an earlier run, `{}`",
                seed.dir.display()
            );
            return Ok(seed);
        }
        seed.make(binary).await?;
        Ok(seed)
    }

    async fn make(&self, binary: &Path) -> Result<()> {
        if self.dir.exists() {
            fs::remove_dir_all(&self.dir)
                .with_context(|| format!("cannot remove `{}`", self.dir.display()))?;
        }
        let started = Instant::now();
        eprintln!(
            "making a store with {LOADED} versions in `{}`; once, a minute or two",
            self.dir.display()
        );
        let manifests = self.manifests();
        fs::create_dir_all(&manifests)?;
        let small: Vec<String> = (0..LISTED).map(|n| format!("1.{n}.0")).collect();
        write_provider(&manifests, SMALL, &small, 1024)?;
        for (name, size) in LARGE {
            write_provider(&manifests, name, &["1.0.0".to_owned()], size)?;
        }
        let versions: Vec<String> = (0..VERSIONS)
            .map(|n| format!("1.{}.{}", n / 50, n % 50))
            .collect();
        for module in modules() {
            for version in &versions {
                write_module_source(&manifests, &module, version)?;
            }
            place(
                &manifests.join(format!("{module}.yaml")),
                &module_yaml(&module, &versions),
            )?;
        }
        write_module_source(&manifests, GROWING, "1.0.0")?;
        self.set_growing(1)?;
        let mut subject = Subject::start(binary, &self.dir, None).await?;
        subject.wait_quiet().await?;
        self.wait(&mut subject, "").await?;
        subject.stop().await?;
        fs::write(self.dir.join(COMPLETE), "")?;
        eprintln!("made in {:.0} s", started.elapsed().as_secs_f64());
        Ok(())
    }

    /// Starts a server on it and waits until it serves everything and has nothing left to do.
    pub(super) async fn serve(
        &self,
        binary: &Path,
        config: Option<&Path>,
        token: &str,
    ) -> Result<Subject> {
        let mut subject = Subject::start(binary, &self.dir, config).await?;
        self.wait(&mut subject, token)
            .await
            .with_context(|| format!("remove `{}` to have it made again", self.dir.display()))?;
        subject.wait_quiet().await?;
        Ok(subject)
    }

    /// Waits until everything is listed; an empty token stands for none.
    async fn wait(&self, subject: &mut Subject, token: &str) -> Result<()> {
        for module in modules() {
            let listed = Listed::Module(&module);
            subject.wait_listed(listed, VERSIONS, token).await?;
        }
        subject
            .wait_listed(Listed::Provider(SMALL), LISTED, token)
            .await?;
        for (name, _) in LARGE {
            subject
                .wait_listed(Listed::Provider(name), 1, token)
                .await?;
        }
        Ok(())
    }

    /// Versions that [`GROWING`] has.
    pub(super) fn growing(&self) -> Result<usize> {
        let file = self.manifests().join(format!("{GROWING}.yaml"));
        let yaml = fs::read_to_string(file)?;
        Ok(yaml
            .lines()
            .filter(|line| line.contains("- version:"))
            .count())
    }

    /// Gives [`GROWING`] one more version; returns which.
    pub(super) fn grow(&self) -> Result<String> {
        let count = self.growing()?;
        if count >= VERSIONS {
            bail!("`{GROWING}` is full; remove `{}`", self.dir.display());
        }
        let version = growing_version(count);
        write_module_source(&self.manifests(), GROWING, &version)?;
        self.set_growing(count + 1)?;
        Ok(version)
    }

    fn set_growing(&self, count: usize) -> Result<()> {
        let versions: Vec<String> = (0..count).map(growing_version).collect();
        place(
            &self.manifests().join(format!("{GROWING}.yaml")),
            &module_yaml(GROWING, &versions),
        )
    }

    fn manifests(&self) -> PathBuf {
        self.dir.join("manifests")
    }

    /// The folder of the server: data and manifests are in it.
    pub(super) fn dir(&self) -> &Path {
        &self.dir
    }
}

fn modules() -> impl Iterator<Item = String> {
    (0..MODULES).map(|n| format!("module{n}"))
}

fn growing_version(n: usize) -> String {
    format!("1.{n}.0")
}

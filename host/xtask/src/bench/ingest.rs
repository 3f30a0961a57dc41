//! A large provider package on its way from a release folder into the store.

use super::Run;
use super::content::{place, provider_yaml, write_large_release};
use super::figure::{Figure, Goal};
use super::sampler::{SAMPLE, Sampler};
use super::subject::{Listed, Subject};
use crate::workspace;
use anyhow::{Context, Result};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

const NAME: &str = "large";
const VERSION: &str = "1.0.0";
const UNPACKED: usize = 700_000_000;
const MEMORY_GOAL_MIB: f64 = 64.0;
/// One pass for zh and one for h1; the rest is the small files and everything else that a server
/// reads.
const PASSES_GOAL: f64 = 2.1;

/// Publishes it and watches memory meanwhile.
pub(super) async fn measure(run: &Run) -> Result<Vec<Figure>> {
    let release = release(&run.root)?;
    let dir = tempfile::Builder::new()
        .prefix("opendepot-bench-")
        .tempdir()?;
    let manifests = dir.path().join("manifests");
    let place_of_release = manifests.join("dist").join(NAME).join(VERSION);
    fs::create_dir_all(&place_of_release)?;
    let mut packed = 0;
    for entry in fs::read_dir(&release)? {
        let entry = entry?;
        let copied = fs::copy(entry.path(), place_of_release.join(entry.file_name()))?;
        packed = packed.max(copied);
    }
    eprintln!("publishing {} MB", packed / 1_000_000);
    let mut subject = Subject::start(&run.binary, dir.path(), None).await?;
    subject.wait_quiet().await?;
    let (before, read_before) = (subject.memory_mib()?, subject.bytes_read()?);
    let sampler = Sampler::start(subject.pid());
    let started = Instant::now();
    place(
        &manifests.join(format!("{NAME}.yaml")),
        &provider_yaml(NAME, &[VERSION.to_owned()]),
    )?;
    subject.wait_listed(Listed::Provider(NAME), 1, "").await?;
    let seconds = started.elapsed().as_secs_f64();
    let passes = (subject.bytes_read()? - read_before) as f64 / packed as f64;
    let peak = sampler.stop()?;
    let size = format!(
        "{} MB packed, {} MB unpacked",
        packed / 1_000_000,
        UNPACKED / 1_000_000
    );
    Ok(vec![
        Figure::new(
            "ingest of a large provider package: memory growth",
            peak - before,
            "MiB",
            Goal::AtMost(MEMORY_GOAL_MIB),
        )
        .detail(format!(
            "{size}; the peak of RssAnon, looked at every {} ms, from {before:.0} MiB",
            SAMPLE.as_millis()
        )),
        Figure::new(
            "ingest of a large provider package: passes over its bytes",
            passes,
            "",
            Goal::AtMost(PASSES_GOAL),
        )
        .detail(
            "bytes that the process read / bytes of the package; wanted are one pass for zh (copied \
             from the source and hashed) and one for h1 (inspected); a third one is the copy \
             into the store, which is hashed again",
        ),
        Figure::new(
            "from its manifest to the version list",
            seconds,
            "s",
            Goal::None,
        )
        .detail(format!(
            "{:.0} MB/s of the package",
            packed as f64 / 1e6 / seconds
        )),
    ])
}

/// The release folder, made in this run or an earlier one.
fn release(root: &Path) -> Result<PathBuf> {
    let dir = workspace::target(root).join(format!("bench/release-2-{UNPACKED}"));
    if !dir.exists() {
        let partial = dir.with_extension("partial");
        if partial.exists() {
            fs::remove_dir_all(&partial)?;
        }
        eprintln!("making a package of {} MB, once", UNPACKED / 1_000_000);
        write_large_release(&partial, NAME, VERSION, UNPACKED)?;
        fs::rename(&partial, &dir).with_context(|| format!("cannot make `{}`", dir.display()))?;
    }
    Ok(dir)
}

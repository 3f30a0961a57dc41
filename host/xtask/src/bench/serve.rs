//! Metadata and archives against nginx: plain HTTP, warm, with 10,000 Versions loaded; metadata
//! once anonymous and once with a token and a cached decision.

use super::figure::{Figure, Goal};
use super::load::{self, Load};
use super::nginx::Nginx;
use super::sampler::{SAMPLE, Sampler};
use super::seed::{LARGE, LISTED, LOADED, SMALL, Seed};
use super::subject::{Listed, Subject, archive_path, package_path, write_token};
use super::{Run, torn};
use crate::tools::{self, Tool};
use anyhow::{Result, bail};
use std::fs;
use std::path::PathBuf;

const METADATA_GOAL: f64 = 0.8;
const ARCHIVE_GOAL: f64 = 0.9;
const MEMORY_GOAL_MIB: f64 = 64.0;

/// Something that both servers serve.
struct Case {
    name: String,
    ours: String,
    file: String,
    connections: u32,
    /// The provider, when it is an archive.
    large: Option<&'static str>,
}

/// What all comparisons share.
struct Bench<'a> {
    run: &'a Run,
    wrk: PathBuf,
    nginx: Nginx,
}

/// Measures every case.
pub(super) async fn measure(run: &Run) -> Result<Vec<Figure>> {
    let wrk = tools::require(Tool::Wrk)?.path;
    let nginx = tools::require(Tool::Nginx)?.path;
    let seed = Seed::open(&run.root, &run.binary).await?;
    let dir = tempfile::Builder::new()
        .prefix("opendepot-bench-")
        .tempdir()?;
    let files = dir.path().join("files");
    fs::create_dir(&files)?;
    let subject = seed.serve(&run.binary, None, "").await?;
    let cases = cases();
    for case in &cases {
        let (bytes, file) = (subject.get(&case.ours).await?, files.join(&case.file));
        match case.large {
            // The very file: how the kernel holds its pages depends on how it was written, and
            // is worth a quarter of the throughput.
            Some(name) => std::os::unix::fs::symlink(stored(&subject, name, &bytes)?, file)?,
            None => fs::write(file, bytes)?,
        }
    }
    let bench = Bench {
        run,
        wrk,
        nginx: Nginx::start(&nginx, dir.path(), &files)?,
    };
    let mut figures = Vec::new();
    for case in &cases {
        eprintln!("measuring {}", case.name);
        figures.extend(bench.compare(case, "", &subject)?);
    }
    subject.stop().await?;
    let (token, config) = write_token(&run.binary, dir.path())?;
    let subject = seed.serve(&run.binary, Some(&config), &token).await?;
    for case in cases.iter().filter(|case| case.large.is_none()) {
        eprintln!("measuring {}, with a token", case.name);
        figures.extend(bench.compare(case, &token, &subject)?);
    }
    subject.stop().await?;
    drop(bench);
    eprintln!("truncating a file that is being served");
    figures.push(torn::measure(run).await?);
    Ok(figures)
}

/// The file in which the server keeps these bytes of a provider.
fn stored(subject: &Subject, name: &str, bytes: &[u8]) -> Result<PathBuf> {
    let folder = subject.data().join("artifacts").join(name);
    for entry in fs::read_dir(&folder)? {
        let path = entry?.path();
        if fs::read(&path)? == bytes {
            return Ok(path.canonicalize()?);
        }
    }
    bail!("no file in `{}` has what is served", folder.display())
}

fn cases() -> Vec<Case> {
    let mut cases = vec![
        Case {
            name: format!("version list of {LISTED}, {LOADED} loaded"),
            ours: Listed::Provider(SMALL).path(),
            file: "versions.json".to_owned(),
            connections: 16,
            large: None,
        },
        Case {
            name: format!("package document, {LOADED} loaded"),
            ours: package_path(SMALL, "1.50.0"),
            file: "package.json".to_owned(),
            connections: 16,
            large: None,
        },
    ];
    cases.extend(LARGE.map(|(name, size)| Case {
        name: format!("archive of {} MB", size / 1_000_000),
        ours: archive_path(name, "1.0.0"),
        file: format!("{name}.zip"),
        connections: 8,
        large: Some(name),
    }));
    cases
}

impl Bench<'_> {
    /// Both servers alternately; the best of the rounds counts for both.
    fn compare(&self, case: &Case, token: &str, subject: &Subject) -> Result<Vec<Figure>> {
        let mut peers = vec![("nginx", self.nginx.sendfile_url(&case.file))];
        if case.large.is_some() {
            peers.push((
                "nginx with output_buffers",
                self.nginx.buffers_url(&case.file),
            ));
        }
        let headers: Vec<String> = match token {
            "" => Vec::new(),
            token => vec![format!("Authorization: Bearer {token}")],
        };
        let load = |url: &str, headers: &[String]| {
            load::run(&self.wrk, url, headers, case.connections, self.run.seconds)
        };
        let figure = |load: Load| match case.large.is_some() {
            true => load.bytes / 1e6,
            false => load.requests,
        };
        let before = subject.memory_mib()?;
        let (mut ours, mut p99, mut grown) = (0.0_f64, f64::INFINITY, 0.0_f64);
        let mut theirs = vec![0.0_f64; peers.len()];
        for _ in 0..self.run.rounds.max(1) {
            let sampler = Sampler::start(subject.pid());
            let measured = load(&subject.url(&case.ours), &headers)?;
            ours = ours.max(figure(measured));
            p99 = p99.min(measured.p99_ms);
            grown = grown.max(sampler.stop()? - before);
            for ((_, url), best) in peers.iter().zip(&mut theirs) {
                // The same requests to both, the token's header included.
                *best = best.max(figure(load(url, &headers)?));
            }
        }
        let unit = if case.large.is_some() {
            "MB/s"
        } else {
            "req/s"
        };
        let goal = if case.large.is_some() {
            ARCHIVE_GOAL
        } else {
            METADATA_GOAL
        };
        let who = if token.is_empty() {
            ""
        } else {
            ", with a token"
        };
        let said: Vec<String> = peers
            .iter()
            .zip(&theirs)
            .map(|((name, _), value)| format!("{name} {value:.0}"))
            .collect();
        let ratio = ours / theirs.iter().copied().fold(0.0, f64::max);
        let mut figures = vec![
            Figure::new(
                format!(
                    "{}{who}, c = {}: ratio to the best peer",
                    case.name, case.connections
                ),
                ratio,
                "",
                Goal::AtLeast(goal),
            )
            .detail(format!(
                "OpenDepot {ours:.0} {unit}, p99 {p99:.1} ms; {}",
                said.join(", ")
            )),
        ];
        if case.large.is_some() {
            let name = format!("{}, c = {}: memory growth", case.name, case.connections);
            figures.push(
                Figure::new(name, grown, "MiB", Goal::AtMost(MEMORY_GOAL_MIB)).detail(format!(
                    "the peak of RssAnon under load, looked at every {} ms, from {before:.0} MiB",
                    SAMPLE.as_millis()
                )),
            );
        }
        Ok(figures)
    }
}

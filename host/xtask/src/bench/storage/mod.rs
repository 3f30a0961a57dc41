//! A bucket behind the registry: what passing its bytes on costs, what links cost, how often it is
//! asked, and what happens when it does not answer.

mod bucket;
mod down;

use super::Run;
use super::content::{module_yaml, place, write_module_source, write_provider};
use super::figure::{Figure, Goal};
use super::sampler::Sampler;
use super::subject::{Listed, NAMESPACE, Subject, archive_path};
use super::{load, paced};
use crate::tools::{self, Tool};
use anyhow::{Context, Result};
use bucket::Bucket;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::Path;

const PROXY_GOAL: f64 = 0.8;
const PROXY_MEMORY_GOAL_MIB: f64 = 128.0;
const UPLOAD_MEMORY_GOAL_MIB: f64 = 64.0;
const LINK_GOAL: f64 = 1.2;
const LARGE: (&str, usize) = ("hundreds", 200_000_000);
const UPLOADED: (&str, usize) = ("halfgig", 500_000_000);
/// A module whose bytes are proxied, and one whose bytes are linked to.
const MODULES: [&str; 2] = ["hello", "linked"];
const VERSION: &str = "1.0.0";
/// Requests a second where what they cost is compared.
const RATE: u32 = 2_000;

/// Measures everything.
pub(super) async fn measure(run: &Run) -> Result<Vec<Figure>> {
    let wrk = tools::require(Tool::Wrk)?.path;
    let mut bucket = Bucket::start(run)?;
    let dir = tempfile::Builder::new()
        .prefix("opendepot-bench-")
        .tempdir()?;
    let manifests = dir.path().join("manifests");
    // As the server makes it: for its user alone.
    std::fs::DirBuilder::new()
        .mode(0o700)
        .create(dir.path().join("data"))?;
    for module in MODULES {
        write_module_source(&manifests, module, VERSION)?;
        place(&manifests.join(format!("{module}.yaml")), &yaml(module))?;
    }
    let config = bucket.config(dir.path())?;
    let mut subject = Subject::start(&run.binary, dir.path(), Some(&config)).await?;
    for module in MODULES {
        subject.wait_listed(Listed::Module(module), 1, "").await?;
    }
    subject.wait_quiet().await?;
    let mut figures = vec![upload(&mut subject, &manifests).await?];
    publish(&mut subject, &manifests, LARGE).await?;
    figures.extend(proxied(run, &wrk, &mut bucket, &subject)?);
    figures.extend(calls(&mut bucket, &subject).await?);
    figures.extend(links(run, &mut bucket, &subject).await?);
    figures.extend(down::measure(run, &mut bucket, &subject).await?);
    subject.stop().await?;
    Ok(figures)
}

fn yaml(module: &str) -> String {
    let yaml = module_yaml(module, &[VERSION.to_owned()]);
    let links = "    provider: local\n    storageConfig: { presign: { enabled: true } }\n";
    match module {
        "linked" => yaml.replacen("    provider: local\n", links, 1),
        _ => yaml,
    }
}

async fn publish(
    subject: &mut Subject,
    manifests: &Path,
    (name, size): (&'static str, usize),
) -> Result<()> {
    write_provider(manifests, name, &[VERSION.to_owned()], size)?;
    subject.wait_listed(Listed::Provider(name), 1, "").await?;
    subject.wait_quiet().await
}

/// Memory while a large package goes into the bucket.
async fn upload(subject: &mut Subject, manifests: &Path) -> Result<Figure> {
    eprintln!("publishing {} MB into a bucket", UPLOADED.1 / 1_000_000);
    let before = subject.memory_mib()?;
    let sampler = Sampler::start(subject.pid());
    publish(subject, manifests, UPLOADED).await?;
    let grown = sampler.stop()? - before;
    Ok(Figure::new(
        format!("upload of {} MB: memory growth", UPLOADED.1 / 1_000_000),
        grown,
        "MiB",
        Goal::AtMost(UPLOAD_MEMORY_GOAL_MIB),
    )
    .detail(format!("the peak of RssAnon, from {before:.0} MiB")))
}

/// Bytes through this process, beside a reader that asks the bucket itself.
fn proxied(run: &Run, wrk: &Path, bucket: &mut Bucket, subject: &Subject) -> Result<Vec<Figure>> {
    let key = bucket.key_in(LARGE.0)?;
    let url = subject.url(&archive_path(LARGE.0, VERSION));
    let (mut ours, mut theirs) = (0.0_f64, 0.0_f64);
    for round in 1..=run.rounds {
        eprintln!("passing on {} MB, round {round}", LARGE.1 / 1_000_000);
        ours = ours.max(load::run(wrk, &url, &[], 8, run.seconds)?.bytes);
        theirs = theirs.max(bucket.read(&key, 8, run.seconds)?);
    }
    let before = subject.memory_mib()?;
    let sampler = Sampler::start(subject.pid());
    let many = load::run(wrk, &url, &[], 64, run.seconds)?.bytes;
    let grown = sampler.stop()? - before;
    let name = format!("archive of {} MB from a bucket", LARGE.1 / 1_000_000);
    Ok(vec![
        Figure::new(
            format!("{name}, c = 8: ratio to a plain reader"),
            ours / theirs,
            "",
            Goal::AtLeast(PROXY_GOAL),
        )
        .detail(format!(
            "OpenDepot {:.0} MB/s, object_store {:.0} MB/s, of the same server",
            ours / 1e6,
            theirs / 1e6
        )),
        Figure::new(
            format!("{name}, c = 64: memory growth"),
            grown,
            "MiB",
            Goal::AtMost(PROXY_MEMORY_GOAL_MIB),
        )
        .detail(format!(
            "the peak of RssAnon, from {before:.0} MiB; {:.0} MB/s",
            many / 1e6
        )),
    ])
}

/// What one download and what metadata ask of the bucket.
async fn calls(bucket: &mut Bucket, subject: &Subject) -> Result<Vec<Figure>> {
    let mut figures = Vec::new();
    let module = bytes_path(subject, MODULES[0]).await?;
    for (what, path) in [
        ("a module", module),
        ("a provider", archive_path(UPLOADED.0, VERSION)),
    ] {
        bucket.take_seen()?;
        let mut answer = client()?.get(subject.url(&path)).send().await?;
        while answer.chunk().await?.is_some() {}
        let seen = bucket.take_seen()?;
        let is_one = seen.len() == 1 && seen.get("GET") == Some(&1);
        let name = format!("a download of {what} is one GET of the bucket");
        figures.push(Figure::holds(name, is_one).detail(format!("{seen:?}")));
    }
    for _ in 0..100 {
        bytes_path(subject, MODULES[0]).await?;
        subject.get(&Listed::Provider(LARGE.0).path()).await?;
    }
    let seen = bucket.take_seen()?;
    figures.push(
        Figure::holds("metadata asks the bucket nothing", seen.is_empty())
            .detail(format!("200 requests: {seen:?}")),
    );
    Ok(figures)
}

/// What a redirect costs this process, beside what says where the bytes are.
async fn links(run: &Run, bucket: &mut Bucket, subject: &Subject) -> Result<Vec<Figure>> {
    let metadata = document_path(MODULES[1]);
    let link = bytes_path(subject, MODULES[1]).await?;
    let cost = |path: &str, status| -> Result<f64> {
        let paths = vec![path.to_owned(); usize::try_from(RATE * run.seconds)?];
        let before = subject.processor_ticks()?;
        paced::run(subject.port(), &paths, RATE, status)?;
        let ticks = subject.processor_ticks()? - before;
        // A tick is 10 ms.
        Ok(ticks as f64 * 10_000.0 / paths.len() as f64)
    };
    let calls = || plugin_calls(subject);
    bucket.take_seen()?;
    let (mut asked, mut linked) = (f64::INFINITY, f64::INFINITY);
    // The first makes the plan.
    cost(&link, 307)?;
    let num_before = calls().await?;
    for round in 1..=run.rounds {
        eprintln!("{RATE} links a second, round {round}");
        asked = asked.min(cost(&metadata, 204)?);
        linked = linked.min(cost(&link, 307)?);
    }
    let num_calls = calls().await? - num_before;
    let seen = bucket.take_seen()?;
    Ok(vec![
        Figure::new(
            "a redirect to the bucket: processor time, ratio to the metadata request",
            linked / asked,
            "",
            Goal::AtMost(LINK_GOAL),
        )
        .detail(format!(
            "{linked:.0} µs a redirect, {asked:.0} µs a metadata request, at {RATE} req/s each"
        )),
        Figure::new(
            "redirects with a known plan: calls of plugins and of the bucket",
            num_calls + seen.values().sum::<usize>() as f64,
            "",
            Goal::AtMost(0.0),
        )
        .detail(format!(
            "{num_calls} of plugins, {seen:?} of the bucket, in {} redirects",
            RATE * run.seconds * run.rounds
        )),
    ])
}

/// Calls of storage plugins so far.
async fn plugin_calls(subject: &Subject) -> Result<f64> {
    let url = subject.admin_url("/metrics");
    let text = client()?.get(url).send().await?.text().await?;
    let calls = text.lines().filter(|line| {
        line.starts_with("opendepot_plugin_call_duration_seconds_count")
            && line.contains("storage-s3")
    });
    Ok(calls
        .filter_map(|line| line.rsplit_once(' ')?.1.parse::<f64>().ok())
        .sum())
}

fn document_path(module: &str) -> String {
    format!("/opendepot/modules/v1/{NAMESPACE}/{module}/local/{VERSION}/download")
}

/// Where a module's bytes are, as clients are told.
async fn bytes_path(subject: &Subject, module: &str) -> Result<String> {
    let url = subject.url(&document_path(module));
    let answer = client()?.get(url).send().await?;
    let location = answer.headers().get("x-terraform-get");
    let location = location.context("no `X-Terraform-Get`")?.to_str()?;
    let at = location.find("/opendepot/").unwrap_or_default();
    Ok(location.get(at..).unwrap_or_default().to_owned())
}

fn client() -> Result<reqwest::Client> {
    // An error means that it is installed already.
    let _installed = rustls::crypto::ring::default_provider().install_default();
    Ok(reqwest::Client::builder()
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .build()?)
}

//! Metadata and archives against nginx: plain HTTP, warm; metadata once anonymous and once with a
//! token and a cached decision.

use super::Figure;
use super::load::{self, Load};
use super::nginx::Nginx;
use super::subject::{
    Subject, archive_path, package_path, versions_path, write_provider, write_token,
};
use crate::build;
use crate::tools::{self, Tool};
use anyhow::Result;
use std::fs;
use std::path::{Path, PathBuf};

/// Versions of the provider whose list is asked for: about 12 KB.
const LISTED: usize = 100;
const METADATA_GOAL: f64 = 0.8;
const ARCHIVE_GOAL: f64 = 0.9;

/// Something that both servers serve.
struct Case {
    name: &'static str,
    ours: String,
    file: &'static str,
    connections: u32,
    is_archive: bool,
}

/// Measures every case.
pub(super) fn measure(root: &Path, seconds: u32, rounds: u32) -> Result<Vec<Figure>> {
    let wrk = tools::require(Tool::Wrk)?.path;
    let nginx = tools::require(Tool::Nginx)?.path;
    let binary = build::release(root)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(run(&binary, &nginx, &wrk, seconds, rounds))
}

async fn run(
    binary: &Path,
    nginx: &Path,
    wrk: &Path,
    seconds: u32,
    rounds: u32,
) -> Result<Vec<Figure>> {
    let dir = tempfile::Builder::new()
        .prefix("opendepot-bench-")
        .tempdir()?;
    let (manifests, files) = (dir.path().join("manifests"), dir.path().join("files"));
    fs::create_dir(&manifests)?;
    fs::create_dir(&files)?;
    eprintln!("preparing {LISTED} small versions and archives of 50 and 200 MB");
    let versions: Vec<String> = (0..LISTED).map(|n| format!("1.{n}.0")).collect();
    write_provider(&manifests, "small", &versions, 1024)?;
    write_provider(&manifests, "fifty", &["1.0.0".to_owned()], 50_000_000)?;
    write_provider(&manifests, "hundreds", &["1.0.0".to_owned()], 200_000_000)?;
    let mut subject = Subject::start(binary, dir.path(), None).await?;
    for (name, count) in [("small", LISTED), ("fifty", 1), ("hundreds", 1)] {
        subject.wait_provider(name, count, "").await?;
    }
    let case = |name, ours, file, connections| Case {
        name,
        ours,
        file,
        connections,
        is_archive: connections == 8,
    };
    let cases = [
        case(
            "version list of 100",
            versions_path("small"),
            "versions.json",
            16,
        ),
        case(
            "package document",
            package_path("small", "1.50.0"),
            "package.json",
            16,
        ),
        case(
            "archive of 50 MB",
            archive_path("fifty", "1.0.0"),
            "50.zip",
            8,
        ),
        case(
            "archive of 200 MB",
            archive_path("hundreds", "1.0.0"),
            "200.zip",
            8,
        ),
    ];
    for case in &cases {
        let file: PathBuf = files.join(case.file);
        fs::write(file, subject.get(&case.ours).await?)?;
    }
    let nginx = Nginx::start(nginx, dir.path(), &files)?;
    let mut figures = Vec::new();
    for case in &cases {
        eprintln!("measuring {}", case.name);
        figures.push(compare(case, "", &subject, &nginx, wrk, seconds, rounds)?);
    }
    drop(subject);
    let (token, config) = write_token(binary, dir.path())?;
    let mut subject = Subject::start(binary, dir.path(), Some(&config)).await?;
    subject.wait_provider("small", LISTED, &token).await?;
    for case in cases.iter().filter(|case| !case.is_archive) {
        eprintln!("measuring {}, with a token", case.name);
        let mut figure = compare(case, &token, &subject, &nginx, wrk, seconds, rounds)?;
        figure.case.push_str(", with a token");
        figures.push(figure);
    }
    Ok(figures)
}

fn compare(
    case: &Case,
    token: &str,
    subject: &Subject,
    nginx: &Nginx,
    wrk: &Path,
    seconds: u32,
    rounds: u32,
) -> Result<Figure> {
    let mut peers = vec![("nginx", nginx.sendfile_url(case.file))];
    if case.is_archive {
        peers.push(("nginx with output_buffers", nginx.buffers_url(case.file)));
    }
    let headers: Vec<String> = match token {
        "" => Vec::new(),
        token => vec![format!("Authorization: Bearer {token}")],
    };
    let load =
        |url: &str, headers: &[String]| load::run(wrk, url, headers, case.connections, seconds);
    let figure = |load: Load| match case.is_archive {
        true => load.bytes / 1e6,
        false => load.requests,
    };
    let before = subject.memory_mib()?;
    let (mut ours, mut p99, mut grown) = (0.0_f64, f64::INFINITY, 0.0_f64);
    let mut theirs = vec![0.0_f64; peers.len()];
    for _ in 0..rounds.max(1) {
        let measured = load(&subject.url(&case.ours), &headers)?;
        ours = ours.max(figure(measured));
        p99 = p99.min(measured.p99_ms);
        grown = grown.max(subject.memory_mib()? - before);
        for ((_, url), best) in peers.iter().zip(&mut theirs) {
            *best = best.max(figure(load(url, &[])?));
        }
    }
    Ok(Figure {
        case: case.name.to_owned(),
        connections: case.connections,
        unit: if case.is_archive { "MB/s" } else { "req/s" },
        ours,
        ours_p99_ms: p99,
        peers: peers
            .iter()
            .map(|(name, _)| (*name).to_owned())
            .zip(theirs)
            .collect(),
        goal: if case.is_archive {
            ARCHIVE_GOAL
        } else {
            METADATA_GOAL
        },
        memory_growth_mib: grown,
    })
}

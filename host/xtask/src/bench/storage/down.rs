//! A bucket that takes requests and never answers, says that it is overloaded, or ends connections.

use super::super::Run;
use super::super::figure::{Figure, Goal};
use super::super::paced;
use super::super::subject::{Listed, Subject};
use super::bucket::Bucket;
use super::{LARGE, MODULES, bytes_path, client};
use anyhow::Result;
use std::time::{Duration, Instant};

/// Requests a second of those who are watched.
const RATE: u32 = 500;
const METADATA_GOAL: f64 = 1.2;
const REFUSED_GOAL_SECONDS: f64 = 8.0;
const RECOVERED_GOAL_SECONDS: f64 = 10.0;
/// Downloads at a time that wait for the bucket.
const NUM_WAITING: usize = 16;

pub(super) async fn measure(
    run: &Run,
    bucket: &mut Bucket,
    subject: &Subject,
) -> Result<Vec<Figure>> {
    let mut figures = Vec::new();
    for mode in ["stall", "slow-down", "reset"] {
        eprintln!("a bucket that is down ({mode})");
        figures.extend(one(run, bucket, subject, mode).await?);
    }
    Ok(figures)
}

async fn one(run: &Run, bucket: &mut Bucket, subject: &Subject, mode: &str) -> Result<Vec<Figure>> {
    let list = Listed::Provider(LARGE.0).path();
    let lists = vec![list; usize::try_from(RATE * run.seconds)?];
    let port = subject.port();
    let path = bytes_path(subject, MODULES[0]).await?;
    let url = subject.url(&path);
    let (mut before, mut beside) = (f64::INFINITY, f64::INFINITY);
    let (mut slowest, mut recovered) = (0.0_f64, 0.0_f64);
    let mut are_refused = true;
    for _ in 0..run.rounds {
        before = before.min(paced::run(port, &lists, RATE, 200)?.percentile_us(0.99));
        bucket.set_mode(mode)?;
        let waiting: Vec<_> = (0..NUM_WAITING)
            .map(|_| {
                tokio::spawn(refused(
                    url.clone(),
                    Duration::from_secs(run.seconds.into()),
                ))
            })
            .collect();
        let lists = lists.clone();
        let watched = tokio::task::spawn_blocking(move || paced::run(port, &lists, RATE, 200));
        beside = beside.min(watched.await??.percentile_us(0.99));
        for download in waiting {
            let (seconds, is_refused) = download.await??;
            slowest = slowest.max(seconds);
            are_refused &= is_refused;
        }
        bucket.set_mode("right")?;
        let resumed = Instant::now();
        while !client()?.get(&url).send().await?.status().is_success() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        recovered = recovered.max(resumed.elapsed().as_secs_f64());
    }
    let name = format!("a bucket that is down ({mode})");
    Ok(vec![
        Figure::new(
            format!("{name}: p99 of metadata, ratio to before"),
            beside / before,
            "",
            Goal::AtMost(METADATA_GOAL),
        )
        .detail(format!(
            "{beside:.0} µs beside {NUM_WAITING} downloads, {before:.0} µs before, {RATE} req/s"
        )),
        Figure::new(
            format!("{name}: the slowest answer to a download"),
            slowest,
            "s",
            Goal::AtMost(REFUSED_GOAL_SECONDS),
        ),
        Figure::holds(
            format!("{name}: each is answered 503 with Retry-After"),
            are_refused,
        ),
        Figure::new(
            format!("{name}: from its return to a download"),
            recovered,
            "s",
            Goal::AtMost(RECOVERED_GOAL_SECONDS),
        ),
    ])
}

/// Downloads again and again; the slowest answer, and whether all were refused as they should be.
async fn refused(url: String, within: Duration) -> Result<(f64, bool)> {
    let client = client()?;
    let began = Instant::now();
    let (mut slowest, mut are_refused) = (0.0_f64, true);
    while began.elapsed() < within {
        let asked = Instant::now();
        let answer = client.get(&url).send().await?;
        slowest = slowest.max(asked.elapsed().as_secs_f64());
        are_refused &= answer.status() == 503 && answer.headers().contains_key("retry-after");
        let retry_after = answer.headers().get("retry-after");
        let seconds = retry_after.and_then(|value| value.to_str().ok()?.parse().ok());
        // As a client does that is told when to come back; one that is not told comes at once.
        tokio::time::sleep(Duration::from_secs(seconds.unwrap_or(0))).await;
    }
    Ok((slowest, are_refused))
}

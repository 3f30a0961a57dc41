//! Keeping up with the folder.

use super::{Options, Problem, Report, apply_once};
use crate::{Embedded, Error};
use notify::{RecommendedWatcher, RecursiveMode, Watcher as _};
use std::collections::HashSet;
use std::future::Future;
use std::path::Path;
use std::pin::pin;
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, MissedTickBehavior};

/// The folder is read again once it has been quiet for so long.
const QUIET: Duration = Duration::from_millis(200);
/// A folder that is never quiet is read again after this long.
const MAX_QUIET: Duration = Duration::from_secs(2);
/// Notifications get lost on network file systems, so the folder is read again anyway.
const POLL: Duration = Duration::from_secs(30);

/// Applies the folder, then follows it until `shutdown`. Each problem is logged when it appears,
/// not every time it is seen; `problems` always holds those of the last pass.
///
/// # Errors
/// [`Error::Manifests`] when the path is something other than a folder. A folder that is missing
/// is waited for.
pub async fn run(
    embedded: Embedded,
    options: Options,
    problems: watch::Sender<Vec<Problem>>,
    shutdown: impl Future<Output = ()>,
) -> Result<(), Error> {
    if let Ok(metadata) = tokio::fs::metadata(&options.dir).await
        && !metadata.is_dir()
    {
        return Err(Error::Manifests {
            path: options.dir.clone(),
            message: "it is not a folder".to_owned(),
        });
    }
    let mut shutdown = pin!(shutdown);
    let (sender, mut changes) = mpsc::channel(1);
    let mut watcher = None;
    let mut known = HashSet::new();
    let mut poll = tokio::time::interval(POLL);
    poll.set_missed_tick_behavior(MissedTickBehavior::Skip);
    loop {
        // The first tick of an interval comes at once: that is the first pass.
        tokio::select! {
            biased;
            () = &mut shutdown => return Ok(()),
            _ = changes.recv() => {
                tokio::select! {
                    () = &mut shutdown => return Ok(()),
                    () = settle(&mut changes) => {}
                }
            }
            _ = poll.tick() => {}
        }
        if watcher.is_none() {
            // Before the pass, so that a change during it is noticed.
            watcher = start_watcher(&options.dir, &sender);
        }
        let report = apply_once(&embedded, &options).await;
        log(&report, &mut known);
        if report.problems.iter().any(|problem| problem.file == ".") {
            // The folder may have been replaced: watch the new one.
            watcher = None;
        }
        problems.send_replace(report.problems);
    }
}

/// Waits until changes stop coming.
async fn settle(changes: &mut mpsc::Receiver<()>) {
    let limit = Instant::now() + MAX_QUIET;
    while Instant::now() < limit {
        if tokio::time::timeout(QUIET, changes.recv()).await.is_err() {
            return;
        }
    }
}

fn start_watcher(dir: &Path, sender: &mpsc::Sender<()>) -> Option<RecommendedWatcher> {
    let sender = sender.clone();
    let handler = move |event: notify::Result<notify::Event>| {
        // Our own reading is an access; answering it would never end.
        if event.is_ok_and(|event| event.kind.is_access()) {
            return;
        }
        // A full channel already says that something changed.
        sender.try_send(()).ok();
    };
    let started = notify::recommended_watcher(handler).and_then(|mut watcher| {
        watcher.watch(dir, RecursiveMode::Recursive)?;
        Ok(watcher)
    });
    match started {
        Ok(watcher) => Some(watcher),
        Err(error) => {
            tracing::debug!(error = %error, "cannot watch the manifests folder, it is polled");
            None
        }
    }
}

fn log(report: &Report, known: &mut HashSet<Problem>) {
    let now: HashSet<Problem> = report.problems.iter().cloned().collect();
    for problem in &report.problems {
        if !known.contains(problem) {
            tracing::warn!(manifest.file = %problem.file, manifest.line = problem.line, "cannot apply {problem}");
        }
    }
    if report.applied > 0 || report.pruned > 0 {
        tracing::info!(
            manifest.applied = report.applied,
            manifest.unchanged = report.unchanged,
            manifest.pruned = report.pruned,
            "applied the manifests folder"
        );
    }
    *known = now;
}

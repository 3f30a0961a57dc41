//! Progress of fetches: bars when a terminal watches, else nothing (the log says when each ends).

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use opendepot_actors::reconciler::Progress;
use opendepot_domain::ArtifactId;
use std::collections::HashMap;
use std::io::IsTerminal as _;
use std::sync::{Arc, Mutex};

/// Small fetches are over before anybody could read a bar.
const WORTH_SHOWING_BYTES: u64 = 4 << 20;

/// What fetches report to.
pub(crate) fn watcher() -> Progress {
    if !std::io::stderr().is_terminal() {
        return Arc::new(|_: &ArtifactId, _, _| {});
    }
    let bars = Mutex::new(HashMap::<String, ProgressBar>::new());
    let screen = MultiProgress::new();
    Arc::new(move |id: &ArtifactId, done: u64, total: Option<u64>| {
        let Some(total) = total.filter(|total| *total >= WORTH_SHOWING_BYTES) else {
            return;
        };
        let Ok(mut bars) = bars.lock() else { return };
        let key = id.to_string();
        if done >= total {
            if let Some(bar) = bars.remove(&key) {
                bar.finish_and_clear();
            }
            return;
        }
        let bar = bars.entry(key.clone()).or_insert_with(|| {
            let bar = screen.add(ProgressBar::new(total));
            if let Ok(style) = ProgressStyle::with_template(
                "fetching {msg} {bar:24} {bytes}/{total_bytes} {bytes_per_sec}",
            ) {
                bar.set_style(style);
            }
            bar.set_message(key);
            bar
        });
        bar.set_position(done);
    })
}

//! What plugins that misbehave cost the process they run in; prints JSON, in MiB and seconds.
//! `-- guests FOLDER` writes plugins that loop, for a registry under load, instead.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a benchmark fails loudly, and this one prints what it measured"
)]
#![expect(
    dead_code,
    reason = "the guests and folders of the tests, of which a few are used here"
)]

use opendepot_domain::seam::AccessPolicy as _;
use opendepot_domain::{Action, Decision};
use opendepot_plugin::PluginHost;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use tokio::runtime::Runtime;

#[path = "../tests/it/guests.rs"]
mod guests;
#[path = "../tests/it/support.rs"]
mod support;

const NUM_TRAPS: usize = 100_000;
const NUM_HOGS: usize = 50;
const NUM_LOOPERS: u8 = 4;

/// Takes all the memory it can have, a MiB at a time, writes to it, and goes on writing.
const HOG: &str = r"
    (local.set $i (i32.shl (memory.size) (i32.const 16)))
    (block $full (loop $more
      (br_if $full (i32.eq (memory.grow (i32.const 16)) (i32.const -1)))
      (memory.fill (local.get $i) (i32.const 165) (i32.const 1048576))
      (local.set $i (i32.add (local.get $i) (i32.const 1048576)))
      (br $more)))
    (loop $on
      (memory.fill (i32.const 65536) (i32.const 90) (i32.const 1048576))
      (br $on))
    (unreachable)";

/// Loops when the first target's name is `loop-` and this digit; else it has no opinion.
fn looper(digit: u8) -> String {
    format!(
        "(local.set $i (i32.load offset=20 (i32.load offset=88 (local.get $args))))
         (if (i32.and
               (i32.eq (i32.load (local.get $i)) (i32.const 0x706f6f6c))
               (i32.eq (i32.load8_u offset=5 (local.get $i)) (i32.const {})))
           (then (loop $forever (br $forever))))
         {}",
        b'0' + digit,
        guests::ABSTAIN
    )
}

fn main() {
    let mut words = std::env::args()
        .skip(1)
        .filter(|word| !word.starts_with("--"));
    match (words.next().as_deref(), words.next()) {
        (Some("guests"), Some(folder)) => write_loopers(Path::new(&folder)),
        (None, _) => measure(),
        other => panic!("unknown arguments: {other:?}"),
    }
}

fn write_loopers(folder: &Path) {
    for digit in 0..NUM_LOOPERS {
        let folder = folder.join(format!("looper-{digit}"));
        std::fs::create_dir_all(&folder).unwrap();
        let manifest = format!(
            "apiVersion: opendepot.defdev.io/v1alpha1\nkind: Plugin\n\
             metadata: {{ name: looper-{digit}, version: 1.0.0 }}\nspec: {{ world: auth }}\n"
        );
        std::fs::write(folder.join("plugin.yaml"), manifest).unwrap();
        std::fs::write(folder.join("plugin.wasm"), guests::auth(&looper(digit))).unwrap();
    }
}

fn measure() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    let host = host(&runtime, HOG);
    // What the first call needs stays: threads, code that is paged in.
    let limit = opendepot_plugin::Limits::default().memory_bytes as f64 / (1 << 20) as f64;
    expect(&runtime, &host, "deadline");
    let before = resident_mib();
    let peak = Peak::start();
    for _ in 0..NUM_HOGS {
        expect(&runtime, &host, "deadline");
    }
    let hog = peak.stop() - before;

    let host = self::host(&runtime, "(unreachable)");
    for _ in 0..NUM_TRAPS / 10 {
        expect(&runtime, &host, "unreachable");
    }
    let (before, started) = (resident_mib(), Instant::now());
    for _ in 0..NUM_TRAPS {
        expect(&runtime, &host, "unreachable");
    }
    println!(
        "{}",
        serde_json::json!({
            "limit": limit,
            "hogs": NUM_HOGS,
            "hogGrowth": hog,
            "traps": NUM_TRAPS,
            "trapsGrowth": resident_mib() - before,
            "trapsSeconds": started.elapsed().as_secs_f64(),
        })
    );
}

fn host(runtime: &Runtime, guest: &str) -> PluginHost {
    let mut site = support::Site::new();
    site.config.limits.breaker_faults = u32::MAX;
    site.config.limits.auth_timeout = Duration::from_millis(200);
    site.plugin("guest", "auth", &guests::auth(guest));
    runtime.block_on(site.host())
}

/// One call, which must be denied for this reason.
fn expect(runtime: &Runtime, host: &PluginHost, reason: &str) {
    let (subject, targets) = (support::subject(), support::targets(1));
    let answers = runtime.block_on(host.authorize(&subject, Action::Download, &targets, 1));
    let [Decision::Deny(denial)] = answers.as_slice() else {
        panic!("{answers:?}");
    };
    let said = denial.reason.to_string();
    assert!(said.contains(reason), "{said}");
}

fn resident_mib() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.unwrap().trim().trim_end_matches(" kB");
    kib.parse::<f64>().unwrap() / 1024.0
}

/// The most resident memory until it is stopped.
struct Peak {
    ends: Arc<AtomicBool>,
    thread: std::thread::JoinHandle<f64>,
}

impl Peak {
    fn start() -> Self {
        let ends = Arc::new(AtomicBool::new(false));
        let told = Arc::clone(&ends);
        let thread = std::thread::spawn(move || {
            let mut peak = 0.0_f64;
            while !told.load(Ordering::Relaxed) {
                peak = peak.max(resident_mib());
                std::thread::sleep(Duration::from_millis(2));
            }
            peak
        });
        Self { ends, thread }
    }

    fn stop(self) -> f64 {
        self.ends.store(true, Ordering::Relaxed);
        self.thread.join().unwrap()
    }
}

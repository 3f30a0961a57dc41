//! What hostile guests cost the host in memory. Measured in a process of its own: the other tests
//! use memory at the same time.

use crate::guests::{self, ALLOW, auth, auth_module_with, component};
use crate::support::{Site, artifact, failure, grants, id, subject, targets};
use opendepot_domain::seam::{AccessPolicy as _, StorageDecisions as _};
use opendepot_domain::{Action, Decision};
use std::process::Command;
use std::time::Duration;

/// What the peak may be above what the process holds before.
const MOST_BYTES: usize = 64 << 20;

#[test]
fn hostile_guests_leave_the_host_small() {
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "footprint::measured", "--ignored", "--nocapture"])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let failed = String::from_utf8_lossy(&output.stderr);
    println!("{said}");
    let is_good = output.status.success() && said.contains("1 passed");
    assert!(is_good, "{said}\n{failed}");
}

/// A line of the process's own status, in bytes.
fn status(name: &str) -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with(name)).unwrap();
    let kib = line.split_whitespace().nth(1).unwrap();
    kib.parse::<usize>().unwrap() << 10
}

/// Forgets the peak so far.
fn reset_peak() {
    std::fs::write("/proc/self/clear_refs", "5").unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "measures its whole process; `hostile_guests_leave_the_host_small` starts one for it"]
async fn measured() {
    let list = |len: &str| {
        format!(
            "(i32.store (i32.const 2052) (i32.const 65536)) (i32.store (i32.const 2056) {len}) (i32.const 2048)"
        )
    };
    let text = "(drop (call $answer (i32.const 1) (local.get $n)))
        (i32.store offset=4 (i32.load (i32.const 2052)) (i32.const 0))
        (i32.store offset=8 (i32.load (i32.const 2052)) (i32.const 0x40000000)) (i32.const 2048)";
    let grow = "(loop $more (br_if $more (i32.ne (memory.grow (i32.const 16)) (i32.const -1)))) (unreachable)";
    let table = auth_module_with(
        r#"(memory (export "memory") 2) (table $t 1 funcref)"#,
        "(i32.const 1024)",
        "(loop $more (br_if $more (i32.ne (table.grow $t (ref.null func) (i32.const 1000)) (i32.const -1)))) (unreachable)",
    );
    let hostile = [
        ("text", auth(text)),
        ("records", auth(&list("(i32.const 100000000)"))),
        (
            "answers",
            auth("(call $answer (i32.const 0) (i32.const 1000000))"),
        ),
        ("memory", auth(grow)),
        ("table", component("auth", &table)),
        ("stack", auth("(call $recurse (i32.const 0))")),
    ];
    let mut site = Site::new();
    site.config.limits.breaker_faults = u32::MAX;
    for (name, guest) in &hostile {
        site.plugin(name, "auth", guest);
    }
    // Refused while loading.
    for (name, head) in [
        ("large", r#"(memory (export "memory") 65536)"#.to_owned()),
        (
            "many",
            format!(
                r#"(memory (export "memory") 2) {}"#,
                "(memory 1)".repeat(99)
            ),
        ),
    ] {
        let guest = auth_module_with(&head, "(i32.const 1024)", ALLOW);
        site.plugin(name, "auth", &component("auth", &guest));
    }
    let lament = guests::storage_lamenting(20 << 20);
    site.plugin("wails", "storage", &lament).grants = grants("stores: [{ match: 'file:///' }]");
    let host = site.host().await;
    assert!(failure(&host, "large").is_some() && failure(&host, "many").is_some());
    for (name, _) in &hostile {
        assert_eq!(failure(&host, name), None, "{name}");
    }
    reset_peak();
    let before = status("VmRSS:");
    for _ in 0..20 {
        let (subject, targets) = (subject(), targets(2));
        let asked = host.authorize(&subject, Action::Download, &targets, 1_000);
        let decisions = tokio::time::timeout(Duration::from_secs(60), asked).await;
        assert!(matches!(decisions.unwrap()[0], Decision::Deny(_)));
        host.locate(&id("wails"), None, &artifact())
            .await
            .unwrap_err();
    }
    let more = status("VmHWM:").saturating_sub(before);
    println!("{} MiB more than before at the most", more >> 20);
    assert!(more <= MOST_BYTES, "{} MiB", more >> 20);
    // What it looks for it would see.
    reset_peak();
    let before = status("VmRSS:");
    drop(std::hint::black_box(vec![1_u8; 2 * MOST_BYTES]));
    assert!(status("VmHWM:").saturating_sub(before) > MOST_BYTES);
}

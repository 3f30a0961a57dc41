//! A full disk (Z27, R-28): nothing panics, what is published is served, nothing half-written
//! stays, and once there is space everything goes on by itself.
//!
//! The disk is a small one that is mounted for the server alone, which takes root or user
//! namespaces. The other way to have no space is a limit on the size of files; it needs nothing.

use crate::module_digest;
use opendepot_tests::fixture::noise;
use opendepot_tests::wait::SOON;
use opendepot_tests::{Module, Registry, Release, Setup, wait_until};
use rustix::process::{Pid, Resource, Rlimit, Signal, prlimit};
use serde_json::Value;
use std::fs;
use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

/// Recovery after the cause has ended (R-28).
const RECOVERED: Duration = Duration::from_secs(60);
/// More than the spare pages of the control plane's store can take.
const NUM_MODULES: usize = 150;
const ROOM: u64 = 1 << 20;

/// Mounts the data dir, which is the first argument, and becomes the server.
const MOUNT: &str = r#"mount -t tmpfs -o size=24m tmpfs "$1" && shift && exec "$@""#;
/// A write beyond the limit is an error then, not the end of the process.
const LIMIT: &str = r#"trap "" XFSZ; exec "$@""#;

/// How there comes to be no space.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Scarcity {
    Disk,
    FileSize,
}

/// The words that start a program with mounts of its own, where that is allowed.
fn own_mounts() -> Option<&'static [&'static str]> {
    let ways: [&[&str]; 2] = [
        &["unshare", "--mount"],
        &["unshare", "--map-root-user", "--mount"],
    ];
    ways.into_iter().find(|words| {
        let tried = Command::new("env")
            .args(*words)
            .args(["sh", "-c", "mount -t tmpfs tmpfs /tmp"])
            .stderr(Stdio::null())
            .status();
        tried.is_ok_and(|status| status.success())
    })
}

/// A server that can run out of space.
struct Scarce {
    registry: Registry,
    scarcity: Scarcity,
}

impl Scarce {
    async fn start(setup: Setup, scarcity: Scarcity) -> Self {
        let data = setup.data_dir();
        let setup = match (scarcity, own_mounts()) {
            (Scarcity::Disk, Some(words)) => {
                fs::create_dir(&data).unwrap();
                let rest = ["sh", "-c", MOUNT, "sh", data.to_str().unwrap()];
                setup.launcher(&[words, rest.as_slice()].concat())
            }
            (Scarcity::Disk, None) => panic!("no way to mount a disk"),
            (Scarcity::FileSize, _) => setup.launcher(&["sh", "-c", LIMIT, "sh"]),
        };
        Self {
            registry: setup.start().await,
            scarcity,
        }
    }

    /// The data dir as the server sees it.
    fn data(&self) -> PathBuf {
        let data = self.registry.setup().data_dir();
        let root = PathBuf::from(format!("/proc/{}/root", self.registry.pid()));
        root.join(data.strip_prefix("/").unwrap())
    }

    /// Leaves so many bytes for more.
    fn leave(&self, room: u64) {
        match self.scarcity {
            Scarcity::Disk => {
                let path = self.data().join("filler");
                let mut filler = fs::OpenOptions::new();
                let mut filler = filler.create(true).append(true).open(path).unwrap();
                let free = rustix::fs::statvfs(self.data().as_path()).unwrap();
                let free = free.f_bavail * free.f_frsize;
                let zeros = vec![0; usize::try_from(free.saturating_sub(room)).unwrap()];
                // An error says that it is full already.
                let _full = filler.write_all(&zeros);
            }
            Scarcity::FileSize => {
                let store = fs::metadata(self.data().join("control.redb")).unwrap();
                // The log is a file too, but a shorter one.
                self.limit(Some(store.len() + room));
            }
        }
    }

    fn free(&self) {
        match self.scarcity {
            Scarcity::Disk => fs::remove_file(self.data().join("filler")).unwrap(),
            Scarcity::FileSize => self.limit(None),
        }
    }

    fn limit(&self, current: Option<u64>) {
        let pid = Pid::from_raw(i32::try_from(self.registry.pid()).unwrap());
        let maximum = None;
        let limit = Rlimit { current, maximum };
        prlimit(pid, Resource::Fsize, limit).unwrap();
    }

    /// A Version, as the control plane has it; nothing when it cannot be read.
    fn version(&self, name: &str) -> Option<Value> {
        let mut socket = UnixStream::connect(self.data().join("control.sock")).ok()?;
        let path = format!("/apis/opendepot.defdev.io/v1alpha1/namespaces/team/versions/{name}");
        write!(socket, "GET {path} HTTP/1.0\r\nHost: localhost\r\n\r\n").ok()?;
        let mut answer = String::new();
        socket.read_to_string(&mut answer).ok()?;
        serde_json::from_str(answer.split_once("\r\n\r\n")?.1).ok()
    }

    fn num_files(&self, folder: &str) -> usize {
        let mut folders = vec![self.data().join(folder)];
        let mut num = 0;
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
                match entry.path().is_dir() {
                    true => folders.push(entry.path()),
                    false => num += 1,
                }
            }
        }
        num
    }

    async fn wait_log(&self, words: &str) {
        wait_until(&format!("`{words}` in the log"), SOON, || async {
            match self.registry.setup().log().contains(words) {
                true => Ok(()),
                false => Err("not there"),
            }
        })
        .await;
    }
}

fn name(n: usize) -> String {
    format!("module-{n}")
}

/// Without space for a package, then without space for anything; then there is space.
async fn without_space(scarcity: Scarcity) -> Registry {
    let setup = Setup::plain();
    Module::new("small").write(&setup.manifests());
    Release::new("note").write(&setup.manifests());
    let scarce = Scarce::start(setup, scarcity).await;
    let registry = &scarce.registry;
    let manifests = registry.setup().manifests();
    registry.wait_module("small", &["1.0.0"]).await;
    registry.wait_provider("note", &["1.0.0"]).await;
    let digest = module_digest(registry, "small", "1.0.0").await;

    scarce.leave(ROOM);
    let big = Module::new("big").file("data.bin", noise(4 << 20, 5));
    big.write(&manifests);
    let why = match scarcity {
        Scarcity::Disk => "DiskFull",
        Scarcity::FileSize => "file too large",
    };
    wait_until("a condition that says why", SOON, || async {
        let version = scarce.version("big-1-0-0");
        let conditions = version.and_then(|v| v.pointer("/status/conditions").cloned());
        match conditions {
            Some(found) if found.to_string().contains(why) => Ok(()),
            other => Err(other),
        }
    })
    .await;
    assert_eq!(scarce.num_files("tmp"), 0, "a temporary file stays");

    scarce.leave(0);
    for n in 0..NUM_MODULES {
        Module::new(&name(n)).write(&manifests);
    }
    scarce.wait_log("cannot write to the embedded store").await;
    assert_eq!(module_digest(registry, "small", "1.0.0").await, digest);
    let admin = registry.setup().admin_address();
    let url = format!("http://{admin}/livez");
    let answer = registry.http().get(&url).send().await.unwrap();
    assert_eq!(answer.status(), 200, "a restart would not help");

    scarce.free();
    let all_listed = wait_until("everything to be published", RECOVERED, || async {
        for name in (0..NUM_MODULES).map(name).chain(["big".to_owned()]) {
            let path = format!("/opendepot/modules/v1/team/{name}/local/1.0.0/download");
            let status = registry.status(&path).await;
            if status != 204 {
                return Err((name, status));
            }
        }
        Ok(())
    });
    all_listed.await;
    assert_eq!(module_digest(registry, "small", "1.0.0").await, digest);
    // Two platforms, the small module, the big one and the rest.
    assert_eq!(scarce.num_files("artifacts"), 4 + NUM_MODULES);
    assert_eq!(scarce.num_files("tmp"), 0);
    let log = registry.setup().log();
    assert!(!log.contains("panicked"), "{log}");
    scarce.registry
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_is_survived() {
    let scarcity = match own_mounts() {
        Some(_) => Scarcity::Disk,
        None => Scarcity::FileSize,
    };
    let mut registry = without_space(scarcity).await;
    registry.signal(Signal::TERM);
    assert_eq!(registry.wait_exit(RECOVERED).await.code(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn files_that_cannot_grow_are_survived_and_nothing_is_lost() {
    let registry = without_space(Scarcity::FileSize).await;
    let digest = module_digest(&registry, "big", "1.0.0").await;
    let (status, setup) = registry.stop().await;
    assert_eq!(status.code(), Some(0));
    fs::remove_dir_all(setup.manifests().join("src")).unwrap();
    let registry = setup.start().await;
    registry.wait_module(&name(7), &["1.0.0"]).await;
    assert_eq!(module_digest(&registry, "big", "1.0.0").await, digest);
}

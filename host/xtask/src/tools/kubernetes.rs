//! A Kubernetes control plane: kube-apiserver, what completes deletions beside it, and the etcd
//! that it is released with. Debian's etcd is too old: it lacks what streamed lists need.

use super::cache::Cache;
use super::{Found, How};
use crate::process::{capture, on_path, output};
use anyhow::{Result, bail};
use std::fs;
use std::path::Path;
use std::process::Command;

const VERSION: &str = "1.36.3";
const ETCD: &str = "3.6.8";
/// All are built from one module in one go: most of what they consist of is shared.
const PACKAGES: [&str; 3] = [
    "k8s.io/kubernetes/cmd/kube-apiserver",
    "k8s.io/kubernetes/cmd/kube-controller-manager",
    "./etcd",
];
const SOURCES: [(&str, &str); 4] = [
    ("go.mod", include_str!("../../tools/kubernetes/go.mod")),
    ("go.sum", include_str!("../../tools/kubernetes/go.sum")),
    ("tools.go", include_str!("../../tools/kubernetes/tools.go")),
    (
        "etcd/main.go",
        include_str!("../../tools/kubernetes/etcd/main.go"),
    ),
];

/// One of the programs, and what it says when it is asked for its version.
#[derive(Clone, Copy)]
pub(super) struct Program {
    name: &'static str,
    version: &'static str,
    banner: &'static str,
}

pub(super) const APISERVER: Program = Program {
    name: "kube-apiserver",
    version: VERSION,
    banner: "Kubernetes v",
};
pub(super) const CONTROLLER_MANAGER: Program = Program {
    name: "kube-controller-manager",
    ..APISERVER
};
pub(super) const STORE: Program = Program {
    name: "etcd",
    version: ETCD,
    banner: "etcd Version: ",
};

/// A program of the control plane: on PATH in exactly this version, cached, or built with Go.
pub(super) fn program(cache: &Cache, program: Program) -> Result<Found> {
    let found = |path: &Path, how| Found {
        version: program.version.to_owned(),
        path: path.to_owned(),
        how,
    };
    if let Some(path) = on_path(program.name).filter(|path| program.is(path)) {
        return Ok(found(&path, How::OnPath));
    }
    let (dir, is_new) = cache.make(&format!("kubernetes-{VERSION}"), build)?;
    let how = if is_new { How::Built } else { How::Cached };
    Ok(found(&dir.join(program.name), how))
}

fn build(dir: &Path) -> Result<()> {
    let what = format!("kube-apiserver and kube-controller-manager {VERSION} and etcd {ETCD}");
    let Some(go) = on_path("go") else {
        bail!(
            "neither {what} nor Go is on PATH; install Go 1.26 or newer (go.dev/dl), then run this again"
        );
    };
    eprintln!("building {what} with Go: 4-10 minutes the first time, about 3 GB of Go's caches");
    let source = dir.join("source");
    fs::create_dir_all(source.join("etcd"))?;
    for (file, text) in SOURCES {
        fs::write(source.join(file), text)?;
    }
    // Else it calls itself v0.0.0-master, also to clients that ask.
    let version = "k8s.io/component-base/version";
    let flags = format!(
        "-s -w -X {version}.gitVersion=v{VERSION} -X {version}.gitMajor=1 -X {version}.gitMinor=36"
    );
    capture(
        Command::new(go)
            .args(["build", "-ldflags", &flags, "-o"])
            .arg(dir)
            .args(PACKAGES)
            .env_remove("GOOS")
            .env_remove("GOARCH")
            .current_dir(&source),
    )?;
    fs::remove_dir_all(source)?;
    for program in [APISERVER, CONTROLLER_MANAGER, STORE] {
        if !program.is(&dir.join(program.name)) {
            let Program { name, version, .. } = program;
            bail!("the {name} that was built does not say that it is version {version}");
        }
    }
    Ok(())
}

impl Program {
    fn is(self, path: &Path) -> bool {
        let Ok(said) = output(Command::new(path).arg("--version")) else {
            return false;
        };
        let said = String::from_utf8_lossy(&said.stdout);
        said.lines().next().map(str::trim) == Some(&format!("{}{}", self.banner, self.version))
    }
}

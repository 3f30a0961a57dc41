//! What is built with Go, and how each program is told its version, which its own releases do.

use super::{Module, Program};

/// The files of a module, in its folder under `tools/`.
macro_rules! sources {
    ($folder:literal $(, $more:literal)*) => {
        &[
            ("go.mod", include_str!(concat!("../../../tools/", $folder, "/go.mod"))),
            ("go.sum", include_str!(concat!("../../../tools/", $folder, "/go.sum"))),
            ("tools.go", include_str!(concat!("../../../tools/", $folder, "/tools.go"))),
            $(($more, include_str!(concat!("../../../tools/", $folder, "/", $more))),)*
        ]
    };
}

/// OpenTofu. Without `dev=no` it calls itself 1.12.6-dev, also in its User-Agent.
pub(in crate::tools) const TOFU: Module = Module {
    name: "tofu",
    programs: &[Program {
        name: "tofu",
        version: "1.12.6",
        tells: Some(("version", "OpenTofu v")),
    }],
    packages: &["github.com/opentofu/opentofu/cmd/tofu"],
    sources: sources!("tofu"),
    flags: "-X github.com/opentofu/opentofu/version.dev=no",
    go: "1.26",
    effort: "75-200 s the first time, about 2 GB of Go's caches",
};

/// A Kubernetes control plane: kube-apiserver, what completes deletions beside it, and the etcd
/// that it is released with. Debian's etcd is too old: it lacks what streamed lists need.
pub(in crate::tools) const KUBERNETES: Module = Module {
    name: "kubernetes",
    programs: &[
        Program {
            name: "kube-apiserver",
            version: "1.36.3",
            tells: Some(("--version", "Kubernetes v")),
        },
        Program {
            name: "kube-controller-manager",
            version: "1.36.3",
            tells: Some(("--version", "Kubernetes v")),
        },
        Program {
            name: "etcd",
            version: "3.6.8",
            tells: Some(("--version", "etcd Version: ")),
        },
    ],
    packages: &[
        "k8s.io/kubernetes/cmd/kube-apiserver",
        "k8s.io/kubernetes/cmd/kube-controller-manager",
        "./etcd",
    ],
    sources: sources!("kubernetes", "etcd/main.go"),
    // Else it calls itself v0.0.0-master, also to clients that ask.
    flags: "-X k8s.io/component-base/version.gitVersion=v{} \
            -X k8s.io/component-base/version.gitMajor=1 \
            -X k8s.io/component-base/version.gitMinor=36",
    go: "1.26",
    effort: "4-10 minutes the first time, about 3 GB of Go's caches",
};

/// vegeta, a load generator that keeps to a rate.
pub(in crate::tools) const VEGETA: Module = Module {
    name: "vegeta",
    programs: &[Program {
        name: "vegeta",
        version: "12.13.0",
        tells: Some(("-version", "Version: ")),
    }],
    packages: &["github.com/tsenart/vegeta/v12"],
    sources: sources!("vegeta"),
    flags: "-X main.Version={}",
    go: "1.24",
    effort: "half a minute, once",
};

/// versitygw, a server that speaks S3 over a folder.
pub(in crate::tools) const VERSITYGW: Module = Module {
    name: "versitygw",
    programs: &[Program {
        name: "versitygw",
        version: "1.8.0",
        tells: Some(("--version", "Version  : v")),
    }],
    packages: &["github.com/versity/versitygw/cmd/versitygw"],
    sources: sources!("versitygw"),
    flags: "-X main.Version=v{}",
    go: "1.25",
    effort: "a minute or two, once",
};

/// fake-gcs-server, which answers as Google Cloud Storage does.
pub(in crate::tools) const FAKE_GCS_SERVER: Module = Module {
    name: "fake-gcs-server",
    programs: &[Program {
        name: "fake-gcs-server",
        version: "1.56.1",
        tells: None,
    }],
    packages: &["github.com/fsouza/fake-gcs-server"],
    sources: sources!("fake-gcs-server"),
    flags: "",
    go: "1.26",
    effort: "a minute, once",
};

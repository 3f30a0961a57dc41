//! What an API server owes its clients, asked over `kube::Client`.
//!
//! By default each test opens an embedded control plane of its own. With
//! `OPENDEPOT_CONFORMANCE_KUBECONFIG` the same questions go to that cluster, except those that
//! only an embedded one can be asked (`embedded_*`): its file, its manifests folder, its limits,
//! and what it refuses although a cluster does not. `cargo xtask test --only cluster` starts one;
//! it needs its controller manager for the collection of dependents.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "helpers of tests are tests"
)]

mod builtin;
mod crud;
mod deletion;
mod discovery;
mod embedded_crash;
mod embedded_http;
mod embedded_limits;
mod embedded_manifests;
mod fields;
mod http;
mod paging;
mod schema;
mod shipped;
mod support;
mod watching;

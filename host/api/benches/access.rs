//! What a remembered decision costs a request. The figure to keep: at most 1 µs over a registry
//! without policies.

#![expect(clippy::unwrap_used, reason = "a benchmark fails loudly")]

use criterion::{Criterion, criterion_group, criterion_main};
use opendepot_api::{Access, AccessOptions};
use opendepot_domain::access::{Base, Labels};
use opendepot_domain::seam::{AccessPolicy, BoxFuture, LabelSource};
use opendepot_domain::{
    Action, ArtifactKind, Authentication, Decision, Namespace, ResourceName, Subject, Target,
};
use opendepot_identity::Verifier;
use std::sync::Arc;
use tokio::runtime::Runtime;

/// Allows everything, once it is asked.
struct Allow;

impl AccessPolicy for Allow {
    fn authorize<'a>(
        &'a self,
        _: &'a Subject,
        _: Action,
        targets: &'a [Target],
        _: u64,
    ) -> BoxFuture<'a, Vec<Decision>> {
        Box::pin(async { vec![Decision::Allow; targets.len()] })
    }

    fn generation(&self) -> u64 {
        1
    }

    fn is_empty(&self) -> bool {
        false
    }
}

/// No policy at all.
struct Nobody;

impl AccessPolicy for Nobody {
    fn authorize<'a>(
        &'a self,
        _: &'a Subject,
        _: Action,
        _: &'a [Target],
        _: u64,
    ) -> BoxFuture<'a, Vec<Decision>> {
        Box::pin(async { Vec::new() })
    }

    fn generation(&self) -> u64 {
        1
    }

    fn is_empty(&self) -> bool {
        true
    }
}

struct NoLabels;

impl LabelSource for NoLabels {
    fn labels(&self, _: &Target) -> Labels {
        Labels::default()
    }
}

fn access(policy: Arc<dyn AccessPolicy>) -> Access {
    Access::new(AccessOptions {
        verifier: Verifier::Anonymous,
        policy,
        labels: Arc::new(NoLabels),
        base: Base::Allow,
        local_only: false,
    })
}

fn remembered(criterion: &mut Criterion) {
    let runtime = Runtime::new().unwrap();
    let subject = Arc::new(Subject {
        authentication: Authentication::TokenFile,
        issuer: "".into(),
        name: "a-team".into(),
        groups: vec!["readers".into(), "platform".into()],
        claims: "{}".into(),
        client_address: "192.0.2.1".into(),
    });
    let target = Target {
        namespace: Namespace::new("team").unwrap(),
        kind: ArtifactKind::Module,
        name: ResourceName::new("network").unwrap(),
        version: None,
        platform: None,
        labels: Labels::default(),
    };
    const ACTIONS: &[Action] = &[Action::ListVersions];
    for (name, access) in [
        ("no policy", access(Arc::new(Nobody))),
        ("a remembered decision", access(Arc::new(Allow))),
    ] {
        // Entered once: what is measured is the check.
        criterion.bench_function(name, |bencher| {
            bencher.iter_custom(|num| {
                runtime.block_on(async {
                    let started = std::time::Instant::now();
                    for _ in 0..num {
                        access.check(&subject, ACTIONS, &target).await.unwrap();
                    }
                    started.elapsed()
                })
            });
        });
    }
}

criterion_group!(benches, remembered);
criterion_main!(benches);

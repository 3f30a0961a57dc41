//! Stored bytes that are not what the record says: never served, reported once seen.

use crate::support::{Mode, NETWORK, Setup, WIDGET, run};
use opendepot_api::Damage;
use opendepot_domain::Kind;
use tokio::sync::mpsc;

#[test]
fn missing_and_changed_bytes_are_refused_and_reported() {
    run(async |pool| {
        let world = Setup::new(Mode::Anonymous).start(&pool).await;
        let (reports, mut reported) = mpsc::channel(8);
        world.state.report_damage_to(reports);
        let module = world.root.join("network/network-1.1.0.zip");
        std::fs::remove_file(&module).unwrap();
        let answer = world.get(NETWORK).await;
        answer.assert_error(500, "missing bytes");
        // Waiting does not mend it.
        assert_eq!(answer.header("retry-after"), "");
        let damage = |object_name: &str, is_missing| Damage {
            namespace: "team".to_owned(),
            object_name: object_name.to_owned(),
            is_missing,
        };
        assert_eq!(reported.try_recv().unwrap(), damage("network-1-1-0", true));

        let package = world.root.join("widget/1.2.0-linux-amd64.zip");
        let mut bytes = std::fs::read(&package).unwrap();
        bytes[10] ^= 1;
        std::fs::write(&package, bytes).unwrap();
        let answer = world.get(WIDGET).await;
        answer.assert_error(500, "changed bytes");
        assert_eq!(
            reported.try_recv().unwrap(),
            damage("widget-1-2-0-linux-amd64", false)
        );
        // The other platform is as good as before.
        let other = "/opendepot/providers/v1/download/team/widget/1.2.0?os=darwin&arch=arm64";
        assert_eq!(world.get(other).await.code(), 200);
        assert!(reported.try_recv().is_err());
    });
}

#[test]
fn a_storage_plugin_that_fails_is_told_to_the_log_and_not_to_the_client() {
    run(async |pool| {
        let world = Setup::new(Mode::Anonymous).start(&pool).await;
        for (kind, code) in [
            (Kind::Unavailable, 503),
            (Kind::Busy, 503),
            (Kind::Internal, 500),
            // What the store does not have or denies is the operator's to look at, not the client's.
            (Kind::NotFound, 500),
            (Kind::Corrupt, 500),
        ] {
            *world.storage.failure.lock().unwrap() = Some(kind);
            let answer = world.get(NETWORK).await;
            answer.assert_error(code, kind.label());
            assert!(
                !String::from_utf8_lossy(&answer.body).contains("bucket"),
                "{}",
                kind.label()
            );
        }
        // A failed plan is not remembered.
        *world.storage.failure.lock().unwrap() = None;
        assert_eq!(world.get(NETWORK).await.code(), 200);
        // A good one is: the plugin may fail from now on.
        *world.storage.failure.lock().unwrap() = Some(Kind::Unavailable);
        assert_eq!(world.get(NETWORK).await.code(), 200);
    });
}

#[test]
fn a_store_that_denies_us_is_no_verdict_on_the_client() {
    run(async |pool| {
        let world = Setup::new(Mode::Anonymous).start(&pool).await;
        for kind in [
            Kind::Denied,
            Kind::Unauthenticated,
            Kind::Invalid,
            Kind::Conflict,
        ] {
            *world.storage.failure.lock().unwrap() = Some(kind);
            let answer = world.get(NETWORK).await;
            assert!(
                answer.status.is_server_error(),
                "{}: {}",
                kind.label(),
                answer.code()
            );
        }
    });
}

//! The real clients against the real binary, with service discovery over TLS.
//!
//! Each client's tests are in a module of its name, which is how a run leaves one out: the
//! modules are the same list of checks.

#![expect(
    clippy::unwrap_used,
    reason = "tests: the way they report is to panic with what they saw"
)]

mod checks;

macro_rules! client {
    ($name:ident, $kind:expr) => {
        mod $name {
            use crate::checks;
            use opendepot_tests::Kind;

            const KIND: Kind = $kind;

            #[tokio::test]
            async fn installs_validates_and_applies() {
                checks::installs_validates_and_applies(KIND).await;
            }

            #[tokio::test]
            async fn module_inputs_are_validated() {
                checks::module_inputs_are_validated(KIND).await;
            }

            #[tokio::test]
            async fn picks_versions_by_constraint_and_upgrades() {
                checks::picks_versions_by_constraint_and_upgrades(KIND).await;
            }

            #[tokio::test]
            async fn locks_two_platforms() {
                checks::locks_two_platforms(KIND).await;
            }

            #[tokio::test]
            async fn refuses_tampered_bytes() {
                checks::refuses_tampered_bytes(KIND).await;
            }

            #[tokio::test]
            async fn reports_what_does_not_exist() {
                checks::reports_what_does_not_exist(KIND).await;
            }

            #[tokio::test]
            async fn installs_a_tar_module_and_a_subfolder() {
                checks::installs_a_tar_module_and_a_subfolder(KIND).await;
            }

            #[tokio::test]
            async fn accepts_an_rsa_signature() {
                checks::accepts_an_rsa_signature(KIND).await;
            }

            #[tokio::test]
            async fn shows_a_deprecation() {
                checks::shows_a_deprecation(KIND).await;
            }
        }
    };
}

client!(tofu, Kind::Tofu);
client!(tofu_old, Kind::TofuOld);
client!(terraform, Kind::Terraform);

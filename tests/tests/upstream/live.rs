//! The real services. `cargo xtask test` leaves these out, by name, where they cannot be reached.

use crate::{github_module, mirrored_provider};
use opendepot_tests::Setup;
use opendepot_tests::server::MODULES;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_public_module_is_fetched_from_github() {
    let setup = Setup::plain();
    let source = "{owner: terraform-aws-modules, repository: terraform-aws-vpc}";
    github_module(&setup, "iam", source, &["5.0.0"]);
    let registry = setup.start().await;
    registry.wait_module("iam", &["5.0.0"]).await;
    assert_eq!(
        registry
            .status(&format!("{MODULES}/team/iam/local/5.0.0/download"))
            .await,
        204
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_public_provider_is_mirrored() {
    let setup = Setup::plain();
    mirrored_provider(&setup, "null", "hashicorp", "", &["3.2.4"]);
    let registry = setup.start().await;
    registry.wait_provider("null", &["3.2.4"]).await;
}

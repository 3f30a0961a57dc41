//! The puller against a real registry: open, with a password, with tokens.

use crate::token::Issuer;
use opendepot_oci::{OciConfig, OciError, OciPuller, Reference};
use opendepot_tests::docker_registry::{
    DockerRegistry, Door, PASSWORD, SIGNATURE, USER, WASM, YAML,
};
use opendepot_tests::upstream::{Canned, Upstream};
use opendepot_transfer::EgressConfig;
use serde_json::json;
use std::cell::RefCell;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use tempfile::TempDir;

const COMPONENT: &[u8] = b"\0asm and what follows";

async fn push(registry: &DockerRegistry) -> Reference {
    let layers: [(&str, &[u8]); 3] = [
        (YAML, b"kind: Plugin\n"),
        (WASM, COMPONENT),
        (SIGNATURE, b"c2lnbmVk\n"),
    ];
    let digest = registry.push("plugins/x", "v1", &layers).await;
    format!("{}/plugins/x@{digest}", registry.host())
        .parse()
        .unwrap()
}

struct Bench {
    dir: TempDir,
    puller: OciPuller,
    docker_config: RefCell<Option<PathBuf>>,
}

impl Bench {
    fn new(registry: &DockerRegistry, realm: Option<&Upstream>) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let realm_host = realm.map(Upstream::host);
        let puller = OciPuller::new(OciConfig {
            egress: EgressConfig {
                allow: [registry.host()].into_iter().chain(realm_host).collect(),
                allow_private: vec!["127.0.0.1/32".to_owned()],
                allow_http: vec![registry.host()],
                ca_file: realm.map(Upstream::ca),
            },
            cache: dir.path().join("cache"),
            read_only_cache: None,
            component_bytes: 1 << 20,
        });
        Self {
            dir,
            puller: puller.unwrap(),
            docker_config: RefCell::default(),
        }
    }

    fn login(&self, host: &str, password: &str) {
        let path = self.dir.path().join("docker.json");
        let login = json!({"auths": {host: {"username": USER, "password": password}}});
        fs::write(&path, login.to_string()).unwrap();
        *self.docker_config.borrow_mut() = Some(path);
    }

    async fn pull(&self, reference: &Reference) -> Result<PathBuf, OciError> {
        let deadline = Instant::now() + Duration::from_secs(60);
        let docker_config = self.docker_config.borrow().clone();
        let pulling = self
            .puller
            .pull(reference, docker_config.as_deref(), deadline);
        pulling.await
    }
}

fn assert_whole(folder: &Path) {
    assert_eq!(
        fs::read(folder.join("plugin.yaml")).unwrap(),
        b"kind: Plugin\n"
    );
    assert_eq!(fs::read(folder.join("plugin.wasm")).unwrap(), COMPONENT);
    assert_eq!(
        fs::read(folder.join("plugin.wasm.sig")).unwrap(),
        b"c2lnbmVk\n"
    );
}

#[tokio::test]
async fn from_an_open_registry_and_then_without_it() {
    let mut registry = DockerRegistry::start(&Door::Open).await;
    let reference = push(&registry).await;
    let bench = Bench::new(&registry, None);
    assert_whole(&bench.pull(&reference).await.unwrap());
    let unknown = reference.to_string().replace("/x@", "/y@").parse().unwrap();
    registry.stop();
    assert_whole(&bench.pull(&reference).await.unwrap());
    // The cache goes by digest: whoever has the bytes has the plugin, whatever the name.
    assert_whole(&bench.pull(&unknown).await.unwrap());
    let nothing = format!("{}/plugins/x@sha256:{}", registry.host(), "0".repeat(64));
    let error = bench.pull(&nothing.parse().unwrap()).await.unwrap_err();
    assert!(matches!(error, OciError::Fetch(_)), "{error}");
}

#[tokio::test]
async fn what_is_not_there_and_what_is_no_plugin() {
    let registry = DockerRegistry::start(&Door::Open).await;
    let bench = Bench::new(&registry, None);
    let nothing = format!("{}/plugins/x@sha256:{}", registry.host(), "0".repeat(64));
    let error = bench.pull(&nothing.parse().unwrap()).await.unwrap_err();
    assert!(matches!(error, OciError::NotFound { .. }), "{error}");
    let packed = "application/vnd.oci.image.layer.v1.tar+gzip";
    let digest = registry.push("plugins/x", "v1", &[(packed, b"x")]).await;
    let reference = format!("{}/plugins/x@{digest}", registry.host());
    let error = bench.pull(&reference.parse().unwrap()).await.unwrap_err();
    assert!(error.to_string().contains(packed), "{error}");
    let tagged = format!("{}/plugins/x:v1", registry.host()).parse::<Reference>();
    assert!(tagged.unwrap_err().to_string().contains("@sha256:"));
}

#[tokio::test]
async fn with_a_name_and_password() {
    let registry = DockerRegistry::start(&Door::Password).await;
    let reference = push(&registry).await;
    let bench = Bench::new(&registry, None);
    let error = bench.pull(&reference).await.unwrap_err();
    assert!(
        matches!(error, OciError::CredentialsMissing { .. }),
        "{error}"
    );
    bench.login(&registry.host(), "wrong horse");
    let error = bench.pull(&reference).await.unwrap_err();
    assert!(
        matches!(error, OciError::CredentialsRefused { .. }),
        "{error}"
    );
    assert!(!format!("{error} {error:?}").contains("wrong horse"));
    bench.login(&registry.host(), PASSWORD);
    assert_whole(&bench.pull(&reference).await.unwrap());
}

#[tokio::test]
async fn with_tokens_of_a_server_elsewhere() {
    let mut registry = DockerRegistry::start(&Door::Open).await;
    let reference = push(&registry).await;
    let (issuer, realm) = (Issuer::new(), Upstream::start().await);
    realm.set("/token", Canned::json(&issuer.answer("plugins/x")));
    let door = Door::Token {
        realm: format!("{}/token", realm.url()),
        certificate: issuer.pem.clone(),
    };
    registry.restart(&door).await;

    // The registry's own login is not for the token server.
    let bench = Bench::new(&registry, Some(&realm));
    bench.login(&registry.host(), PASSWORD);
    let error = bench.pull(&reference).await.unwrap_err();
    assert!(matches!(error, OciError::Realm { .. }), "{error}");
    assert!(realm.seen().is_empty());

    // With one of its own it is asked, for this repository and no more.
    bench.login(&realm.host(), PASSWORD);
    assert_whole(&bench.pull(&reference).await.unwrap());
    let seen = realm.seen();
    let [asked] = seen.as_slice() else {
        panic!("{seen:?}")
    };
    assert_eq!(
        asked.target,
        "/token?service=plugins&scope=repository%3Aplugins%2Fx%3Apull"
    );
    let login = asked.headers["authorization"].to_str().unwrap();
    assert!(login.starts_with("Basic "), "{login}");

    // Anonymously as well, and a token for something else does not do.
    assert_whole(
        &Bench::new(&registry, Some(&realm))
            .pull(&reference)
            .await
            .unwrap(),
    );
    realm.set("/token", Canned::json(&issuer.answer("plugins/y")));
    let error = Bench::new(&registry, Some(&realm)).pull(&reference).await;
    assert!(
        matches!(error, Err(OciError::CredentialsMissing { .. })),
        "{error:?}"
    );
}

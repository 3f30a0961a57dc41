//! A registry whose policies come from an OCI registry, and have to be signed.

use base64::Engine as _;
use opendepot_tests::docker_registry::{
    DockerRegistry, Door, PASSWORD, SIGNATURE, USER, WASM, YAML,
};
use opendepot_tests::server::binary;
use opendepot_tests::wait::SOON;
use opendepot_tests::{Module, Registry, Setup, sha256, wait_until};
use ring::signature::{Ed25519KeyPair, KeyPair as _};
use serde_json::json;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

const LIST: &str = "/opendepot/modules/v1/team/hello/local/versions";
const PACKAGE: &str = "/opendepot/modules/v1/team/hello/local/1.0.0/download";
/// Denies the package and not the list, so that both together say that it is in force: a listed
/// policy that is not there denies everything, and without one nothing is denied.
const MANIFEST: &str = "apiVersion: opendepot.defdev.io/v1alpha1
kind: Plugin
metadata: { name: closed, version: 1.0.0 }
spec:
  world: auth
  settings:
    rules:
      - { name: always, deny: inside, dates: [{ from: \"2020-01-01\", to: \"2120-01-01\" }], actions: [read-package] }
";

/// The built-in time window policy, which is a component like anybody's.
fn component() -> Vec<u8> {
    let binary = binary();
    let mut files = binary
        .ancestors()
        .map(|dir| dir.join("plugins/auth-time-window/plugin.wasm"));
    fs::read(files.find(|file| file.exists()).unwrap()).unwrap()
}

/// The configuration that lists `source`, with a policy.
fn config(registry: &DockerRegistry, source: &str, policy: &str) -> String {
    format!(
        "plugins:\n  - name: closed\n    source: {{ {source} }}\n    sha256: {}\n\
         egress:\n  plugins:\n    allowPrivate: [127.0.0.1/32]\n    allowHttp: [\"{}\"]\n\
         pluginPolicy: {{ allowUnlisted: true{policy} }}\n",
        sha256(&component()),
        registry.host()
    )
}

/// Waits until list and package are answered like that.
async fn until_answers(registry: &Registry, list: u16, package: u16, within: Duration) {
    wait_until("the policy's effect", within, || async {
        let now = (registry.status(LIST).await, registry.status(PACKAGE).await);
        (now == (list, package)).then_some(()).ok_or(now)
    })
    .await;
}

async fn until_in_force(registry: &Registry) {
    until_answers(registry, 200, 403, SOON).await;
}

async fn until_not_loaded(registry: &Registry) {
    until_answers(registry, 403, 403, SOON).await;
}

/// Waits until `/readyz?verbose` says so.
async fn until_said(registry: &Registry, what: &str) {
    let url = format!("http://{}/readyz?verbose", registry.setup().admin_address());
    wait_until(what, SOON, || async {
        let answer = reqwest::get(&url).await.map_err(|e| e.to_string())?;
        let text = answer.text().await.map_err(|e| e.to_string())?;
        text.contains(what).then_some(()).ok_or(text)
    })
    .await;
}

fn setup() -> Setup {
    let setup = Setup::plain();
    Module::new("hello").write(&setup.manifests());
    setup
}

/// Pushes the policy; how it is named in a source.
async fn push(oci: &DockerRegistry, signature: Option<&[u8]>) -> String {
    let component = component();
    let mut layers = vec![(YAML, MANIFEST.as_bytes()), (WASM, component.as_slice())];
    layers.extend(signature.map(|signature| (SIGNATURE, signature)));
    let digest = oci.push("plugins/closed", "v1", &layers).await;
    format!("oci: \"{}/plugins/closed@{digest}\"", oci.host())
}

#[tokio::test]
async fn a_policy_of_an_oci_registry_is_in_force_also_when_that_is_gone() {
    let mut oci = DockerRegistry::start(&Door::Open).await;
    let source = push(&oci, None).await;
    let registry = setup().config(&config(&oci, &source, "")).start().await;
    until_in_force(&registry).await;
    oci.stop();
    let (_, setup) = registry.stop().await;
    let unused = setup
        .data_dir()
        .join("plugin-cache/oci")
        .join("0".repeat(64));
    fs::create_dir(&unused).unwrap();
    let registry = setup.start().await;
    until_in_force(&registry).await;
    assert!(!unused.exists(), "nobody names it any more");
    // Without the copy there is no policy, and so no access, until the registry is back.
    let (_, setup) = registry.stop().await;
    fs::remove_dir_all(setup.data_dir().join("plugin-cache/oci")).unwrap();
    let registry = setup.spawn();
    until_said(&registry, "cannot pull").await;
    until_not_loaded(&registry).await;
    oci.restart(&Door::Open).await;
    // It is tried again every 30 seconds.
    until_answers(&registry, 200, 403, 3 * SOON).await;
    assert!(registry.setup().log().contains("pulled the plugin"));
}

/// Whether `check-config` finds nothing wrong, and what it says.
fn check_config(setup: &Setup) -> (bool, String) {
    let output = Command::new(binary())
        .args(["check-config", "--config"])
        .arg(setup.dir().join("config.yaml"))
        .arg("--data-dir")
        .arg(setup.data_dir())
        .output()
        .unwrap();
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said).into_owned();
    (output.status.success(), said)
}

#[tokio::test]
async fn looking_at_the_configuration_pulls_and_leaves_nothing() {
    let mut oci = DockerRegistry::start(&Door::Open).await;
    let source = push(&oci, None).await;
    let setup = setup().config(&config(&oci, &source, ""));
    let (is_good, said) = check_config(&setup);
    assert!(is_good, "{said}");
    assert!(!setup.data_dir().exists(), "{said}");
    oci.stop();
    let (is_good, said) = check_config(&setup);
    assert!(!is_good && said.contains("cannot pull"), "{said}");
    // What was pulled to be served is at hand for a look, too.
    oci.restart(&Door::Open).await;
    let registry = setup.start().await;
    until_in_force(&registry).await;
    oci.stop();
    let (is_good, said) = check_config(registry.setup());
    assert!(is_good, "{said}");
}

#[tokio::test]
async fn credentials_come_from_a_file_that_can_be_changed_while_it_runs() {
    let oci = DockerRegistry::start(&Door::Password).await;
    let source = push(&oci, None).await;
    let setup = setup();
    let file = |name: &str, password: &str| {
        let path = setup.dir().join(name);
        let login = json!({"auths": {oci.host(): {"username": USER, "password": password}}});
        fs::write(&path, login.to_string()).unwrap();
        format!(", dockerConfig: \"{}\"", path.display())
    };
    let (wrong, right) = (
        file("wrong.json", "wrong horse"),
        file("right.json", PASSWORD),
    );
    let registry = setup.config(&config(&oci, &source, "")).spawn();
    until_said(&registry, "pluginPolicy.dockerConfig").await;
    until_not_loaded(&registry).await;
    let path = registry.setup().dir().join("config.yaml");
    fs::write(&path, config(&oci, &source, &wrong)).unwrap();
    until_said(&registry, "wrong.json").await;
    until_not_loaded(&registry).await;
    fs::write(&path, config(&oci, &source, &right)).unwrap();
    until_in_force(&registry).await;
    let log = registry.setup().log();
    for secret in ["wrong horse", PASSWORD] {
        assert!(!log.contains(secret), "{log}");
    }
}

#[tokio::test]
async fn a_tag_is_not_enough() {
    let oci = DockerRegistry::start(&Door::Open).await;
    push(&oci, None).await;
    let source = format!("oci: \"{}/plugins/closed:v1\"", oci.host());
    let registry = setup().config(&config(&oci, &source, "")).spawn();
    until_said(&registry, "a tag can be moved").await;
    until_not_loaded(&registry).await;
}

/// A key, and its public half in PEM.
fn key(path: &Path) -> Ed25519KeyPair {
    let random = ring::rand::SystemRandom::new();
    let document = Ed25519KeyPair::generate_pkcs8(&random).unwrap();
    let key = Ed25519KeyPair::from_pkcs8(document.as_ref()).unwrap();
    // RFC 8410, 4: what precedes the key in a SubjectPublicKeyInfo.
    let prefix = hex::decode("302a300506032b6570032100").unwrap();
    let der = [&prefix, key.public_key().as_ref()].concat();
    let text = base64::engine::general_purpose::STANDARD.encode(der);
    let pem = format!("-----BEGIN PUBLIC KEY-----\n{text}\n-----END PUBLIC KEY-----\n");
    fs::write(path, pem).unwrap();
    key
}

#[tokio::test]
async fn where_keys_are_listed_an_unsigned_policy_of_a_registry_does_not_load() {
    let oci = DockerRegistry::start(&Door::Open).await;
    let setup = setup();
    let public = setup.dir().join("release.pub");
    let (right, wrong) = (key(&public), key(&setup.dir().join("other.pub")));
    let policy = format!(", publicKeys: [\"{}\"]", public.display());
    let component = component();
    let (right, wrong) = (right.sign(&component), wrong.sign(&component));
    let unsigned = push(&oci, None).await;
    let foreign = push(&oci, Some(wrong.as_ref())).await;
    let signed = push(&oci, Some(right.as_ref())).await;
    let registry = setup.config(&config(&oci, &unsigned, &policy)).spawn();
    let path = registry.setup().dir().join("config.yaml");
    until_said(&registry, "demands a signature").await;
    until_not_loaded(&registry).await;
    fs::write(&path, config(&oci, &foreign, &policy)).unwrap();
    until_said(&registry, "is no signature of this component").await;
    until_not_loaded(&registry).await;
    fs::write(&path, config(&oci, &signed, &policy)).unwrap();
    until_in_force(&registry).await;
    // What was good stays in force when what comes after is not.
    fs::write(&path, config(&oci, &foreign, &policy)).unwrap();
    until_said(&registry, "is no signature of this component").await;
    until_in_force(&registry).await;
}

#[tokio::test]
async fn where_keys_are_listed_an_unsigned_folder_does_not_load() {
    let oci = DockerRegistry::start(&Door::Open).await;
    let setup = setup();
    let public = setup.dir().join("release.pub");
    let right = key(&public);
    let policy = format!(", publicKeys: [\"{}\"]", public.display());
    let (folder, component) = (setup.dir().join("closed"), component());
    fs::create_dir(&folder).unwrap();
    fs::write(folder.join("plugin.yaml"), MANIFEST).unwrap();
    fs::write(folder.join("plugin.wasm"), &component).unwrap();
    let source = format!("folder: \"{}\"", folder.display());
    let registry = setup.config(&config(&oci, &source, &policy)).spawn();
    until_said(&registry, "plugin.wasm.sig").await;
    until_not_loaded(&registry).await;
    fs::write(
        folder.join("plugin.wasm.sig"),
        right.sign(&component).as_ref(),
    )
    .unwrap();
    until_in_force(&registry).await;
}

/// As operators sign: keys and signatures by OpenSSL, the second as `cosign` writes it.
#[tokio::test]
async fn what_openssl_signed_is_accepted() {
    let oci = DockerRegistry::start(&Door::Open).await;
    let setup = setup();
    let path = |name: &str| setup.dir().join(name).display().to_string();
    fs::write(path("component"), component()).unwrap();
    let openssl = |line: String| {
        let program = std::env::var_os("OPENDEPOT_OPENSSL").unwrap_or("openssl".into());
        let words = line.split_whitespace();
        let output = Command::new(program).args(words).output().unwrap();
        assert!(output.status.success(), "{line}: {output:?}");
    };
    let sign = |name: &str, make: &str, sign: &str| {
        let (key, public, signature) = (path(name), path(&format!("{name}.pub")), path("sig"));
        openssl(format!("{make} -out {key}"));
        openssl(format!("pkey -in {key} -pubout -out {public}"));
        let sign = sign.replace("COMPONENT", &path("component"));
        let sign = sign.replace("KEY", &key).replace("SIGNATURE", &signature);
        openssl(sign);
        (public, fs::read(signature).unwrap())
    };
    let (first, ed25519) = sign(
        "first",
        "genpkey -algorithm ed25519",
        "pkeyutl -sign -rawin -inkey KEY -in COMPONENT -out SIGNATURE",
    );
    let (second, p256) = sign(
        "second",
        "genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256",
        "dgst -sha256 -sign KEY -out SIGNATURE COMPONENT",
    );
    let p256 = base64::engine::general_purpose::STANDARD.encode(p256);
    let source = push(&oci, Some(&ed25519)).await;
    let policy = |key: &str| format!(", publicKeys: [\"{key}\"]");
    let registry = setup
        .config(&config(&oci, &source, &policy(&first)))
        .start()
        .await;
    until_in_force(&registry).await;
    let file = registry.setup().dir().join("config.yaml");
    fs::write(&file, config(&oci, &source, &policy(&second))).unwrap();
    until_said(&registry, "is no signature of this component").await;
    let source = push(&oci, Some(p256.as_bytes())).await;
    fs::write(&file, config(&oci, &source, &policy(&second))).unwrap();
    wait_until("the other signature to count", SOON, || async {
        let log = registry.setup().log();
        let num_loaded = log.matches("loaded auth plugin `closed`").count();
        (num_loaded == 2).then_some(()).ok_or(log)
    })
    .await;
    until_in_force(&registry).await;
}

//! Policies that decide by labels follow the labels, at once.

use crate::tokens::list;
use opendepot_tests::server::binary;
use opendepot_tests::wait::SOON;
use opendepot_tests::{Module, Registry, Setup, wait_until};
use std::fs;
use std::process::Command;

const POLICY: &str = r"
plugins:
  - name: auth-labels
    source: { builtin: auth-labels }
    settings:
      rules:
        - { name: restricted, effect: deny, actions: ['*'], namespace: { matchLabels: { data: restricted } } }
        - { name: draft, effect: deny, actions: ['*'], resource: { matchExpressions: [{ key: stage, operator: In, values: [draft] }] } }
";

fn namespace(label: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Namespace\nmetadata: {{ name: team, labels: {{ data: {label} }} }}\n"
    )
}

async fn until_status(registry: &Registry, module: &str, status: u16) {
    wait_until("the label's effect", SOON, || async {
        let answer = registry.get(&list(module)).send().await.unwrap();
        match answer.status().as_u16() {
            now if now == status => Ok(()),
            now => Err(format!("{now}: {}", answer.text().await.unwrap())),
        }
    })
    .await;
}

#[tokio::test]
async fn labels_of_namespaces_and_resources_decide() {
    let setup = Setup::plain();
    Module::new("hello").write(&setup.manifests());
    Module::new("other").write(&setup.manifests());
    let file = setup.manifests().join("namespace.yaml");
    fs::write(&file, namespace("open")).unwrap();
    let module = setup.manifests().join("hello.yaml");
    let plain = fs::read_to_string(&module).unwrap();
    let registry = setup.config(POLICY).start().await;
    until_status(&registry, "hello", 200).await;
    until_status(&registry, "other", 200).await;
    // What does not exist has no labels that anybody knows: a deny rule about them matches.
    until_status(&registry, "nothing", 403).await;

    let draft = plain.replacen(
        "  name: hello",
        "  labels: { stage: draft }\n  name: hello",
        1,
    );
    assert_ne!(draft, plain);
    fs::write(&module, draft).unwrap();
    until_status(&registry, "hello", 403).await;
    until_status(&registry, "other", 200).await;
    let output = Command::new(binary())
        .args(["policy", "explain", "--action", "list-versions"])
        .args(["--target", "module/team/hello", "--data-dir"])
        .arg(registry.setup().data_dir())
        .arg("--config")
        .arg(registry.setup().dir().join("config.yaml"))
        .output()
        .unwrap();
    let said = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("draft"), "{said}");
    fs::write(&module, plain).unwrap();
    until_status(&registry, "hello", 200).await;

    fs::write(&file, namespace("restricted")).unwrap();
    until_status(&registry, "hello", 403).await;
    until_status(&registry, "other", 403).await;
    fs::write(&file, namespace("open")).unwrap();
    until_status(&registry, "other", 200).await;
}

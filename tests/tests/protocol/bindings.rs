//! GroupBindings open what they list, from the moment they are there to the moment they are gone.

use crate::tokens::{list, send, token};
use opendepot_tests::server::binary;
use opendepot_tests::wait::SOON;
use opendepot_tests::{Module, Registry, Setup, wait_until};
use std::fs;
use std::process::{Command, Stdio};

const POLICY: &str = r#"
auth:
  tokensFile: TOKENS
plugins:
  - name: auth-group-binding
    source: { builtin: auth-group-binding }
"#;

fn binding(expression: &str) -> String {
    format!(
        "apiVersion: opendepot.defdev.io/v1alpha1\nkind: GroupBinding\nmetadata:\n  name: platform\n  \
         namespace: opendepot-system\nspec:\n  expression: '{expression}'\n  moduleResources: [\"hel*\"]\n"
    )
}

async fn until_status(registry: &Registry, token: &str, status: u16) {
    wait_until("the binding's effect", SOON, || async {
        let answer = send(registry, &list("hello"), token).await;
        match answer.status().as_u16() {
            now if now == status => Ok(()),
            now => Err(format!("{now}: {}", answer.text().await.unwrap())),
        }
    })
    .await;
}

/// `policy explain` for a version list: its exit code, and all that it prints.
fn explain(registry: &Registry, arguments: &[&str]) -> (Option<i32>, String) {
    let setup = registry.setup();
    let output = Command::new(binary())
        .args(["policy", "explain", "--action", "list-versions"])
        .args(arguments)
        .arg("--data-dir")
        .arg(setup.data_dir())
        .arg("--config")
        .arg(setup.dir().join("config.yaml"))
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let said = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8(said).unwrap())
}

#[tokio::test]
async fn a_group_binding_grants_until_it_is_gone() {
    let setup = Setup::plain();
    Module::new("hello").write(&setup.manifests());
    Module::new("secret").write(&setup.manifests());
    let insider = token(&setup, &["create", "--name", "in", "--group", "platform"]);
    let outsider = token(&setup, &["create", "--name", "out", "--group", "other"]);
    let tokens = setup.data_dir().join("tokens.yaml");
    let file = setup.manifests().join("binding.yaml");
    fs::write(&file, binding("\"platform\" in groups")).unwrap();
    let registry = setup
        .config(&POLICY.replace("TOKENS", tokens.to_str().unwrap()))
        .args(&["--manifests-prune"])
        .start()
        .await;
    until_status(&registry, &insider, 200).await;
    for (who, module, status) in [
        (&insider, "secret", 403),
        (&outsider, "hello", 403),
        (&outsider, "secret", 403),
    ] {
        let answer = send(&registry, &list(module), who).await;
        assert_eq!(answer.status(), status, "{module}");
    }
    // What decides can be asked beside the running process.
    let ask = |name, target| explain(&registry, &["--subject", name, "--target", target]);
    let (code, said) = ask("in", "module/team/hello");
    assert_eq!(code, Some(0), "{said}");
    assert!(
        said.contains("bindings  1 of") && said.contains("groups platform"),
        "{said}"
    );
    assert!(
        said.contains("auth-group-binding  ") && said.contains("  allow\n"),
        "{said}"
    );
    let (code, said) = ask("out", "module/team/hello");
    assert_eq!(code, Some(1), "{said}");
    assert!(
        said.contains("  abstain\n") && said.contains("denied: no policy allows it"),
        "{said}"
    );
    let (code, said) = ask("stranger", "module/team/hello");
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("no token `stranger`"), "{said}");
    let (code, said) = ask("in", "hello");
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("KIND/NAMESPACE/NAME"), "{said}");

    // A mistake grants nothing, and mending it grants again.
    fs::write(&file, binding("group == 1")).unwrap();
    until_status(&registry, &insider, 403).await;
    fs::write(&file, binding("\"other\" in groups")).unwrap();
    until_status(&registry, &outsider, 200).await;
    assert_eq!(
        send(&registry, &list("hello"), &insider).await.status(),
        403
    );
    // Revoked by removal.
    fs::remove_file(&file).unwrap();
    until_status(&registry, &outsider, 403).await;
}

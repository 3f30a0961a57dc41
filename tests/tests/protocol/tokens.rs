//! Token-file mode: who may read what (contract.md 2 and 4), revocation, secrets in no output.

use crate::{as_go_getter, expect_error, module_download, package, text};
use opendepot_tests::server::{MODULES, PROVIDERS, binary};
use opendepot_tests::wait::SOON;
use opendepot_tests::{Module, Registry, Release, Setup, wait_until};
use std::process::{Command, Stdio};

const POLICY: &str = r#"
auth:
  tokensFile: TOKENS
plugins:
  - name: auth-groups
    source: { builtin: auth-groups }
    settings:
      rules:
        - groups: ["readers"]
          actions: [list-versions, read-package, download]
          namespaces: ["*"]
          modules: ["hello"]
          providers: ["note"]
        - groups: ["listers"]
          actions: [list-versions]
          namespaces: ["team"]
          modules: ["*"]
          providers: ["*"]
"#;

/// Runs `opendepot token …` on the setup's token file and returns what it printed.
pub(crate) fn token(setup: &Setup, arguments: &[&str]) -> String {
    let output = Command::new(binary())
        .arg("token")
        .args(arguments)
        .arg("--data-dir")
        .arg(setup.data_dir())
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// A server with two modules and a provider, and tokens of a reader, a lister and nobody.
pub(crate) async fn with_tokens() -> (Registry, [String; 3]) {
    let setup = Setup::plain();
    Module::new("hello").write(&setup.manifests());
    Module::new("secret").write(&setup.manifests());
    Release::new("note").write(&setup.manifests());
    let reader = token(
        &setup,
        &["create", "--name", "reader", "--group", "readers"],
    );
    let lister = token(
        &setup,
        &["create", "--name", "lister", "--group", "listers"],
    );
    let nobody = token(&setup, &["create", "--name", "nobody"]);
    let tokens = setup.data_dir().join("tokens.yaml");
    let setup = setup.config(&POLICY.replace("TOKENS", tokens.to_str().unwrap()));
    let registry = setup.start().await;
    for path in [
        list("hello"),
        list("secret"),
        format!("{PROVIDERS}/team/note/versions"),
    ] {
        wait_until("everything to be published", SOON, || async {
            let answer = send(&registry, &path, &lister).await;
            let body = answer.text().await.unwrap();
            if body.contains("1.0.0") {
                Ok(())
            } else {
                Err(body)
            }
        })
        .await;
    }
    (registry, [reader, lister, nobody])
}

pub(crate) fn list(module: &str) -> String {
    format!("{MODULES}/team/{module}/local/versions")
}

pub(crate) async fn send(registry: &Registry, path: &str, token: &str) -> reqwest::Response {
    registry.get(path).bearer_auth(token).send().await.unwrap()
}

#[tokio::test]
async fn a_credential_is_asked_for_and_a_wrong_one_is_refused() {
    let (registry, _) = with_tokens().await;
    for path in [
        list("hello"),
        list("missing"),
        module_download("hello", "1.0.0"),
        package("note", "1.0.0", "linux/amd64"),
        format!("{PROVIDERS}/download/team/note/1.0.0?os=linux&arch=amd64"),
    ] {
        let answer = registry.get(&path).send().await.unwrap();
        assert!(answer.headers().contains_key("www-authenticate"), "{path}");
        expect_error(answer, 401).await;
        for wrong in ["", "x", "a.b.c", &"y".repeat(12_000)] {
            expect_error(send(&registry, &path, wrong).await, 401).await;
        }
        let basic = registry
            .get(&path)
            .basic_auth("user", Some("password"))
            .send()
            .await
            .unwrap();
        expect_error(basic, 401).await;
    }
    assert_eq!(registry.status("/.well-known/terraform.json").await, 200);
}

#[tokio::test]
async fn each_action_needs_its_grant_and_existence_is_not_told() {
    let (registry, [reader, lister, nobody]) = with_tokens().await;
    for (path, who, status) in [
        (list("hello"), &reader, 200),
        (list("hello"), &lister, 200),
        (list("hello"), &nobody, 403),
        (list("secret"), &reader, 403),
        (list("missing"), &reader, 403),
        (list("missing"), &lister, 404),
        (module_download("hello", "1.0.0"), &reader, 204),
        (module_download("hello", "1.0.0"), &lister, 403),
        (module_download("hello", "9.9.9"), &lister, 403),
        (module_download("hello", "9.9.9"), &reader, 404),
        (package("note", "1.0.0", "linux/amd64"), &reader, 200),
        (package("note", "1.0.0", "linux/amd64"), &lister, 403),
        (package("note", "9.9.9", "linux/amd64"), &lister, 403),
        (
            format!("{MODULES}/elsewhere/hello/local/versions"),
            &lister,
            403,
        ),
        (
            format!("{PROVIDERS}/download/team/note/1.0.0?os=linux&arch=amd64"),
            &reader,
            200,
        ),
        (
            format!("{PROVIDERS}/download/team/note/1.0.0?os=linux&arch=amd64"),
            &lister,
            403,
        ),
    ] {
        assert_eq!(send(&registry, &path, who).await.status(), status, "{path}");
    }
}

#[tokio::test]
async fn capabilities_need_no_credential_and_the_direct_form_needs_one() {
    let (registry, [reader, lister, _]) = with_tokens().await;
    let answer = registry
        .get(&module_download("hello", "1.0.0"))
        .bearer_auth(&reader)
        .header("user-agent", "OpenTofu/1.12.6")
        .send()
        .await
        .unwrap();
    let location = answer.headers()["x-terraform-get"]
        .to_str()
        .unwrap()
        .to_owned();
    let json: serde_json::Value = answer.json().await.unwrap();
    let direct = json["location"].as_str().unwrap();
    assert_eq!(registry.status(&as_go_getter(&location)).await, 200);
    assert_eq!(send(&registry, direct, &reader).await.status(), 200);
    assert_eq!(registry.status(direct).await, 401);
    assert_eq!(send(&registry, direct, &lister).await.status(), 403);

    let answer = send(&registry, &package("note", "1.0.0", "linux/amd64"), &reader).await;
    let document: serde_json::Value = answer.json().await.unwrap();
    for member in ["/download_url", "/shasums_url", "/shasums_signature_url"] {
        let url = text(&document, member);
        assert_eq!(registry.status(url).await, 200, "{url}");
        let bare = url
            .split("expires=")
            .next()
            .unwrap()
            .trim_end_matches(['?', '&']);
        assert_eq!(registry.status(bare).await, 401, "{bare}");
    }
}

#[tokio::test]
async fn a_revoked_token_is_refused_soon() {
    // R-17: within two seconds, though the decision was cached.
    let (registry, [reader, lister, _]) = with_tokens().await;
    assert_eq!(send(&registry, &list("hello"), &reader).await.status(), 200);
    token(registry.setup(), &["revoke", "--name", "reader"]);
    let within = std::time::Duration::from_secs(4);
    wait_until("the token to be refused", within, || async {
        match send(&registry, &list("hello"), &reader)
            .await
            .status()
            .as_u16()
        {
            401 => Ok(()),
            other => Err(other),
        }
    })
    .await;
    assert_eq!(send(&registry, &list("hello"), &lister).await.status(), 200);
}

#[tokio::test]
async fn answers_to_one_caller_are_not_for_others() {
    // H19
    let (registry, [reader, ..]) = with_tokens().await;
    let answer = send(&registry, &list("hello"), &reader).await;
    let control = answer.headers()["cache-control"]
        .to_str()
        .unwrap()
        .to_owned();
    assert!(
        control.contains("private") && control.contains("no-store"),
        "{control}"
    );
    assert!(
        answer.headers()["vary"]
            .to_str()
            .unwrap()
            .to_lowercase()
            .contains("authorization")
    );
}

#[tokio::test]
async fn tokens_and_signatures_are_in_no_output() {
    // A38
    let (registry, tokens) = with_tokens().await;
    let answer = send(&registry, &module_download("hello", "1.0.0"), &tokens[0]).await;
    let location = answer.headers()["x-terraform-get"]
        .to_str()
        .unwrap()
        .to_owned();
    registry.status(&as_go_getter(&location)).await;
    send(&registry, &list("hello"), "canary-wrong-token").await;
    let signature = crate::parameter(&location, "signature").unwrap().to_owned();
    let file = std::fs::read_to_string(registry.setup().data_dir().join("tokens.yaml")).unwrap();
    let (status, setup) = registry.stop().await;
    assert!(status.success());
    let log = setup.log();
    for secret in tokens
        .iter()
        .chain([&signature, &"canary-wrong-token".to_owned()])
    {
        assert!(!log.contains(secret.as_str()), "the log has `{secret}`");
    }
    assert!(
        tokens.iter().all(|token| !file.contains(token.as_str())),
        "the file has a token"
    );
}

#[tokio::test]
async fn every_refusal_is_audited_under_the_id_that_the_client_got() {
    let (registry, [_, lister, nobody]) = with_tokens().await;
    let mut refused = Vec::new();
    for (path, who) in [
        (list("hello"), &*nobody),
        // Decided from memory, and audited all the same.
        (list("hello"), &*nobody),
        (module_download("hello", "1.0.0"), &*lister),
        (list("hello"), "a.b.c"),
    ] {
        let answer = send(&registry, &path, who).await;
        let id = answer.headers()["x-request-id"]
            .to_str()
            .unwrap()
            .to_owned();
        refused.push((path, id));
    }
    let (status, setup) = registry.stop().await;
    assert!(status.success());
    let log = setup.log();
    for (path, id) in refused {
        let mut lines = log.lines().filter(|line| line.contains(&id));
        assert!(
            lines.any(|line| line.contains("opendepot::audit")),
            "{path} {id}"
        );
    }
}

#[tokio::test]
async fn without_a_policy_tokens_let_nobody_read_so_serve_refuses() {
    let setup = Setup::plain();
    token(
        &setup,
        &["create", "--name", "reader", "--group", "readers"],
    );
    let tokens = setup.data_dir().join("tokens.yaml");
    let setup = setup.config(&format!("auth:\n  tokensFile: {}\n", tokens.display()));
    let status = setup.command().status().unwrap();
    assert_eq!(status.code(), Some(2));
    assert!(setup.log().contains("auth-groups"), "{}", setup.log());
}

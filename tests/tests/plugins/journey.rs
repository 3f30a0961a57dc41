//! What `plugins/README.md` says, done as it says: its two plugins, with the text of its blocks and
//! nothing else, each dropped beside a running registry that a real client installs from.

use crate::author::{Author, drop_until_refused, take_away};
use opendepot_tests::fixture::NAMESPACE;
use opendepot_tests::server::MODULES;
use opendepot_tests::wait::SOON;
use opendepot_tests::{Client, Kind, Module, Registry, Setup, wait_until};
use std::fs;

const README: &str = include_str!("../../../plugins/README.md");

/// What the registry serves.
const SERVED: [&str; 2] = ["vpc", "experimental-vpc"];

/// The first block in `language` that has `part` in it.
#[track_caller]
fn block(language: &str, part: &str) -> &'static str {
    let opening = format!("\n```{language}\n");
    let blocks = README.split(&opening).skip(1);
    let mut texts = blocks.filter_map(|rest| rest.split("\n```").next());
    let found = texts.find(|text| text.contains(part));
    found.unwrap_or_else(|| panic!("no `{language}` block with `{part}` in plugins/README.md"))
}

/// Where a module's versions are listed.
fn path(module: &str) -> String {
    format!("{MODULES}/{NAMESPACE}/{module}/local/versions")
}

fn write(author: &Author, path: &str, text: &str) {
    fs::write(author.folder(path), text).unwrap();
}

/// Builds it and says whether a registry would load it, and what its world demands of it.
#[track_caller]
fn built(author: &Author, name: &str) {
    author.plugin(&["build", name]);
    author.judge(name, "auth");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rust_policy_of_the_readme_is_obeyed() {
    let mut author = Author::new("journey-rust");
    author.set("CARGO_TARGET_DIR", crate::rust::target());
    author.plugin(&["new", "office-only", "--world", "auth"]);
    write(
        &author,
        "office-only/src/lib.rs",
        block("rust", "register_auth!"),
    );
    write(
        &author,
        "office-only/plugin.yaml",
        block("yaml", "name: office-only"),
    );
    let tested = author.run("office-only", &["cargo", "test"]);
    assert!(
        tested.contains("test only_the_office_may ... ok"),
        "{tested}"
    );
    built(&author, "office-only");
    let home = Home::start().await;
    home.shows([true, true]).await;
    drop_until_refused(
        &home.registry,
        &author,
        "office-only",
        &path("experimental-vpc"),
    )
    .await;
    home.shows([false, false]).await;
    take_away(&home.registry, "office-only");
    home.shows([true, true]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_javascript_policy_of_the_readme_is_obeyed() {
    let author = Author::new("journey-javascript");
    let name = "no-experiments";
    author.plugin(&["new", name, "--world", "auth", "--lang", "js"]);
    write(
        &author,
        "no-experiments/policy.mjs",
        block("js", "export function denial"),
    );
    write(
        &author,
        "no-experiments/policy.test.mjs",
        block("js", "node:test"),
    );
    let manifest = author.folder("no-experiments/plugin.yaml");
    let template = fs::read_to_string(&manifest).unwrap();
    let (kept, _) = template.split_once("  settings:\n").unwrap();
    fs::write(
        &manifest,
        format!("{kept}  settings: {{ prefix: experimental- }}\n"),
    )
    .unwrap();
    let tested = author.run(name, &["npm", "test"]);
    assert!(
        tested.contains("pass 3") && tested.contains("fail 0"),
        "{tested}"
    );
    author.run(name, &["npm", "ci", "--no-audit", "--no-fund"]);
    built(&author, name);
    let home = Home::start().await;
    home.shows([true, true]).await;
    drop_until_refused(&home.registry, &author, name, &path("experimental-vpc")).await;
    home.shows([true, false]).await;
    let explained = author.explain(&home.registry, "experimental-vpc");
    let denied = "denied: policy `no-experiments`: an experiment";
    assert!(explained.contains(denied), "{explained}");
    take_away(&home.registry, name);
    home.shows([true, true]).await;
}

/// A registry with two modules, for real clients.
struct Home {
    registry: Registry,
}

impl Home {
    async fn start() -> Self {
        let setup = Setup::tls();
        for name in SERVED {
            Module::new(name).write(&setup.manifests());
        }
        let registry = setup.start().await;
        for name in SERVED {
            registry.wait_module(name, &["1.0.0"]).await;
        }
        Self { registry }
    }

    /// Waits until each of [`SERVED`] is served or refused as expected; then a client, asked to
    /// install it, says the same.
    async fn shows(&self, expected: [bool; 2]) {
        for (name, is_served) in SERVED.into_iter().zip(expected) {
            let list = path(name);
            let status = if is_served { 200 } else { 403 };
            let what = format!("{list} to answer {status}");
            wait_until(&what, SOON, || async {
                let found = self.registry.status(&list).await;
                (found == status).then_some(()).ok_or(found)
            })
            .await;
            let main = format!(
                "module \"it\" {{\n  source  = \"HOST/{NAMESPACE}/{name}/local\"\n  \
                 version = \"1.0.0\"\n  name    = \"Ada\"\n}}\n"
            );
            let client = Client::new(Kind::Tofu, &self.registry, &main);
            let outcome = client.run(&["init"]);
            if is_served {
                outcome.expect_success();
            } else {
                outcome.expect_failure("403");
            }
        }
    }
}

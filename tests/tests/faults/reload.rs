//! Policies that come, change and go while the registry runs, and what bad ones do to it.

use opendepot_tests::wait::SOON;
use opendepot_tests::{Module, Registry, Setup, sha256, wait_until};
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::plugins::built;

const LIST: &str = "/opendepot/modules/v1/team/hello/local/versions";

/// A folder with the time window policy that denies at every hour, or at none.
fn window(folder: &Path, deny: &str) -> String {
    let built = built("auth-time-window");
    fs::create_dir_all(folder).unwrap();
    let component = fs::read(built.join("plugin.wasm")).unwrap();
    fs::write(folder.join("plugin.wasm"), &component).unwrap();
    let manifest = format!(
        "apiVersion: opendepot.defdev.io/v1alpha1\nkind: Plugin\nmetadata: {{ name: closed, version: 1.0.0 }}\nspec:\n  \
         world: auth\n  settings:\n    rules:\n      - {{ name: always, deny: {deny}, dates: [{{ from: \"2020-01-01\", to: \"2120-01-01\" }}], \
         actions: [list-versions] }}\n"
    );
    fs::write(folder.join("plugin.yaml"), manifest).unwrap();
    sha256(&component)
}

async fn until_answers(registry: &Registry, path: &str, status: u16) {
    wait_until("the policy's effect", SOON, || async {
        let answer = registry.get(path).send().await.unwrap();
        match answer.status().as_u16() {
            now if now == status => Ok(()),
            now => Err(format!("{now}: {}", answer.text().await.unwrap())),
        }
    })
    .await;
}

async fn admin(registry: &Registry, path: &str) -> String {
    let url = format!("http://{}{path}", registry.setup().admin_address());
    reqwest::get(url).await.unwrap().text().await.unwrap()
}

async fn until_admin(registry: &Registry, path: &str, what: &str) {
    wait_until(what, SOON, || async {
        let text = admin(registry, path).await;
        text.contains(what).then_some(()).ok_or(text)
    })
    .await;
}

#[tokio::test]
async fn a_folder_dropped_beside_a_running_registry_is_obeyed() {
    let setup = Setup::plain();
    Module::new("hello").write(&setup.manifests());
    let registry = setup.start().await;
    until_answers(&registry, LIST, 200).await;
    let folder = registry.setup().data_dir().join("plugins/closed");
    let digest = window(&folder, "inside");
    let dropped = Instant::now();
    until_answers(&registry, LIST, 403).await;
    assert!(dropped.elapsed() < Duration::from_secs(10));
    // Who denied is in the audit log, with the digest.
    wait_until("the audit log", SOON, || async {
        let log = registry.setup().log();
        let mut denials = log
            .lines()
            .filter(|line| line.contains("denied list-versions"));
        let is_named = denials.any(|line| line.contains(&digest) && line.contains("always"));
        is_named.then_some(()).ok_or(log)
    })
    .await;
    assert!(admin(&registry, "/version").await.contains(&digest));

    // A broken change: the old one serves on, and both facts are shown.
    fs::write(folder.join("plugin.wasm"), "broken").unwrap();
    until_admin(&registry, "/readyz?verbose", "what served before serves on").await;
    until_answers(&registry, LIST, 403).await;
    let version = admin(&registry, "/version").await;
    assert!(
        version.contains(&digest) && version.contains("not a wasm component"),
        "{version}"
    );
    let metrics = admin(&registry, "/metrics").await;
    assert!(
        metrics.contains(r#"opendepot_plugin_reloads_total{result="refused"} 1"#),
        "{metrics}"
    );

    // Another version of it, then none.
    window(&folder, "outside");
    until_answers(&registry, LIST, 200).await;
    window(&folder, "inside");
    until_answers(&registry, LIST, 403).await;
    fs::remove_dir_all(&folder).unwrap();
    until_answers(&registry, LIST, 200).await;
}

#[tokio::test]
async fn what_the_operator_lists_can_be_changed_while_it_runs() {
    let setup = Setup::plain();
    Module::new("hello").write(&setup.manifests());
    let folder = setup.dir().join("listed");
    let digest = window(&folder, "outside");
    let source = folder.display().to_string();
    let listed = |digest: &str| {
        format!(
            "plugins:\n  - name: closed\n    source: {{ folder: {source} }}\n    sha256: {digest}\n"
        )
    };
    let registry = setup.config(&listed(&digest)).start().await;
    let config = registry.setup().dir().join("config.yaml");
    until_answers(&registry, LIST, 200).await;
    let rules = "    settings: { rules: [{ name: always, deny: inside, dates: [{ from: \"2020-01-01\", to: \"2120-01-01\" }], \
                 actions: [list-versions] }] }\n";
    fs::write(&config, format!("{}{rules}", listed(&digest))).unwrap();
    until_answers(&registry, LIST, 403).await;
    // A mistake in the file, a wrong pin, settings that are none: nothing of it is in force.
    fs::write(&config, "plugins: [\n").unwrap();
    until_admin(&registry, "/readyz?verbose", "config.yaml").await;
    let wrong = "0".repeat(64);
    fs::write(&config, listed(&wrong)).unwrap();
    until_admin(&registry, "/readyz?verbose", "the entry pins").await;
    let broken = "    settings: { rules: [{ name: x, deny: sometimes }] }\n";
    fs::write(&config, format!("{}{broken}", listed(&digest))).unwrap();
    until_admin(&registry, "/readyz?verbose", "deny").await;
    until_answers(&registry, LIST, 403).await;
    // A digest that is denied is unloaded, and a listed policy that is not there denies.
    let denied = format!(
        "{}pluginPolicy: {{ deniedDigests: [{digest}] }}\n",
        listed(&digest)
    );
    fs::write(&config, denied).unwrap();
    until_admin(&registry, "/readyz?verbose", "deniedDigests").await;
    until_answers(&registry, LIST, 403).await;
    fs::write(&config, "plugins: []\n").unwrap();
    until_answers(&registry, LIST, 200).await;
}

#[tokio::test]
async fn compiled_code_is_kept_and_a_foreign_file_is_not_run() {
    let setup = Setup::plain();
    Module::new("hello").write(&setup.manifests());
    let mut registry = setup.start().await;
    until_answers(&registry, LIST, 200).await;
    let cache = registry.setup().data_dir().join("plugin-cache/compiled");
    let compiled = || {
        let files = fs::read_dir(&cache)
            .unwrap()
            .map(|entry| entry.unwrap().path());
        let mut files = files.filter(|path| path.extension().is_some_and(|e| e == "compiled"));
        files.next()
    };
    let file = compiled().unwrap();
    let good = fs::read(&file).unwrap();
    // As somebody would who wants his own code run: native code under the right name.
    fs::write(&file, b"\x7fELF, not by this host").unwrap();
    registry = registry.stop().await.1.start().await;
    until_answers(&registry, LIST, 200).await;
    wait_until("the log", SOON, || async {
        let log = registry.setup().log();
        let is_told = log.contains("it is damaged, or not from here");
        is_told.then_some(()).ok_or(log)
    })
    .await;
    let again = fs::read(compiled().unwrap()).unwrap();
    assert_eq!(again.len(), good.len(), "compiled anew");
}

/// A component whose compilation takes more than it may.
fn bomb() -> Vec<u8> {
    fn leb(mut value: usize, out: &mut Vec<u8>) {
        loop {
            let byte = (value & 0x7f) as u8;
            value >>= 7;
            out.push(if value == 0 { byte } else { byte | 0x80 });
            if value == 0 {
                return;
            }
        }
    }
    fn section(id: u8, content: &[u8], out: &mut Vec<u8>) {
        out.push(id);
        leb(content.len(), out);
        out.extend(content);
    }
    // Thousands of locals that all live through thousands of loops, in as many functions as fit.
    let locals = 4_000;
    let mut body = vec![1];
    leb(locals, &mut body);
    body.push(0x7f);
    for local in 0..locals {
        body.extend([0x03, 0x40]);
        for index in [local, (local * 7 + 1) % locals] {
            body.push(0x20);
            leb(index, &mut body);
        }
        body.extend([0x6a, 0x22]);
        leb((local * 13 + 5) % locals, &mut body);
        body.extend([0x0d, 0x00, 0x0b]);
    }
    body.push(0x0b);
    let num = (30 << 20) / body.len();
    let (mut list, mut code) = (Vec::new(), Vec::new());
    leb(num, &mut list);
    list.resize(list.len() + num, 0);
    leb(num, &mut code);
    for _ in 0..num {
        leb(body.len(), &mut code);
        code.extend(&body);
    }
    let mut module = b"\0asm\x01\0\0\0".to_vec();
    section(1, &[1, 0x60, 0, 0], &mut module);
    section(3, &list, &mut module);
    section(10, &code, &mut module);
    let mut component = b"\0asm\x0d\0\x01\0".to_vec();
    section(1, &module, &mut component);
    component
}

#[test]
fn a_component_that_takes_too_long_to_compile_is_refused_in_time() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("bomb");
    window(&folder, "inside");
    let bomb = bomb();
    assert!(bomb.len() < 32 << 20, "{}", bomb.len());
    fs::write(folder.join("plugin.wasm"), bomb).unwrap();
    let started = Instant::now();
    let output = Command::new(opendepot_tests::server::binary())
        .args(["plugin", "check"])
        .arg(&folder)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let said = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
    assert_eq!(output.status.code(), Some(1), "{said}");
    let reasons = ["longer than 30 s", "the compiler died", "too busy"];
    assert!(reasons.iter().any(|reason| said.contains(reason)), "{said}");
    // Thirty seconds, and what starting and reading takes on a busy machine.
    assert!(
        started.elapsed() < Duration::from_secs(45),
        "{:?}",
        started.elapsed()
    );
}

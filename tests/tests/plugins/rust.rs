//! Rust: three worlds, one target folder, no network.

use crate::author::{Author, WORLDS, answers_as_its_world_does, is_obeyed};
use std::fs;
use std::path::Path;

/// Kept between runs, and shared: the SDK is compiled once for each world.
pub(crate) fn target() -> std::path::PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("author")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_plugin_is_tested_built_and_obeyed() {
    let mut author = Author::new("rust");
    author.set("CARGO_TARGET_DIR", target());
    for world in WORLDS {
        let name = &format!("my-{world}");
        let said = author.plugin(&["new", name, "--world", world]);
        assert!(said.contains("cargo test"), "{said}");
        author.run(name, &["cargo", "fetch", "--quiet"]);
        // The lock file came with it and pins what this host's own plugins are made of.
        let lock = fs::read_to_string(author.folder(name).join("Cargo.lock")).unwrap();
        let ours = include_str!("../../../plugins/Cargo.lock");
        for line in lock.lines().filter(|line| line.starts_with("checksum")) {
            assert!(ours.contains(line), "{line}");
        }
    }
    author.set("CARGO_NET_OFFLINE", "true");
    for world in WORLDS {
        let name = &format!("my-{world}");
        let said = author.run(name, &["cargo", "test", "--locked"]);
        assert!(said.contains("0 failed"), "{said}");
        let said = author.plugin(&["build", name]);
        assert!(said.contains("sha256"), "{said}");
        let size = fs::metadata(author.folder(name).join("dist/plugin.wasm"));
        let size = size.unwrap().len();
        assert!(size < 150_000, "{world}: {size} bytes");
        author.judge(name, world);
        answers_as_its_world_does(&author, name, world);
        let built = [
            "cargo",
            "test",
            "--locked",
            "--features",
            "built",
            "--test",
            "built",
        ];
        let said = author.run(name, &built);
        assert!(said.contains("2 passed"), "{said}");
    }
    is_obeyed(&author, "my-auth").await;
}

#[test]
fn the_folder_says_nothing_about_where_it_was_built() {
    let mut author = Author::new("rust-twice");
    author.set("CARGO_TARGET_DIR", target());
    let mut built = Vec::new();
    for parent in ["one", "another/place"] {
        author.plugin(&["new", "same", "--world", "scan", "--dir", parent]);
        author.plugin(&["build", &format!("{parent}/same")]);
        built.push(fs::read(author.folder(parent).join("same/dist/plugin.wasm")).unwrap());
    }
    assert!(built[0] == built[1], "the same sources gave another digest");
}

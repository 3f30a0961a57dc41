//! What `plugin new` and `plugin build` refuse, and what they say then.

use crate::author::{Author, said};
use std::fs;

#[track_caller]
fn refused(author: &Author, words: &[&str], code: i32, part: &str) {
    let output = author.opendepot(words);
    let said = said(&output);
    assert_eq!(output.status.code(), Some(code), "{words:?}: {said}");
    assert!(said.contains(part), "{words:?}: {said}");
}

#[test]
fn new_writes_over_nothing_and_only_good_names() {
    let author = Author::new("refused-new");
    for (words, code, part) in [
        (
            &["new", "Bad_Name", "--world", "auth"][..],
            1,
            "lower-case letters",
        ),
        (
            &["new", "../up", "--world", "auth"],
            1,
            "lower-case letters",
        ),
        (&["new", "match", "--world", "auth"], 1, "`match-policy`"),
        (&["new", "x", "--world", "network"], 2, "storage"),
        (
            &["new", "x", "--world", "auth", "--lang", "go"],
            2,
            "python",
        ),
        (&["new", "x"], 2, "--world"),
    ] {
        refused(&author, words, code, part);
    }
    author.plugin(&["new", "x", "--world", "auth"]);
    let own = author.folder("x/src/lib.rs");
    fs::write(&own, "// mine").unwrap();
    refused(&author, &["new", "x", "--world", "auth"], 1, "is not empty");
    assert_eq!(fs::read_to_string(own).unwrap(), "// mine");
}

#[test]
fn build_says_what_is_wrong_with_a_folder() {
    let author = Author::new("refused-build");
    refused(&author, &["build", "nowhere"], 1, "there is no folder");
    refused(&author, &["build"], 1, "plugin.yaml");
    author.plugin(&["new", "x", "--world", "scan", "--lang", "js"]);
    let manifest = author.folder("x/plugin.yaml");
    let text = fs::read_to_string(&manifest).unwrap();
    fs::write(&manifest, text.replace("world: scan", "world: scam")).unwrap();
    refused(&author, &["build", "x"], 1, "line 7");
    fs::write(&manifest, text).unwrap();
    fs::remove_file(author.folder("x/build.mjs")).unwrap();
    refused(&author, &["build", "x"], 1, "cannot tell the language");
}

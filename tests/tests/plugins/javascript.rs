//! JavaScript: three worlds, one installation. `journey` has one that is obeyed.

use crate::author::{Author, WORLDS, answers_as_its_world_does, said};
use std::os::unix::fs::symlink;

#[test]
fn a_new_plugin_is_tested_built_and_conforms() {
    let author = Author::new("javascript");
    for world in WORLDS {
        let name = &format!("my-{world}");
        let printed = author.plugin(&["new", name, "--world", world, "--lang", "js"]);
        assert!(printed.contains("npm ci"), "{printed}");
        // Needs nothing but Node.js.
        let tested = author.run(name, &["npm", "test"]);
        assert!(tested.contains("fail 0"), "{tested}");
    }
    let refused = author.opendepot(&["build", "my-auth"]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(
        said(&refused).contains("run `npm ci`"),
        "{}",
        said(&refused)
    );
    let [first, others @ ..] = WORLDS.map(|world| format!("my-{world}"));
    author.run(&first, &["npm", "ci", "--no-audit", "--no-fund"]);
    for other in &others {
        let modules = author.folder(&first).join("node_modules");
        symlink(modules, author.folder(other).join("node_modules")).unwrap();
    }
    for world in WORLDS {
        let name = &format!("my-{world}");
        author.plugin(&["build", name]);
        author.judge(name, world);
        answers_as_its_world_does(&author, name, world);
    }
}

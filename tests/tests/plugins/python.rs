//! Python: three worlds, one virtual environment.

use crate::author::{Author, WORLDS, answers_as_its_world_does, is_obeyed};
use std::os::unix::fs::symlink;

#[tokio::test(flavor = "multi_thread")]
async fn a_new_plugin_is_tested_built_and_obeyed() {
    let author = Author::new("python");
    for world in WORLDS {
        let name = &format!("my-{world}");
        let printed = author.plugin(&["new", name, "--world", world, "--lang", "python"]);
        assert!(printed.contains("requirements.txt"), "{printed}");
        // Needs nothing but Python.
        let tested = author.run(name, &["python3", "-m", "unittest"]);
        assert!(tested.contains("OK"), "{tested}");
    }
    let [first, others @ ..] = WORLDS.map(|world| format!("my-{world}"));
    author.run(&first, &["python3", "-m", "venv", ".venv"]);
    let install = [
        ".venv/bin/pip",
        "install",
        "--quiet",
        "-r",
        "requirements.txt",
    ];
    author.run(&first, &install);
    for other in &others {
        let environment = author.folder(&first).join(".venv");
        symlink(environment, author.folder(other).join(".venv")).unwrap();
    }
    for world in WORLDS {
        let name = &format!("my-{world}");
        author.plugin(&["build", name]);
        author.judge(name, world);
        answers_as_its_world_does(&author, name, world);
    }
    is_obeyed(&author, "my-auth").await;
}

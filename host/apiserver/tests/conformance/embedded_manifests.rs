//! The folder of manifests.

use crate::support::{object, options, widget, within};
use k8s_openapi::api::core::v1::Namespace;
use kube::api::{Api, DynamicObject, Patch, PatchParams, PostParams};
use kube::runtime::wait::await_condition;
use kube::{Resource as _, ResourceExt as _};
use opendepot_apiserver::manifests::{self, Report, apply_once};
use opendepot_apiserver::{Embedded, Error};
use serde_json::json;
use std::fs;
use std::path::Path;

struct Folder {
    embedded: Embedded,
    dir: tempfile::TempDir,
}

impl Folder {
    fn new() -> Self {
        Self {
            embedded: Embedded::open(options()).unwrap(),
            dir: tempfile::tempdir().unwrap(),
        }
    }

    fn write(&self, file: &str, text: &str) {
        let path = self.dir.path().join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn remove(&self, file: &str) {
        fs::remove_file(self.dir.path().join(file)).unwrap();
    }

    async fn apply(&self) -> Report {
        self.pass(false).await
    }

    async fn pass(&self, prune: bool) -> Report {
        apply_once(&self.embedded, &folder_options(self.dir.path(), prune)).await
    }

    fn widgets(&self) -> Api<DynamicObject> {
        widgets_in(&self.embedded, "default")
    }

    async fn exists(&self, name: &str) -> bool {
        self.widgets().get_opt(name).await.unwrap().is_some()
    }
}

fn folder_options(dir: &Path, prune: bool) -> manifests::Options {
    manifests::Options {
        dir: dir.to_path_buf(),
        prune,
    }
}

fn widgets_in(embedded: &Embedded, namespace: &str) -> Api<DynamicObject> {
    Api::namespaced_with(embedded.client("default"), namespace, &widget())
}

fn yaml(name: &str, spec: &str) -> String {
    format!(
        "apiVersion: test.opendepot.defdev.io/v1\nkind: Widget\nmetadata:\n  name: {name}\nspec: {spec}\n"
    )
}

fn counts(report: &Report) -> (usize, usize, usize) {
    (report.applied, report.unchanged, report.pruned)
}

#[tokio::test]
async fn files_are_applied_once() {
    let folder = Folder::new();
    folder.write("a.yaml", &yaml("a", "{type: module}"));
    folder.write(
        "deep/er/b.yml",
        &format!(
            "---\n{}---\n{}",
            yaml("b", "{type: module}"),
            yaml("c", "{type: provider}")
        ),
    );
    folder.write(
        "list.json",
        &json!({"apiVersion": "v1", "kind": "List", "items": [
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "m"}, "data": {"a": "b"}}]})
        .to_string(),
    );
    folder.write("notes.txt", "not: [yaml");
    folder.write(".hidden.yaml", "not: [yaml");
    folder.write(".git/config.yaml", "not: [yaml");
    #[cfg(unix)]
    {
        std::os::unix::fs::symlink(
            folder.dir.path().join("a.yaml"),
            folder.dir.path().join("link.yaml"),
        )
        .unwrap();
        std::os::unix::fs::symlink("/", folder.dir.path().join("root")).unwrap();
    }
    let report = folder.apply().await;
    assert_eq!(report.problems, []);
    assert_eq!(counts(&report), (4, 0, 0));
    let before = folder.widgets().get("a").await.unwrap();
    assert_eq!(counts(&folder.apply().await), (0, 4, 0));
    assert_eq!(folder.widgets().get("a").await.unwrap(), before);
}

#[tokio::test]
async fn a_file_changes_what_it_names_and_nothing_else() {
    let folder = Folder::new();
    let widgets = folder.widgets();
    folder.write(
        "a.yaml",
        &yaml("a", "{type: module, title: one, options: {x: y, z: w}}"),
    );
    folder.apply().await;
    let others = json!({"spec": {"tags": ["theirs"], "options": {"theirs": "1"}}, "metadata": {"labels": {"theirs": "1"}}});
    widgets
        .patch("a", &PatchParams::default(), &Patch::Merge(others))
        .await
        .unwrap();
    widgets
        .patch_status(
            "a",
            &PatchParams::default(),
            &Patch::Merge(json!({"status": {"phase": "Ready"}})),
        )
        .await
        .unwrap();
    folder.write(
        "a.yaml",
        &format!(
            "{}status: {{phase: Mine}}\n",
            yaml("a", "{type: module, options: {x: n}, size: ~}")
        ),
    );
    let report = folder.apply().await;
    assert_eq!(
        (counts(&report), &report.problems[..]),
        ((1, 0, 0), &[][..])
    );
    let found = widgets.get("a").await.unwrap();
    assert_eq!(
        found.data["spec"]["options"],
        json!({"x": "n", "theirs": "1"})
    );
    assert_eq!(found.data["spec"]["tags"], json!(["theirs"]));
    assert_eq!(found.data["spec"].get("title"), None);
    assert_eq!(found.data["status"]["phase"], "Ready");
    assert_eq!(found.labels()["theirs"], "1");
    // What somebody else changed in the file's own fields is set back.
    widgets
        .patch(
            "a",
            &PatchParams::default(),
            &Patch::Merge(json!({"spec": {"options": {"x": "drift"}}})),
        )
        .await
        .unwrap();
    assert_eq!(counts(&folder.apply().await), (1, 0, 0));
    assert_eq!(
        widgets.get("a").await.unwrap().data["spec"]["options"]["x"],
        "n"
    );
}

#[tokio::test]
async fn annotations_that_a_file_drops_go() {
    let folder = Folder::new();
    let with = |line: &str| {
        format!(
            "apiVersion: test.opendepot.defdev.io/v1\nkind: Widget\nmetadata:\n  name: a\n{line}spec: {{type: module}}\n"
        )
    };
    folder.write("a.yaml", &with("  annotations: {mine: '1', other: '2'}\n"));
    folder.apply().await;
    folder.write("a.yaml", &with("  annotations: {other: '2'}\n"));
    folder.apply().await;
    assert!(
        !folder
            .widgets()
            .get("a")
            .await
            .unwrap()
            .annotations()
            .contains_key("mine")
    );
    folder.write("a.yaml", &with(""));
    folder.apply().await;
    let left = folder.widgets().get("a").await.unwrap();
    assert!(
        left.annotations()
            .keys()
            .all(|key| key.starts_with("opendepot.defdev.io/"))
    );
}

#[tokio::test]
async fn a_problem_names_its_file_and_line_and_harms_no_other() {
    let folder = Folder::new();
    folder.write("good.yaml", &yaml("good", "{type: module}"));
    folder.write("syntax.yaml", "kind: Widget\nspec: {type: [\n");
    folder.write(
        "twice.yaml",
        &format!("{}  type: module\n", yaml("twice", "\n  type: module")),
    );
    folder.write(
        "schema.yaml",
        &format!(
            "# first\n---\n{}",
            yaml("refused", "{type: other, size: 99}")
        ),
    );
    folder.write("typo.yaml", &yaml("typo", "{type: module, titel: x}"));
    folder.write(
        "kind.yaml",
        "apiVersion: v1\nkind: Pod\nmetadata: {name: p}\n",
    );
    folder.write("unnamed.yaml", "apiVersion: v1\nkind: ConfigMap\n");
    folder.write(
        "hostile.yaml",
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: ../../x}\n",
    );
    folder.write(
        "scope.yaml",
        "apiVersion: v1\nkind: Namespace\nmetadata: {name: n, namespace: x}\n",
    );
    fs::write(folder.dir.path().join("binary.yaml"), [0xff, 0xfe, 0x00]).unwrap();
    let report = folder.apply().await;
    assert_eq!(counts(&report), (1, 0, 0));
    assert!(folder.exists("good").await);
    for (file, line, words) in [
        ("syntax.yaml", Some(3), ""),
        ("twice.yaml", Some(7), "duplicate"),
        ("schema.yaml", Some(3), "spec.size"),
        ("schema.yaml", Some(3), "Unsupported value: \"other\""),
        ("typo.yaml", Some(1), "unknown field \"spec.titel\""),
        ("kind.yaml", Some(1), "no kind `Pod` of `v1`"),
        ("unnamed.yaml", Some(1), "metadata.name"),
        ("hostile.yaml", Some(1), "`../../x` is not a name"),
        ("scope.yaml", Some(1), "no namespace"),
        ("binary.yaml", None, "cannot read"),
    ] {
        assert!(
            report.problems.iter().any(|problem| problem.file == file
                && match (problem.line, line) {
                    (Some(found), Some(line)) =>
                        found.abs_diff(line) <= usize::from(file == "syntax.yaml"),
                    (found, line) => found == line,
                }
                && problem.message.contains(words)),
            "{file} {words}: {:#?}",
            report.problems
        );
    }
    assert_eq!(report.problems.len(), 9);
    folder.write("twice.yaml", &yaml("twice", "{type: module}"));
    assert_eq!(counts(&folder.apply().await), (1, 1, 0));
}

#[tokio::test]
async fn of_two_definitions_the_first_is_used() {
    let folder = Folder::new();
    folder.write("a.yaml", &yaml("same", "{type: module, title: first}"));
    folder.write("b.yaml", &yaml("same", "{type: module, title: second}"));
    for _ in 0..2 {
        let report = folder.apply().await;
        let mut files: Vec<_> = report
            .problems
            .iter()
            .map(|problem| problem.file.as_str())
            .collect();
        files.sort_unstable();
        assert_eq!(files, ["a.yaml", "b.yaml"]);
        assert_eq!(
            folder.widgets().get("same").await.unwrap().data["spec"]["title"],
            "first"
        );
    }
}

#[tokio::test]
async fn namespaces_that_files_name_are_made() {
    let folder = Folder::new();
    folder.write(
        "a.yaml",
        &yaml("a", "{type: module}").replace("name: a", "name: a\n  namespace: team-a"),
    );
    folder.write(
        "z.yaml",
        "apiVersion: v1\nkind: Namespace\nmetadata: {name: team-b, labels: {x: y}}\n",
    );
    folder.write(
        "b.yaml",
        &yaml("b", "{type: module}").replace("name: b", "name: b\n  namespace: team-b"),
    );
    let report = folder.apply().await;
    assert_eq!(
        (counts(&report), &report.problems[..]),
        ((3, 0, 0), &[][..])
    );
    widgets_in(&folder.embedded, "team-a")
        .get("a")
        .await
        .unwrap();
    let namespaces: Api<Namespace> = Api::all(folder.embedded.client("default"));
    assert_eq!(namespaces.get("team-b").await.unwrap().labels()["x"], "y");
}

#[tokio::test]
async fn removing_a_file_removes_nothing_unless_asked() {
    let folder = Folder::new();
    folder.write("a.yaml", &yaml("a", "{type: module}"));
    folder.write(
        "b.yaml",
        &format!(
            "{}---\n{}",
            yaml("b", "{type: module}"),
            yaml("c", "{type: module}")
        ),
    );
    folder.write("d.yaml", &yaml("d", "{type: module}"));
    folder.apply().await;
    folder
        .widgets()
        .create(
            &PostParams::default(),
            &object("by-hand", json!({"type": "module"})),
        )
        .await
        .unwrap();
    folder.remove("a.yaml");
    assert_eq!(counts(&folder.apply().await), (0, 3, 0));
    assert!(folder.exists("a").await);
    // Asked: the file that is gone counts, a broken one does not, a moved one neither.
    folder.write("b.yaml", "not: [yaml");
    folder.write("moved/d.yaml", &yaml("d", "{type: module}"));
    folder.remove("d.yaml");
    assert_eq!(counts(&folder.pass(true).await), (1, 0, 1));
    assert!(!folder.exists("a").await && folder.exists("b").await && folder.exists("d").await);
    // A document that is gone counts.
    folder.write("b.yaml", &yaml("b", "{type: module}"));
    assert_eq!(counts(&folder.pass(true).await), (0, 2, 1));
    assert!(!folder.exists("c").await && folder.exists("by-hand").await);
    // A refused object is still wanted.
    folder.write("b.yaml", &yaml("b", "{type: provider}"));
    let report = folder.pass(true).await;
    assert_eq!((counts(&report), report.problems.len()), ((0, 1, 0), 1));
    assert!(folder.exists("b").await);
}

#[tokio::test]
async fn what_a_controller_owns_is_annotated_by_a_file_and_not_removed_with_it() {
    let folder = Folder::new();
    folder.write("owner.yaml", &yaml("owner", "{type: module}"));
    folder.apply().await;
    let owner = folder.widgets().get("owner").await.unwrap();
    let mut owned = object("owned", json!({"type": "module"}));
    owned.metadata.owner_references = owner.controller_owner_ref(&widget()).map(|o| vec![o]);
    let create = PostParams::default();
    folder.widgets().create(&create, &owned).await.unwrap();
    folder.write(
        "note.yaml",
        "apiVersion: test.opendepot.defdev.io/v1\nkind: Widget\nmetadata: {name: owned, annotations: {note: x}}\n",
    );
    assert_eq!(counts(&folder.pass(true).await), (1, 1, 0));
    let noted = folder.widgets().get("owned").await.unwrap();
    assert_eq!(
        noted.annotations().get("note").map(String::as_str),
        Some("x")
    );
    folder.remove("note.yaml");
    assert_eq!(counts(&folder.pass(true).await), (0, 1, 0));
    assert!(folder.exists("owned").await);
}

#[tokio::test]
async fn a_folder_that_cannot_be_seen_removes_nothing() {
    let folder = Folder::new();
    folder.write("in/a.yaml", &yaml("a", "{type: module}"));
    let dir = folder.dir.path().join("in");
    apply_once(&folder.embedded, &folder_options(&dir, true)).await;
    fs::rename(&dir, folder.dir.path().join("away")).unwrap();
    let report = apply_once(&folder.embedded, &folder_options(&dir, true)).await;
    assert_eq!(report.pruned, 0);
    assert_eq!(report.problems[0].file, ".");
    assert!(folder.exists("a").await);
    fs::create_dir(&dir).unwrap();
    fs::write(dir.join("b.yaml"), [0xff]).unwrap();
    assert_eq!(
        apply_once(&folder.embedded, &folder_options(&dir, true))
            .await
            .pruned,
        0
    );
    fs::remove_file(dir.join("b.yaml")).unwrap();
    assert_eq!(
        apply_once(&folder.embedded, &folder_options(&dir, true))
            .await
            .pruned,
        1
    );
}

#[tokio::test]
async fn the_folder_is_followed() {
    let folder = Folder::new();
    folder.write("a.yaml", &yaml("a", "{type: module}"));
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let (report, mut problems) = tokio::sync::watch::channel(Vec::new());
    let running = tokio::spawn(manifests::run(
        folder.embedded.clone(),
        folder_options(folder.dir.path(), true),
        report,
        async move {
            stopped.await.ok();
        },
    ));
    let is_there = |object: Option<&DynamicObject>| object.is_some();
    within(await_condition(folder.widgets(), "a", is_there))
        .await
        .unwrap();
    folder.write("new/b.yaml", &yaml("b", "{type: module}"));
    within(await_condition(folder.widgets(), "b", is_there))
        .await
        .unwrap();
    folder.remove("a.yaml");
    within(await_condition(
        folder.widgets(),
        "a",
        |object: Option<&DynamicObject>| object.is_none(),
    ))
    .await
    .unwrap();
    // What cannot be applied is told as long as it is so.
    folder.write("broken.yaml", "kind: [");
    let named = within(problems.wait_for(|found| !found.is_empty())).await;
    assert_eq!(named.unwrap()[0].file, "broken.yaml");
    folder.remove("broken.yaml");
    within(problems.wait_for(Vec::is_empty)).await.unwrap();
    stop.send(()).unwrap();
    within(running).await.unwrap().unwrap();
    let file = folder.dir.path().join("new/b.yaml");
    let result = manifests::run(
        folder.embedded.clone(),
        folder_options(&file, false),
        tokio::sync::watch::channel(Vec::new()).0,
        std::future::pending(),
    )
    .await;
    assert!(matches!(result, Err(Error::Manifests { .. })));
}

//! Finding and parsing the files.

use super::Problem;
use serde_json::{Map, Value};
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

const MAX_FILES: usize = 10_000;
const MAX_FILE_BYTES: u64 = 4 << 20;
const MAX_DEPTH: usize = 16;
/// A parser's message is cut after so many characters.
const MAX_MESSAGE: usize = 400;

/// One document of one file.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Document {
    pub(super) file: String,
    pub(super) line: usize,
    pub(super) value: Value,
}

/// Everything that the folder says.
#[derive(Debug, Default)]
pub(super) struct Folder {
    pub(super) documents: Vec<Document>,
    pub(super) problems: Vec<Problem>,
    /// Files that say something unknown; what they defined before must stay.
    pub(super) broken: BTreeSet<String>,
    /// Whether some part of the folder could not be seen.
    pub(super) is_incomplete: bool,
}

impl Folder {
    fn problem(&mut self, file: &str, line: Option<usize>, message: impl Into<String>) {
        let message: String = message.into();
        let one_line = message.split_whitespace().collect::<Vec<_>>().join(" ");
        self.problems.push(Problem {
            file: file.to_owned(),
            line,
            message: one_line.chars().take(MAX_MESSAGE).collect(),
        });
    }

    pub(super) fn unseen(&mut self, file: &str, message: impl Into<String>) {
        self.is_incomplete = true;
        self.problem(file, None, message);
    }

    fn reject(&mut self, file: &str, line: Option<usize>, message: impl Into<String>) {
        self.broken.insert(file.to_owned());
        self.problem(file, line, message);
    }
}

/// Reads the folder, in the order of the paths. Blocks.
pub(super) fn read(dir: &Path) -> Folder {
    let mut folder = Folder::default();
    let mut files = Vec::new();
    find(dir, "", 0, &mut files, &mut folder);
    files.sort();
    if files.len() > MAX_FILES {
        folder.unseen(
            ".",
            format!("more than {MAX_FILES} files; the rest is not read"),
        );
        files.truncate(MAX_FILES);
    }
    for file in files {
        match read_file(&dir.join(&file)) {
            Ok(text) => parse(&file, &text, &mut folder),
            Err(error) => folder.unseen(&file, format!("cannot read the file: {error}")),
        }
    }
    folder
}

fn find(dir: &Path, below: &str, depth: usize, files: &mut Vec<String>, folder: &mut Folder) {
    let shown = if below.is_empty() { "." } else { below };
    if depth > MAX_DEPTH {
        folder.unseen(
            shown,
            format!("folders deeper than {MAX_DEPTH} are not read"),
        );
        return;
    }
    let entries = match fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) => {
            folder.unseen(shown, format!("cannot read the folder: {error}"));
            return;
        }
    };
    for entry in entries {
        let entry = match entry.and_then(|entry| Ok((entry.file_type()?, entry))) {
            Ok(entry) => entry,
            // Gone in between: the next pass will know.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                folder.is_incomplete = true;
                continue;
            }
            Err(error) => {
                folder.unseen(shown, format!("cannot read the folder: {error}"));
                continue;
            }
        };
        let (kind, entry) = entry;
        let name = entry.file_name();
        let Some(name) = name.to_str() else {
            folder.unseen(shown, "a file name is not UTF-8");
            continue;
        };
        if name.starts_with('.') || kind.is_symlink() {
            continue;
        }
        let path = if below.is_empty() {
            name.to_owned()
        } else {
            format!("{below}/{name}")
        };
        if kind.is_dir() {
            find(&entry.path(), &path, depth + 1, files, folder);
        } else if kind.is_file()
            && Path::new(name).extension().is_some_and(|extension| {
                ["yaml", "yml", "json"]
                    .iter()
                    .any(|known| extension.eq_ignore_ascii_case(known))
            })
        {
            files.push(path);
        }
    }
}

fn read_file(path: &Path) -> std::io::Result<String> {
    let metadata = fs::symlink_metadata(path)?;
    if !metadata.is_file() {
        return Err(std::io::Error::other("it is not a plain file any more"));
    }
    if metadata.len() > MAX_FILE_BYTES {
        return Err(std::io::Error::other(format!(
            "it is larger than {MAX_FILE_BYTES} bytes"
        )));
    }
    fs::read_to_string(path)
}

/// Parses a file whole: one broken document makes its file unusable.
fn parse(file: &str, text: &str, folder: &mut Folder) {
    if text.trim().is_empty() {
        // `command > file` empties it long before it writes: what it defined must not go.
        folder.broken.insert(file.to_owned());
        return;
    }
    // JSON is read by the same parser: YAML contains it, and duplicate keys are errors there too.
    // Booleans are those of YAML 1.2: `y`, `no` and `on` are words.
    let options = serde_saphyr::options! { strict_booleans: true };
    let parsed =
        serde_saphyr::from_multiple_with_options::<serde_saphyr::Spanned<Value>>(text, options);
    let documents = match parsed {
        Ok(documents) => documents,
        Err(error) => {
            let line = error
                .location()
                .and_then(|location| usize::try_from(location.line()).ok())
                .filter(|line| *line > 0);
            folder.reject(file, line, in_our_words(&error));
            return;
        }
    };
    for document in documents {
        let line = usize::try_from(document.referenced.line())
            .unwrap_or(1)
            .max(1);
        match document.value {
            Value::Null => {}
            // A release's manifest or a module's `main.tf.json` that no resource names yet.
            Value::Object(map) if is_other_json(file, &map) => {}
            Value::Object(map) => expand(file, line, Value::Object(map), folder),
            _ => folder.reject(file, Some(line), "a document is not a mapping"),
        }
    }
}

/// JSON that does not even begin to be a resource belongs to another program.
fn is_other_json(file: &str, map: &Map<String, Value>) -> bool {
    let is_json = Path::new(file)
        .extension()
        .is_some_and(|extension| extension.eq_ignore_ascii_case("json"));
    is_json && !map.contains_key("kind") && !map.contains_key("apiVersion")
}

/// The parser's message without its position, which is told apart, and without advice to
/// programmers.
fn in_our_words(error: &serde_saphyr::Error) -> String {
    let text = error.without_snippet().to_string();
    let text = text.replace(", set DuplicateKeyPolicy in Options if acceptable", "");
    match text.rfind(" at line ") {
        Some(position) => text.get(..position).unwrap_or(&text).to_owned(),
        None => text,
    }
}

/// A `List` stands for its items.
fn expand(file: &str, line: usize, value: Value, folder: &mut Folder) {
    let is_list = value
        .get("kind")
        .and_then(Value::as_str)
        .is_some_and(|kind| kind.ends_with("List"))
        && value.get("items").is_some();
    if !is_list {
        folder.documents.push(Document {
            file: file.to_owned(),
            line,
            value,
        });
        return;
    }
    match value.get("items") {
        Some(Value::Array(items)) => {
            for item in items {
                folder.documents.push(Document {
                    file: file.to_owned(),
                    line,
                    value: item.clone(),
                });
            }
        }
        _ => folder.reject(file, Some(line), "`items` of a list is not a list"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn parsed(text: &str) -> Folder {
        let mut folder = Folder::default();
        parse("f.yaml", text, &mut folder);
        folder
    }

    #[test]
    fn documents_carry_their_lines() {
        let folder = parsed("# a comment\n---\nkind: A\nn: 1\n---\n---\n\nkind: B\ns: \"1\"\n");
        assert_eq!(folder.problems, []);
        let found: Vec<_> = folder
            .documents
            .iter()
            .map(|d| (d.line, d.value.clone()))
            .collect();
        assert_eq!(
            found,
            [
                (3, json!({"kind": "A", "n": 1})),
                (8, json!({"kind": "B", "s": "1"}))
            ]
        );
    }

    #[test]
    fn broken_files_are_reported_with_a_line() {
        for (name, text, line) in [
            ("duplicate key", "kind: A\nspec:\n  a: 1\n  a: 2\n", 4),
            (
                "duplicate key in JSON",
                "{\"kind\": \"A\",\n \"kind\": \"B\"}",
                2,
            ),
            ("tab", "kind: A\nspec:\n\ta: 1\n", 3),
            ("unclosed", "kind: A\nspec: [1\n", 3),
            ("scalar", "kind: A\n---\njust text\n", 3),
        ] {
            let folder = parsed(text);
            assert_eq!(folder.problems.len(), 1, "{name}");
            let found = folder.problems[0].line.unwrap();
            assert!(found.abs_diff(line) <= 1, "{name}: line {found}");
            assert!(!folder.problems[0].message.contains('\n'), "{name}");
            assert!(folder.broken.contains("f.yaml"), "{name}");
        }
    }

    #[test]
    fn an_empty_file_keeps_what_it_defined_and_one_of_comments_does_not() {
        for (text, is_kept) in [("", true), (" \n\n", true), ("# nothing\n", false)] {
            let folder = parsed(text);
            assert_eq!(folder.broken.contains("f.yaml"), is_kept, "{text:?}");
            assert!(folder.problems.is_empty() && folder.documents.is_empty());
        }
    }

    #[test]
    fn json_of_other_programs_is_passed_over() {
        for (file, text, num) in [
            (
                "p_1.0.0_manifest.json",
                r#"{"version": 1, "metadata": {}}"#,
                0,
            ),
            ("main.tf.json", r#"{"variable": {}}"#, 0),
            // These are meant to be resources.
            ("a.json", r#"{"kind": "Module"}"#, 1),
            ("a.json", r#"{"apiVersion": "v1"}"#, 1),
            ("a.yaml", "spec: {}", 1),
        ] {
            let mut folder = Folder::default();
            parse(file, text, &mut folder);
            assert_eq!(folder.documents.len(), num, "{file} {text}");
            assert!(folder.problems.is_empty());
        }
    }

    #[test]
    fn lists_are_expanded() {
        let folder = parsed(
            r#"{"kind": "List", "apiVersion": "v1", "items": [{"kind": "A"}, {"kind": "B"}]}"#,
        );
        assert_eq!(folder.documents.len(), 2);
        assert_eq!(folder.documents[1].value, json!({"kind": "B"}));
    }
}

//! Reads settings so that an operator sees every mistake at once, each with its path.
//!
//! Settings cross the boundary as JSON text. [`Object`] walks the parsed text and reports into one
//! [`Problems`]: a wrong type, an unknown key (with the nearest known one), a missing value. What
//! bounds it: text above [`MAX_BYTES`] is refused unread, at most [`MAX_PROBLEMS`] problems are
//! kept, and the nesting is the parser's (128).

use crate::artifact::Problem;
use serde_json::{Map, Value};
use std::cell::RefCell;
use std::ops::RangeInclusive;

/// The longest settings text that is read, in bytes.
pub const MAX_BYTES: usize = 1 << 20;

/// How many problems are kept; the rest would not be read either.
pub const MAX_PROBLEMS: usize = 100;

/// The problems found so far.
#[derive(Debug, Default)]
pub struct Problems(RefCell<Vec<Problem>>);

impl Problems {
    /// None yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds one.
    pub fn add(&self, path: impl Into<String>, message: impl Into<String>) {
        let mut list = self.0.borrow_mut();
        if list.len() < MAX_PROBLEMS {
            list.push(Problem::new(path, message));
        }
    }

    /// Whether none was found.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.borrow().is_empty()
    }

    /// The problems, in the order in which they were found.
    #[must_use]
    pub fn into_vec(self) -> Vec<Problem> {
        self.0.into_inner()
    }
}

/// Reads settings of which `of_root` makes what the plugin uses, reporting problems to the object
/// that it gets; its answer counts only when there are none.
///
/// # Errors
/// All problems. Both worlds' errors are made from them by `?`.
pub fn read<T>(text: &str, of_root: impl FnOnce(&Object<'_>) -> T) -> Result<T, Vec<Problem>> {
    let problems = Problems::new();
    let value = parse(text, "", &problems);
    let answer = value
        .as_ref()
        .and_then(|value| Object::new(value, "", &problems))
        .map(|root| of_root(&root));
    match answer {
        Some(answer) if problems.is_empty() => Ok(answer),
        _ => Err(problems.into_vec()),
    }
}

/// Parses settings text; a problem at `path` when it is too long or not JSON.
#[must_use]
pub fn parse(text: &str, path: &str, problems: &Problems) -> Option<Value> {
    if text.len() > MAX_BYTES {
        problems.add(path, format!("longer than {MAX_BYTES} bytes"));
        return None;
    }
    match serde_json::from_str(text) {
        Ok(value) => Some(value),
        Err(error) => {
            problems.add(path, format!("not JSON: {error}"));
            None
        }
    }
}

/// A JSON object at a path.
#[derive(Clone, Debug)]
pub struct Object<'a> {
    path: String,
    fields: &'a Map<String, Value>,
    problems: &'a Problems,
}

impl<'a> Object<'a> {
    /// Wraps `value`; a problem when it is not an object.
    #[must_use]
    pub fn new(value: &'a Value, path: impl Into<String>, problems: &'a Problems) -> Option<Self> {
        let path = path.into();
        match value {
            Value::Object(fields) => Some(Self {
                path,
                fields,
                problems,
            }),
            other => {
                problems.add(path, format!("must be an object, is {}", type_name(other)));
                None
            }
        }
    }

    /// The path of the field `key`.
    #[must_use]
    pub fn path_of(&self, key: &str) -> String {
        if self.path.is_empty() {
            key.to_owned()
        } else {
            format!("{}.{key}", self.path)
        }
    }

    /// The object's own path; empty at the root.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Reports a problem of the field `key`.
    pub fn problem(&self, key: &str, message: impl Into<String>) {
        self.problems.add(self.path_of(key), message);
    }

    /// Reports every key that is not among `known`.
    pub fn deny_unknown(&self, known: &[&str]) {
        for key in self.fields.keys() {
            if !known.contains(&key.as_str()) {
                self.problem(&shown(key), format!("unknown key{}", hint(key, known)));
            }
        }
    }

    /// The keys of the fields, for objects whose keys are the operator's words.
    pub fn keys(&self) -> impl Iterator<Item = &'a str> + use<'a> {
        self.fields.keys().map(String::as_str)
    }

    /// Whether the field is there; `null` counts as absent.
    #[must_use]
    pub fn has(&self, key: &str) -> bool {
        self.field(key).is_some()
    }

    /// Whether there is text at `key`. Never a problem: for settings that are a word or an object.
    #[must_use]
    pub fn is_text(&self, key: &str) -> bool {
        matches!(self.field(key), Some(Value::String(_)))
    }

    /// The text at `key`, when there is one; a problem when it is of another type.
    #[must_use]
    pub fn text(&self, key: &str) -> Option<&'a str> {
        match self.field(key)? {
            Value::String(text) => Some(text),
            other => {
                self.problem(key, format!("must be text, is {}", type_name(other)));
                None
            }
        }
    }

    /// The text at `key`; a problem when there is none.
    #[must_use]
    pub fn required_text(&self, key: &str) -> Option<&'a str> {
        self.require(key);
        self.text(key)
    }

    /// The text at `key`, which must be there: 1 to `most` bytes, without control characters.
    #[must_use]
    pub fn line(&self, key: &str, most: usize) -> Option<&'a str> {
        let text = self.required_text(key)?;
        match check_line(text, most) {
            Ok(()) => Some(text),
            Err(message) => {
                self.problem(key, message);
                None
            }
        }
    }

    /// Whether the field is there; a problem when it is not.
    pub fn require(&self, key: &str) -> bool {
        let found = self.has(key);
        if !found {
            self.problem(key, "is required");
        }
        found
    }

    /// The flag at `key`, when there is one; a problem when it is of another type.
    #[must_use]
    pub fn flag(&self, key: &str) -> Option<bool> {
        match self.field(key)? {
            Value::Bool(flag) => Some(*flag),
            other => {
                self.problem(
                    key,
                    format!("must be true or false, is {}", type_name(other)),
                );
                None
            }
        }
    }

    /// The whole number at `key`, when there is one; a problem when it is another thing or outside
    /// of `within`.
    #[must_use]
    pub fn number(&self, key: &str, within: RangeInclusive<u64>) -> Option<u64> {
        let value = self.field(key)?;
        let number = value.as_u64().filter(|number| within.contains(number));
        if number.is_none() {
            let (least, most) = (within.start(), within.end());
            self.problem(
                key,
                format!("must be a whole number from {least} to {most}"),
            );
        }
        number
    }

    /// The value that the text at `key` is the name of; a problem when it is none of them.
    #[must_use]
    pub fn choice<T: Copy>(&self, key: &str, choices: &[(&str, T)]) -> Option<T> {
        let word = self.text(key)?;
        let found = choices.iter().find(|(name, _)| *name == word);
        if found.is_none() {
            let names: Vec<&str> = choices.iter().map(|(name, _)| *name).collect();
            self.problem(
                key,
                format!("unknown word `{}`{}", shown(word), hint(word, &names)),
            );
        }
        found.map(|(_, value)| *value)
    }

    /// The object at `key`, when there is one; a problem when it is of another type.
    #[must_use]
    pub fn object(&self, key: &str) -> Option<Self> {
        Object::new(self.field(key)?, self.path_of(key), self.problems)
    }

    /// The list at `key`, each entry with its path; a problem when it is of another type.
    #[must_use]
    pub fn list(&self, key: &str) -> Option<Vec<(String, &'a Value)>> {
        match self.field(key)? {
            Value::Array(entries) => Some(
                entries
                    .iter()
                    .enumerate()
                    .map(|(index, entry)| (format!("{}[{index}]", self.path_of(key)), entry))
                    .collect(),
            ),
            other => {
                self.problem(key, format!("must be a list, is {}", type_name(other)));
                None
            }
        }
    }

    /// Whether there is a list at `key`, without entries. Never a problem.
    #[must_use]
    pub fn is_empty_list(&self, key: &str) -> bool {
        matches!(self.field(key), Some(Value::Array(entries)) if entries.is_empty())
    }

    /// The texts of the list at `key`, each with its path; other entries are problems.
    #[must_use]
    pub fn texts(&self, key: &str) -> Option<Vec<(String, &'a str)>> {
        let entries = self.list(key)?;
        let mut texts = Vec::with_capacity(entries.len());
        for (path, entry) in entries {
            match entry {
                Value::String(text) => texts.push((path, text.as_str())),
                other => self
                    .problems
                    .add(path, format!("must be text, is {}", type_name(other))),
            }
        }
        Some(texts)
    }

    /// The texts of the list at `key`, as [`Object::texts`], at most `most` of them: with more, one
    /// problem and none.
    #[must_use]
    pub fn few_texts(&self, key: &str, most: usize) -> Option<Vec<(String, &'a str)>> {
        self.texts(key).map(|texts| self.few(key, texts, most))
    }

    /// The objects of the list at `key`; other entries are problems.
    #[must_use]
    pub fn objects(&self, key: &str) -> Option<Vec<Self>> {
        Some(
            self.list(key)?
                .into_iter()
                .filter_map(|(path, entry)| Object::new(entry, path, self.problems))
                .collect(),
        )
    }

    /// The objects of the list at `key`, which must be there, at most `most` of them: with more,
    /// one problem and none.
    #[must_use]
    pub fn few_objects(&self, key: &str, most: usize) -> Vec<Self> {
        self.require(key);
        let objects = self.objects(key).unwrap_or_default();
        self.few(key, objects, most)
    }

    /// Adds a problem at any path, such as one that [`Object::texts`] gave.
    pub fn problem_at(&self, path: impl Into<String>, message: impl Into<String>) {
        self.problems.add(path, message);
    }

    fn few<T>(&self, key: &str, entries: Vec<T>, most: usize) -> Vec<T> {
        if entries.len() > most {
            self.problem(key, format!("more than {most} entries"));
            return Vec::new();
        }
        entries
    }

    fn field(&self, key: &str) -> Option<&'a Value> {
        self.fields.get(key).filter(|value| !value.is_null())
    }
}

/// ``, did you mean `x`?`` when one of `known` is near `word`, else the list of all.
#[must_use]
pub fn hint(word: &str, known: &[&str]) -> String {
    let word = word.get(..word.len().min(64)).unwrap_or("");
    let nearest = known
        .iter()
        .map(|candidate| (strsim::levenshtein(word, candidate), candidate))
        .filter(|(distance, candidate)| *distance <= 1 + candidate.len() / 4)
        .min_by_key(|(distance, _)| *distance);
    match nearest {
        Some((_, candidate)) => format!(", did you mean `{candidate}`?"),
        None => format!(", one of `{}` is expected", known.join("`, `")),
    }
}

/// Why `text` is not 1 to `most` bytes without control characters, if so.
///
/// # Errors
/// The message of a problem.
pub fn check_line(text: &str, most: usize) -> Result<(), String> {
    if text.is_empty() || text.len() > most {
        return Err(format!("must have 1 to {most} bytes"));
    }
    if text.chars().any(char::is_control) {
        return Err(format!("`{}` holds a control character", shown(text)));
    }
    Ok(())
}

/// `text` escaped and cut to 80 characters, to be quoted in a message.
#[must_use]
pub fn shown(text: &str) -> String {
    text.escape_debug().take(80).collect()
}

const fn type_name(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paths(problems: Problems) -> Vec<(String, String)> {
        problems
            .into_vec()
            .into_iter()
            .map(|problem| (problem.path, problem.message))
            .collect()
    }

    #[test]
    fn every_mistake_is_reported_with_its_path() {
        let problems = Problems::new();
        let text = r#"{"rot": "/x", "rules": [{"groups": ["a", 1]}, 7], "name": 3}"#;
        let value = parse(text, "", &problems).unwrap();
        let root = Object::new(&value, "", &problems).unwrap();
        root.deny_unknown(&["root", "rules", "name"]);
        assert_eq!(root.required_text("root"), None);
        assert_eq!(root.text("name"), None);
        for rule in root.objects("rules").unwrap() {
            assert_eq!(rule.texts("groups").unwrap().len(), 1);
        }
        assert_eq!(
            paths(problems),
            [
                ("rot", "unknown key, did you mean `root`?"),
                ("root", "is required"),
                ("name", "must be text, is a number"),
                ("rules[1]", "must be an object, is a number"),
                ("rules[0].groups[1]", "must be text, is a number"),
            ]
            .map(|(path, message)| (path.to_owned(), message.to_owned()))
        );
    }

    #[test]
    fn hostile_text_is_a_problem_not_a_panic() {
        for text in [
            "",
            "nul",
            "[",
            "{\"a\":",
            "\u{0}",
            &"[".repeat(100_000),
            &" ".repeat(MAX_BYTES + 1),
        ] {
            let problems = Problems::new();
            assert!(parse(text, "settings", &problems).is_none());
            assert_eq!(problems.into_vec().len(), 1);
        }
    }

    #[test]
    fn numbers_are_whole_and_within_their_range() {
        let problems = Problems::new();
        let text = r#"{"a": 5, "b": 0, "c": 1.5, "d": "5", "e": -1, "f": 9e99}"#;
        let value = parse(text, "", &problems).unwrap();
        let root = Object::new(&value, "", &problems).unwrap();
        assert_eq!(root.number("a", 1..=5), Some(5));
        for key in ["b", "c", "d", "e", "f", "absent"] {
            assert_eq!(root.number(key, 1..=5), None, "{key}");
        }
        let found = paths(problems);
        let keys: Vec<&str> = found.iter().map(|(path, _)| path.as_str()).collect();
        assert_eq!(keys, ["b", "c", "d", "e", "f"]);
    }

    #[test]
    fn problems_are_bounded() {
        let problems = Problems::new();
        for index in 0..1000 {
            problems.add(format!("rules[{index}]"), "no");
        }
        assert_eq!(problems.into_vec().len(), MAX_PROBLEMS);
    }

    #[test]
    fn a_far_word_gets_the_list() {
        assert_eq!(hint("zzzz", &["a", "b"]), ", one of `a`, `b` is expected");
        assert_eq!(
            hint("downlod", &["download", "browse"]),
            ", did you mean `download`?"
        );
        // Cutting a long word must not fall inside a character.
        let _ = hint(&"ä".repeat(33), &["a"]);
        let _ = hint(&format!("x{}", "ä".repeat(64)), &["a"]);
    }
}

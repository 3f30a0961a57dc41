//! Reads the configuration file and names everything in it that is wrong, not only the first.
//!
//! What bounds it: so many problems of one file; what may surprise: the rest of a file with
//! problems is used to find other problems, never to run.

use super::file::FileConfig;
use super::refused::REFUSED;
use serde_json::Value;
use serde_path_to_error::Segment;
use std::path::Path;

/// Problems of one file that are listed.
const MAX_PROBLEMS: usize = 50;

/// Reads the file at `path`; what is wrong with it is added to `problems`.
pub(super) fn read(path: &Path, problems: &mut Vec<String>) -> FileConfig {
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) => {
            problems.push(format!("cannot read `{}`: {error}", path.display()));
            return FileConfig::default();
        }
    };
    let parsed: Result<FileConfig, _> = serde_saphyr::from_str(&text);
    let error = match parsed {
        Ok(file) => return file,
        Err(error) => error,
    };
    let Ok(mut value) = serde_saphyr::from_str::<Value>(&text) else {
        problems.push(format!("`{}`: {error}", path.display()));
        return FileConfig::default();
    };
    let num_before = problems.len();
    // Refused keys are refused by name rather than as unknown ones.
    if let Value::Object(keys) = &mut value {
        for refused in REFUSED {
            if keys.remove(&refused.key()).is_some() {
                problems.push(refused.message(&refused.key()));
            }
        }
    }
    let file = take_wrong(&mut value, |problem| {
        problems.push(format!("`{}`: {problem}", path.display()));
    });
    if problems.len() == num_before {
        problems.push(format!("`{}`: {error}", path.display()));
    }
    file
}

/// Takes out what is wrong, one place after another, until the rest can be used.
fn take_wrong(value: &mut Value, mut found: impl FnMut(String)) -> FileConfig {
    let mut gone = Vec::new();
    for _ in 0..MAX_PROBLEMS {
        let error = match serde_path_to_error::deserialize(value.clone()) {
            Ok(file) => return file,
            Err(error) => error,
        };
        let segments: Vec<&Segment> = error.path().iter().collect();
        let place = shown(&segments, &gone);
        found(format!("`{place}`: {}", error.inner()));
        match remove(value, &segments) {
            Some(Removed::Key) => {}
            Some(Removed::Item) => gone.push(place),
            None => break,
        }
    }
    FileConfig::default()
}

/// The place as it is in the file: items that were taken out are counted.
fn shown(segments: &[&Segment], gone: &[String]) -> String {
    let mut place = String::new();
    for segment in segments {
        match segment {
            Segment::Seq { index } => {
                let item = |index| format!("{place}[{index}]");
                let mut there = (0_usize..).map(item).filter(|item| !gone.contains(item));
                place = there.nth(*index).unwrap_or_default();
            }
            Segment::Map { key } if place.is_empty() => place.push_str(key),
            Segment::Map { key } => place = format!("{place}.{key}"),
            // A variant of an enum is no place of its own.
            _ => {}
        }
    }
    place
}

enum Removed {
    Key,
    Item,
}

/// Takes out the place that `segments` lead to, if there is one.
fn remove(value: &mut Value, segments: &[&Segment]) -> Option<Removed> {
    let (last, above) = segments.split_last()?;
    let mut parent = &mut *value;
    for segment in above {
        parent = match (segment, parent) {
            (Segment::Map { key }, Value::Object(keys)) => keys.get_mut(key)?,
            (Segment::Seq { index }, Value::Array(items)) => items.get_mut(*index)?,
            (_, same) => same,
        };
    }
    match (last, parent) {
        (Segment::Map { key }, Value::Object(keys)) => keys.remove(key).map(|_| Removed::Key),
        (Segment::Seq { index }, Value::Array(items)) if *index < items.len() => {
            items.remove(*index);
            Some(Removed::Item)
        }
        _ => remove(value, above),
    }
}

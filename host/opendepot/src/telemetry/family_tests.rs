//! The table against the source, and against its page.

use super::*;
use regex::Regex;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// What the host's crates record: family to macro. A name that is no literal escapes this, so
/// there must be none.
fn recorded() -> BTreeMap<String, BTreeSet<String>> {
    let host = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let mut files = Vec::new();
    for crate_dir in fs::read_dir(host).unwrap() {
        let source = crate_dir.unwrap().path().join("src");
        if source.is_dir() {
            sources(&source, &mut files);
        }
    }
    let literal = Regex::new(r#"\b(counter|gauge|histogram)!\(\s*"([^"]*)""#).unwrap();
    let other = Regex::new(r#"\b(?:counter|gauge|histogram)!\(\s*[^"\s]"#).unwrap();
    let mut recorded: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for path in files {
        let text = fs::read_to_string(&path).unwrap();
        assert!(
            !other.is_match(&text),
            "{}: the name of a family is a literal",
            path.display()
        );
        for found in literal.captures_iter(&text) {
            let (kind, name) = (found[1].to_owned(), found[2].to_owned());
            recorded.entry(name).or_default().insert(kind);
        }
    }
    recorded
}

const fn macro_of(kind: Kind) -> &'static str {
    match kind {
        Kind::Counter => "counter",
        Kind::Gauge => "gauge",
        Kind::Histogram(_) => "histogram",
    }
}

#[test]
fn what_is_recorded_is_described_and_what_is_described_is_recorded() {
    let described: BTreeMap<String, BTreeSet<String>> = TABLE
        .iter()
        .map(|family| {
            let kind = BTreeSet::from([macro_of(family.kind).to_owned()]);
            (family.name.to_owned(), kind)
        })
        .collect();
    assert_eq!(described.len(), TABLE.len(), "a family is listed twice");
    assert_eq!(recorded(), described);
}

#[test]
fn names_say_type_and_unit() {
    for family in TABLE {
        let name = family.name;
        assert!(name.starts_with("opendepot_"), "{name}");
        let (is_counter, base) = match name.strip_suffix("_total") {
            Some(base) => (true, base),
            None => (false, name),
        };
        assert_eq!(is_counter, matches!(family.kind, Kind::Counter), "{name}");
        let unit = match family.unit {
            Unit::Seconds => "_seconds",
            Unit::Bytes => "_bytes",
            _ => "",
        };
        assert!(base.ends_with(unit), "{name}");
        assert!(family.help.ends_with('.'), "{name}");
        if let Kind::Histogram(buckets) = family.kind {
            assert!(buckets.is_sorted(), "{name}");
            assert!(
                buckets[0] >= 1e-5 && buckets[buckets.len() - 1] <= 600.0,
                "{name}"
            );
        }
        // reliability.md 10.1; the release's own version is no artifact's.
        for forbidden in [
            "name", "version", "path", "subject", "token", "url", "error",
        ] {
            let is_our_own = name == "opendepot_build_info" && forbidden == "version";
            assert!(is_our_own || !family.labels.contains(&forbidden), "{name}");
        }
    }
}

/// The row of a family in `host/METRICS.md`.
fn row(family: &Family) -> String {
    let labels: Vec<String> = family
        .labels
        .iter()
        .map(|label| format!("`{label}`"))
        .collect();
    format!(
        "| `{}` | {} | {} | {} |",
        family.name,
        macro_of(family.kind),
        labels.join(", "),
        family.help
    )
}

#[test]
fn the_page_lists_the_table() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../METRICS.md");
    let page = fs::read_to_string(page).unwrap();
    let listed: Vec<&str> = page
        .lines()
        .take_while(|line| !line.starts_with("## "))
        .filter(|line| line.starts_with("| `opendepot_"))
        .collect();
    let rows: Vec<String> = TABLE.iter().map(row).collect();
    assert!(
        listed == rows,
        "the rows of host/METRICS.md should be:\n{}",
        rows.join("\n")
    );
}

#[test]
fn every_family_is_rendered_with_help_and_type() {
    let recorder = with_buckets(PrometheusBuilder::new())
        .unwrap()
        .build_recorder();
    let handle = recorder.handle();
    metrics::with_local_recorder(&recorder, || {
        describe();
        for family in TABLE {
            match family.kind {
                Kind::Counter => metrics::Counter::increment(
                    &with(family, |key, meta, to| to.register_counter(key, meta)),
                    1,
                ),
                Kind::Gauge => with(family, |key, meta, to| to.register_gauge(key, meta)).set(1.0),
                Kind::Histogram(_) => {
                    with(family, |key, meta, to| to.register_histogram(key, meta)).record(0.02)
                }
            }
        }
    });
    let text = handle.render();
    for family in TABLE {
        let (name, help) = (family.name, family.help);
        let kind = macro_of(family.kind);
        assert!(
            text.contains(&format!("# HELP {name} {help}\n# TYPE {name} {kind}\n")),
            "{name} in {text}"
        );
    }
}

/// Registers a family with the recorder of this thread.
fn with<T>(
    family: &Family,
    register: impl FnOnce(&metrics::Key, &metrics::Metadata<'_>, &dyn metrics::Recorder) -> T,
) -> T {
    let key = metrics::Key::from_static_name(family.name);
    let metadata = metrics::Metadata::new(module_path!(), metrics::Level::INFO, None);
    metrics::with_recorder(|recorder| register(&key, &metadata, recorder))
}

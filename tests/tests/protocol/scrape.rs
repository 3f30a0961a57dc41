//! A scrape of `/metrics`, taken apart.

use opendepot_tests::Registry;
use std::collections::{BTreeMap, BTreeSet};

/// One line of the text format.
#[derive(Debug)]
pub(crate) struct Sample {
    pub(crate) name: String,
    pub(crate) labels: BTreeMap<String, String>,
    value: f64,
}

/// One scrape, taken apart.
pub(crate) struct Scrape {
    pub(crate) text: String,
    pub(crate) helped: BTreeSet<String>,
    pub(crate) types: BTreeMap<String, String>,
    pub(crate) samples: Vec<Sample>,
}

impl Scrape {
    pub(crate) async fn of(registry: &Registry) -> Self {
        let url = format!("http://{}/metrics", registry.setup().admin_address());
        let answer = registry.http().get(url).send().await.unwrap();
        assert_eq!(answer.status(), 200);
        let content_type = answer.headers()["content-type"].to_str().unwrap();
        assert!(
            content_type.starts_with("text/plain; version=0.0.4"),
            "{content_type}"
        );
        let text = answer.text().await.unwrap();
        let (mut helped, mut types) = (BTreeSet::new(), BTreeMap::new());
        let mut samples = Vec::new();
        for line in text.lines().filter(|line| !line.is_empty()) {
            if let Some(rest) = line.strip_prefix("# HELP ") {
                let (name, help) = rest.split_once(' ').unwrap_or((rest, ""));
                assert!(!help.is_empty(), "{line}");
                assert!(helped.insert(name.to_owned()), "helped twice: {line}");
            } else if let Some(rest) = line.strip_prefix("# TYPE ") {
                let (name, kind) = rest.split_once(' ').unwrap();
                let before = types.insert(name.to_owned(), kind.to_owned());
                assert!(before.is_none(), "typed twice: {line}");
            } else {
                samples.push(sample(line));
            }
        }
        Self {
            text,
            helped,
            types,
            samples,
        }
    }

    /// The family of a sample: of a histogram's parts, the histogram.
    pub(crate) fn family(&self, name: &str) -> String {
        let of_histogram = ["_bucket", "_sum", "_count"].iter().find_map(|suffix| {
            let base = name.strip_suffix(suffix)?;
            (self.types.get(base)? == "histogram").then(|| base.to_owned())
        });
        of_histogram.unwrap_or_else(|| name.to_owned())
    }

    /// The sum of the samples of that name that have all these labels.
    pub(crate) fn sum(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        let has = |sample: &&Sample| {
            let mut wanted = labels.iter();
            wanted.all(|(key, value)| sample.labels.get(*key).is_some_and(|is| is == value))
        };
        let named = self.samples.iter().filter(|sample| sample.name == name);
        named.filter(has).map(|sample| sample.value).sum()
    }
}

fn sample(line: &str) -> Sample {
    let (series, value) = line.rsplit_once(' ').unwrap();
    let (name, rest) = series.split_once('{').unwrap_or((series, "}"));
    let mut labels = BTreeMap::new();
    // No value of ours holds a quote.
    for pair in rest
        .trim_end_matches('}')
        .split("\",")
        .filter(|pair| !pair.is_empty())
    {
        let (key, value) = pair.split_once("=\"").unwrap_or_else(|| panic!("{line}"));
        labels.insert(key.to_owned(), value.trim_end_matches('"').to_owned());
    }
    Sample {
        name: name.to_owned(),
        labels,
        value: value.parse().unwrap_or_else(|_| panic!("{line}")),
    }
}

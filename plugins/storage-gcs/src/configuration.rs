//! The operator's settings and the resource's block, which comes over them.

use crate::bucket;
use opendepot_plugin_sdk::settings::{Object, shown};
use opendepot_plugin_sdk::storage::{Configuration, Error};
use opendepot_plugin_sdk::{Problem, key};

const NO_BUCKET: &str = "no bucket is named: neither by `bucket` of the resource's block nor by \
                         `bucket` of the operator's settings";

/// Every class can be read at once, ARCHIVE too.
const CLASSES: [(&str, &str); 4] = [
    ("STANDARD", "STANDARD"),
    ("NEARLINE", "NEARLINE"),
    ("COLDLINE", "COLDLINE"),
    ("ARCHIVE", "ARCHIVE"),
];

/// What both documents come to.
#[derive(Debug)]
pub(crate) struct Settings {
    bucket: Option<String>,
    /// The folder of new objects, as segments.
    pub(crate) folder: Vec<String>,
    /// The class of new objects; absent: the bucket's.
    pub(crate) storage_class: Option<&'static str>,
}

impl Settings {
    /// Problems of both documents are reported together.
    pub(crate) fn read(configuration: &Configuration) -> Result<Self, Error> {
        configuration.read(|operator, backend| {
            let default = operator.and_then(|object| {
                object.deny_unknown(&["bucket", "prefix", "storageClass"]);
                bucket(object)
            });
            let named = backend.and_then(|object| {
                object.deny_unknown(&["bucket"]);
                bucket(object)
            });
            if let (Some(block), Some(operator)) = (backend, operator)
                && !block.has("bucket")
                && !operator.has("bucket")
            {
                block.problem("bucket", NO_BUCKET);
            }
            let folder = operator.and_then(|object| key::folder(object, "prefix"));
            let storage_class = operator.and_then(|object| object.choice("storageClass", &CLASSES));
            Some(Self {
                bucket: named.or(default).map(str::to_owned),
                folder: folder.unwrap_or_default(),
                storage_class,
            })
        })
    }

    /// The bucket of new objects.
    pub(crate) fn bucket(&self) -> Result<&str, Error> {
        let bucket = self.bucket.as_deref();
        bucket.ok_or_else(|| vec![Problem::new("operator.bucket", NO_BUCKET)].into())
    }
}

fn bucket<'a>(object: &Object<'a>) -> Option<&'a str> {
    let name = object.text("bucket")?;
    if let Err(rule) = bucket::check(name) {
        object.problem(
            "bucket",
            format!("`{}` is not the name of a bucket: {rule}", shown(name)),
        );
        return None;
    }
    Some(name)
}

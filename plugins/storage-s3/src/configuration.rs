//! The operator's settings and the resource's block, which comes over them.

use crate::bucket;
use opendepot_plugin_sdk::settings::{Object, shown};
use opendepot_plugin_sdk::storage::{Configuration, Error};
use opendepot_plugin_sdk::{Problem, key};

const NO_BUCKET: &str = "no bucket is named: neither by `bucket` of the resource's block nor by \
                         `bucket` of the operator's settings";

/// What the host takes as the value of an option that is a word, and of one that names a key.
const MAX_TOKEN: usize = 64;
const MAX_KMS_KEY: usize = 256;

/// Kinds of encryption at rest, as S3 names them.
const KMS: &str = "aws:kms";
const DOUBLE_KMS: &str = "aws:kms:dsse";
const ENCRYPTIONS: [(&str, &str); 3] = [("AES256", "AES256"), (KMS, KMS), (DOUBLE_KMS, DOUBLE_KMS)];

/// Classes whose objects must be restored before anybody can read them.
const SLOW_CLASSES: [&str; 2] = ["GLACIER", "DEEP_ARCHIVE"];

/// What both documents come to.
#[derive(Debug)]
pub(crate) struct Settings {
    place: Place,
    /// Options of the client that a put has, by their names in the host's list.
    pub(crate) write_options: Vec<(&'static str, String)>,
}

/// Where new objects go, as far as one document says it.
#[derive(Debug, Default)]
struct Place {
    bucket: Option<String>,
    region: Option<String>,
    folder: Option<Vec<String>>,
}

impl Settings {
    /// Problems of both documents are reported together.
    pub(crate) fn read(configuration: &Configuration) -> Result<Self, Error> {
        configuration.read(|operator, backend| {
            let block = backend.map(|object| {
                object.deny_unknown(&["bucket", "region", "key"]);
                Place::read(object, "key")
            });
            let default = operator.map(|object| {
                object.deny_unknown(&[
                    "bucket",
                    "region",
                    "prefix",
                    "storageClass",
                    "serverSideEncryption",
                    "kmsKeyId",
                    "bucketKey",
                ]);
                if object.has("region") && !object.has("bucket") {
                    object.problem(
                        "region",
                        "is that of `bucket`, which is not set; for other buckets the grant of \
                         the store has one",
                    );
                }
                Place::read(object, "prefix")
            });
            if let (Some(block), Some(operator)) = (backend, operator)
                && !block.has("bucket")
                && !operator.has("bucket")
            {
                block.problem("bucket", NO_BUCKET);
            }
            Some(Self {
                place: block.unwrap_or_default().over(default.unwrap_or_default()),
                write_options: operator.map(write_options).unwrap_or_default(),
            })
        })
    }

    /// The bucket of new objects.
    pub(crate) fn bucket(&self) -> Result<&str, Error> {
        let bucket = self.place.bucket.as_deref();
        bucket.ok_or_else(|| vec![Problem::new("operator.bucket", NO_BUCKET)].into())
    }

    /// The region of a bucket, where it is known.
    pub(crate) fn region(&self, bucket: &str) -> Option<&str> {
        let region = self.place.region.as_deref();
        region.filter(|_| self.place.bucket.as_deref() == Some(bucket))
    }

    /// The folder of new objects, as segments.
    pub(crate) fn folder(&self) -> &[String] {
        self.place.folder.as_deref().unwrap_or_default()
    }
}

impl Place {
    fn read(object: &Object<'_>, folder: &str) -> Self {
        let bucket = object.text("bucket").filter(|name| {
            let checked = bucket::check(name);
            if let Err(rule) = checked {
                let message = format!("`{}` is not the name of a bucket: {rule}", shown(name));
                object.problem("bucket", message);
            }
            checked.is_ok()
        });
        Self {
            bucket: bucket.map(str::to_owned),
            region: token(object, "region").map(str::to_owned),
            folder: key::folder(object, folder),
        }
    }

    /// This, and what it does not say from `default`.
    fn over(self, default: Self) -> Self {
        // A region belongs to a bucket: the operator's says nothing about another one.
        let is_default = self.bucket.is_none() || self.bucket == default.bucket;
        Self {
            region: self.region.or(default.region.filter(|_| is_default)),
            bucket: self.bucket.or(default.bucket),
            folder: self.folder.or(default.folder),
        }
    }
}

fn write_options(object: &Object<'_>) -> Vec<(&'static str, String)> {
    let class = token(object, "storageClass").filter(|class| {
        let is_slow = SLOW_CLASSES.contains(class);
        if is_slow {
            let message = format!("`{class}` cannot be: its objects cannot be read at once");
            object.problem("storageClass", message);
        }
        !is_slow
    });
    let encryption = object.choice("serverSideEncryption", &ENCRYPTIONS);
    let kms_key = kms_key(object);
    if object.has("kmsKeyId") && !matches!(encryption, Some(KMS | DOUBLE_KMS)) {
        object.problem(
            "kmsKeyId",
            format!("needs `serverSideEncryption: {KMS}` or `{DOUBLE_KMS}`"),
        );
    }
    let bucket_key = object.flag("bucketKey");
    if object.has("bucketKey") && encryption != Some(KMS) {
        object.problem(
            "bucketKey",
            format!("needs `serverSideEncryption: {KMS}`; S3 has none for other kinds"),
        );
    }
    let options = [
        ("storage-class", class.map(str::to_owned)),
        ("server-side-encryption", encryption.map(str::to_owned)),
        ("sse-kms-key-id", kms_key.map(str::to_owned)),
        (
            "sse-bucket-key-enabled",
            bucket_key.map(|is_on| is_on.to_string()),
        ),
    ];
    options
        .into_iter()
        .filter_map(|(name, value)| Some((name, value?)))
        .collect()
}

const fn is_token(b: u8) -> bool {
    b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-')
}

/// A word as the host's options take it.
fn token<'a>(object: &Object<'a>, setting: &str) -> Option<&'a str> {
    let text = object.text(setting)?;
    if !(1..=MAX_TOKEN).contains(&text.len()) || !text.bytes().all(is_token) {
        object.problem(
            setting,
            format!("must be 1 to {MAX_TOKEN} letters, digits, `_` and `-`"),
        );
        return None;
    }
    Some(text)
}

/// The id, alias or ARN of a key, as the host's option takes it.
fn kms_key<'a>(object: &Object<'a>) -> Option<&'a str> {
    let text = object.text("kmsKeyId")?;
    let is_plain = |b: u8| is_token(b) || matches!(b, b':' | b'/');
    if !(1..=MAX_KMS_KEY).contains(&text.len()) || !text.bytes().all(is_plain) {
        object.problem(
            "kmsKeyId",
            format!(
                "must be the id, alias or ARN of a key: 1 to {MAX_KMS_KEY} letters, digits, `_`, \
                 `-`, `:` and `/`"
            ),
        );
        return None;
    }
    Some(text)
}

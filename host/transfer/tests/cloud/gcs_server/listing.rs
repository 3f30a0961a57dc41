//! Lists of objects and of uploads, as documents.

use super::bucket::Bucket;
use super::{BUCKET, Refusal, refuse};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use quick_xml::escape::escape;
use std::collections::BTreeSet;
use std::fmt::Write as _;

/// What a list is asked for.
pub(super) struct Listing<'a>(pub(super) &'a [(String, String)]);

/// A line of a list, in the order of keys.
enum Entry<'a> {
    Object(&'a str),
    Prefix(&'a str),
}

impl<'a> Listing<'a> {
    fn get(&self, name: &str) -> Option<&'a str> {
        let found = self.0.iter().find(|(other, _)| other == name);
        found.map(|(_, value)| value.as_str())
    }

    fn page(&self, name: &str, bucket: &Bucket) -> Result<usize, Refusal> {
        let asked = self.get(name).map(str::parse).transpose();
        let asked = asked.map_err(|_| refuse(400, "InvalidArgument", name))?;
        Ok(asked.unwrap_or(bucket.page).min(bucket.page))
    }

    /// One page of objects and, with a delimiter, of what they have in common.
    pub(super) fn objects(&self, bucket: &Bucket) -> Result<String, Refusal> {
        if self.get("list-type") != Some("2") {
            return Err(refuse(400, "InvalidArgument", "list-type"));
        }
        let page = self.page("max-keys", bucket)?;
        let prefix = self.get("prefix").unwrap_or_default();
        let after = match self.get("continuation-token") {
            Some(token) => BASE64_STANDARD
                .decode(token)
                .ok()
                .and_then(|token| String::from_utf8(token).ok())
                .ok_or_else(|| refuse(400, "InvalidArgument", "continuation-token"))?,
            None => self.get("start-after").unwrap_or_default().to_owned(),
        };
        let delimiter = self.get("delimiter").filter(|text| !text.is_empty());
        let mut seen = BTreeSet::new();
        let entries = bucket.objects.keys().filter_map(|key| {
            let rest = key.strip_prefix(prefix)?;
            let common = delimiter.and_then(|text| Some((rest.find(text)?, text.len())));
            let entry = match common {
                Some((at, len)) => Entry::Prefix(&key[..prefix.len() + at + len]),
                None => Entry::Object(key),
            };
            let (Entry::Object(name) | Entry::Prefix(name)) = entry;
            (name > after.as_str() && seen.insert(name)).then_some(entry)
        });
        let mut entries = entries.peekable();
        let (mut lines, mut count, mut last) = (String::new(), 0, "");
        for entry in entries.by_ref().take(page) {
            count += 1;
            let name = match entry {
                Entry::Prefix(name) => {
                    let name_text = escape(name);
                    let _ = write!(
                        lines,
                        "<CommonPrefixes><Prefix>{name_text}</Prefix></CommonPrefixes>"
                    );
                    name
                }
                Entry::Object(name) => {
                    let object = bucket.get(name)?;
                    let _ = write!(
                        lines,
                        "<Contents><Key>{}</Key><Generation>{}</Generation>\
                         <MetaGeneration>{}</MetaGeneration><LastModified>{:.3}</LastModified>\
                         <ETag>{}</ETag><Size>{}</Size></Contents>",
                        escape(name),
                        object.generation,
                        object.metageneration,
                        object.modified,
                        escape(&object.etag),
                        object.content.len(),
                    );
                    name
                }
            };
            last = name;
        }
        let is_truncated = count > 0 && entries.peek().is_some();
        let next = match is_truncated {
            true => format!(
                "<NextContinuationToken>{}</NextContinuationToken>",
                BASE64_STANDARD.encode(last)
            ),
            false => String::new(),
        };
        Ok(format!(
            "<ListBucketResult xmlns='http://doc.s3.amazonaws.com/2006-03-01'>\
             <Name>{BUCKET}</Name><Prefix>{}</Prefix><KeyCount>{count}</KeyCount>\
             <IsTruncated>{is_truncated}</IsTruncated>{next}{lines}</ListBucketResult>",
            escape(prefix),
        ))
    }

    /// One page of uploads.
    pub(super) fn uploads(&self, bucket: &Bucket) -> Result<String, Refusal> {
        let page = self.page("max-uploads", bucket)?;
        let prefix = self.get("prefix").unwrap_or_default();
        let after = self.get("key-marker").unwrap_or_default();
        let mut uploads: Vec<_> = bucket
            .uploads
            .iter()
            .filter(|upload| upload.key.starts_with(prefix) && upload.key.as_str() > after)
            .collect();
        uploads.sort_by_key(|upload| (&upload.key, &upload.id));
        let is_truncated = uploads.len() > page;
        uploads.truncate(page);
        let mut lines = String::new();
        for upload in &uploads {
            let _ = write!(
                lines,
                "<Upload><Key>{}</Key><UploadId>{}</UploadId><StorageClass>STANDARD</StorageClass>\
                 <Initiated>{:.3}</Initiated></Upload>",
                escape(&upload.key),
                escape(&upload.id),
                upload.begun,
            );
        }
        let next = match (is_truncated, uploads.last()) {
            (true, Some(last)) => format!(
                "<NextKeyMarker>{}</NextKeyMarker><NextUploadIdMarker>{}</NextUploadIdMarker>",
                escape(&last.key),
                escape(&last.id)
            ),
            _ => String::new(),
        };
        Ok(format!(
            "<ListMultipartUploadsResult xmlns='http://s3.amazonaws.com/doc/2006-03-01/'>\
             <Bucket>{BUCKET}</Bucket><KeyMarker>{}</KeyMarker><UploadIdMarker/>{next}\
             <MaxUploads>{page}</MaxUploads><IsTruncated>{is_truncated}</IsTruncated>{lines}\
             </ListMultipartUploadsResult>",
            escape(after),
        ))
    }
}

//! Uploads in parts.

use super::bucket::{Bucket, Object, Upload, tag};
use super::{Refusal, refuse};
use bytes::{Bytes, BytesMut};
use jiff::Timestamp;
use serde::Deserialize;

/// Every part but the last has at least this.
const MIN_PART_BYTES: usize = 5 << 20;
const MAX_PARTS: u32 = 10_000;

/// The order in which parts are put together.
#[derive(Deserialize)]
struct Complete {
    #[serde(rename = "Part", default)]
    parts: Vec<Part>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Part {
    #[serde(rename = "PartNumber")]
    number: u32,
    #[serde(rename = "ETag")]
    tag: String,
}

impl Bucket {
    fn upload(&mut self, key: &str, id: &str) -> Result<&mut Upload, Refusal> {
        let mut uploads = self.uploads.iter_mut();
        uploads
            .find(|upload| upload.id == id && upload.key == key)
            .ok_or_else(|| refuse(404, "NoSuchUpload", id))
    }

    /// Takes in one part, in place of one with the same number, and tells its tag.
    pub(super) fn put_part(
        &mut self,
        key: &str,
        id: &str,
        number: &str,
        content: Bytes,
    ) -> Result<String, Refusal> {
        let upload = self.upload(key, id)?;
        let number = number
            .parse()
            .ok()
            .filter(|number| (1..=MAX_PARTS).contains(number))
            .ok_or_else(|| refuse(400, "InvalidArgument", "partNumber"))?;
        let tag = tag(&content);
        upload.parts.insert(number, (content, tag.clone()));
        Ok(tag)
    }

    /// Puts the parts together, over whatever has that key.
    pub(super) fn complete(
        &mut self,
        key: &str,
        id: &str,
        document: &[u8],
        now: Timestamp,
    ) -> Result<&Object, Refusal> {
        let upload = self.upload(key, id)?;
        let complete: Complete = quick_xml::de::from_reader(document).map_err(|error| {
            refuse(
                400,
                "MalformedCompleteMultipartUploadRequest",
                error.to_string(),
            )
        })?;
        if complete.parts.is_empty() {
            return Err(refuse(
                400,
                "MalformedCompleteMultipartUploadRequest",
                "no part",
            ));
        }
        if !complete.parts.is_sorted_by(|a, b| a.number < b.number) {
            return Err(refuse(400, "InvalidPartOrder", ""));
        }
        let last = complete.parts.len() - 1;
        let mut content = BytesMut::new();
        for (index, part) in complete.parts.iter().enumerate() {
            match upload.parts.get(&part.number) {
                Some((bytes, tag)) if *tag == part.tag => {
                    if index < last && bytes.len() < MIN_PART_BYTES {
                        return Err(refuse(400, "EntityTooSmall", part.number.to_string()));
                    }
                    content.extend_from_slice(bytes);
                }
                _ => return Err(refuse(400, "InvalidPart", part.number.to_string())),
            }
        }
        let metadata = upload.metadata.clone();
        self.uploads.retain(|upload| upload.id != id);
        let etag = self.tag_of_parts();
        let object = Object {
            etag,
            ..self.object(content.freeze(), metadata, now)
        };
        self.objects.insert(key.to_owned(), object);
        self.get(key)
    }

    /// Drops an upload with its parts.
    pub(super) fn abort(&mut self, key: &str, id: &str) -> Result<(), Refusal> {
        self.upload(key, id)?;
        self.uploads.retain(|upload| upload.id != id);
        Ok(())
    }
}

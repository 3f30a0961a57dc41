//! Requests and answers.

use super::bucket::{Bucket, Metadata, Object};
use super::fault::whole;
use super::listing::Listing;
use super::{BUCKET, Refusal, State, condition, door, refuse};
use bytes::Bytes;
use http::header::{
    CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG, HeaderMap, LAST_MODIFIED, RANGE,
};
use http::request::Parts;
use http::{Method, Request, Response};
use http_body_util::BodyExt as _;
use http_body_util::combinators::BoxBody;
use hyper::body::Incoming;
use jiff::Timestamp;
use percent_encoding::percent_decode_str;
use quick_xml::escape::escape;
use std::io;
use std::ops::Range;

pub(super) type Body = BoxBody<Bytes, io::Error>;

/// What a request wants.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Get,
    Head,
    Put,
    Copy,
    Delete,
    Begin,
    Part,
    Complete,
    Abort,
    List,
    ListUploads,
    Unknown,
}

impl Kind {
    fn of(parts: &Parts, query: &[(String, String)], key: &str) -> Self {
        let has = |name: &str| query.iter().any(|(other, _)| other == name);
        let is_copy = parts.headers.contains_key("x-goog-copy-source");
        match (&parts.method, key.is_empty()) {
            (&Method::GET, true) if has("uploads") => Self::ListUploads,
            (&Method::GET, true) => Self::List,
            (&Method::GET, false) => Self::Get,
            (&Method::HEAD, false) => Self::Head,
            (&Method::PUT, false) if has("uploadId") => Self::Part,
            (&Method::PUT, false) if is_copy => Self::Copy,
            (&Method::PUT, false) => Self::Put,
            (&Method::POST, false) if has("uploads") => Self::Begin,
            (&Method::POST, false) if has("uploadId") => Self::Complete,
            (&Method::DELETE, false) if has("uploadId") => Self::Abort,
            (&Method::DELETE, false) => Self::Delete,
            _ => Self::Unknown,
        }
    }

    /// As it is counted.
    const fn label(self) -> &'static str {
        match self {
            Self::Get => "GET object",
            Self::Head => "HEAD object",
            Self::Put => "PUT object",
            Self::Copy => "PUT copy",
            Self::Delete => "DELETE object",
            Self::Begin => "POST uploads",
            Self::Part => "PUT part",
            Self::Complete => "POST upload",
            Self::Abort => "DELETE upload",
            Self::List => "GET objects",
            Self::ListUploads => "GET uploads",
            Self::Unknown => "unknown",
        }
    }

    /// Parameters that it may have, those of signatures apart.
    const fn parameters(self) -> &'static [&'static str] {
        match self {
            Self::Begin => &["uploads"],
            Self::Part => &["partNumber", "uploadId"],
            Self::Complete | Self::Abort => &["uploadId"],
            Self::List => &[
                "continuation-token",
                "delimiter",
                "list-type",
                "max-keys",
                "prefix",
                "start-after",
            ],
            Self::ListUploads => &["key-marker", "max-uploads", "prefix", "uploads"],
            _ => &[],
        }
    }
}

/// Answers one request.
pub(super) async fn answer(state: &State, request: Request<Incoming>) -> Response<Body> {
    let (parts, body) = request.into_parts();
    let query = door::query(&parts);
    let (bucket, key) = resource(&parts);
    let kind = Kind::of(&parts, &query, &key);
    *state.counts.lock().entry(kind.label()).or_default() += 1;
    state.faults.silence().await;
    let Ok(body) = body.collect().await else {
        return refused(refuse(400, "IncompleteBody", ""));
    };
    if state.faults.take_unavailable() {
        return refused(refuse(503, "ServiceUnavailable", ""));
    }
    let admitted = state.door.admit(&parts);
    let request = Asked {
        kind,
        parts: &parts,
        query: &query,
        key: &key,
        body: body.to_bytes(),
    };
    let performed = admitted.and_then(|()| {
        if bucket != BUCKET {
            return Err(refuse(404, "NoSuchBucket", bucket));
        }
        request.perform(state)
    });
    let is_lost = performed.is_ok() && state.faults.take_lost(kind.label());
    match performed {
        Ok(_) if is_lost => refused(refuse(503, "ServiceUnavailable", "")),
        Ok(answer) => answer,
        Err(refusal) => refused(refusal),
    }
}

/// The bucket and the key in a path.
fn resource(parts: &Parts) -> (String, String) {
    let path = parts.uri.path().trim_start_matches('/');
    let (bucket, key) = path.split_once('/').unwrap_or((path, ""));
    let decode = |text: &str| percent_decode_str(text).decode_utf8_lossy().into_owned();
    (decode(bucket), decode(key))
}

struct Asked<'a> {
    kind: Kind,
    parts: &'a Parts,
    query: &'a [(String, String)],
    key: &'a str,
    body: Bytes,
}

impl Asked<'_> {
    fn perform(&self, state: &State) -> Result<Response<Body>, Refusal> {
        self.check()?;
        let (key, now) = (self.key, state.door.now());
        let headers = &self.parts.headers;
        let none = HeaderMap::new();
        let conditions = match state.faults.conditions_count() {
            true => headers,
            false => &none,
        };
        let mut bucket = state.bucket.lock();
        Ok(match self.kind {
            Kind::Get | Kind::Head => {
                let object = bucket.get(key)?;
                condition::of_read(conditions, object)?;
                self.read(state, object)?
            }
            Kind::Put => {
                let metadata = Metadata::of(headers)?;
                written(bucket.put(key, self.body.clone(), metadata, conditions, now)?)
            }
            Kind::Copy => self.copy(&mut bucket, conditions, now)?,
            Kind::Delete => {
                bucket.delete(key, conditions)?;
                empty(204)
            }
            Kind::Begin => {
                let id = bucket.begin(key, Metadata::of(headers)?, now);
                document(&format!(
                    "<InitiateMultipartUploadResult xmlns='http://s3.amazonaws.com/doc/2006-03-01/'>\
                     <Bucket>{BUCKET}</Bucket><Key>{}</Key><UploadId>{}</UploadId>\
                     </InitiateMultipartUploadResult>",
                    escape(key),
                    escape(&id)
                ))
            }
            Kind::Part => {
                let (number, id) = (self.get("partNumber"), self.get("uploadId"));
                let tag = bucket.put_part(key, id, number, self.body.clone())?;
                let mut answer = empty(200);
                answer.headers_mut().insert(ETAG, tag.parse().unwrap());
                answer
            }
            Kind::Complete => {
                let object = bucket.complete(key, self.get("uploadId"), &self.body, now)?;
                let mut answer = document(&format!(
                    "<CompleteMultipartUploadResult xmlns='http://s3.amazonaws.com/doc/2006-03-01/'>\
                     <Bucket>{BUCKET}</Bucket><Key>{}</Key><ETag>{}</ETag>\
                     </CompleteMultipartUploadResult>",
                    escape(key),
                    escape(&object.etag)
                ));
                describe(object, answer.headers_mut());
                answer
            }
            Kind::Abort => {
                bucket.abort(key, self.get("uploadId"))?;
                empty(204)
            }
            Kind::List => document(&Listing(self.query).objects(&bucket)?),
            Kind::ListUploads => document(&Listing(self.query).uploads(&bucket)?),
            Kind::Unknown => return Err(refuse(405, "MethodNotAllowed", "")),
        })
    }

    /// Refuses what our client has no business to send.
    fn check(&self) -> Result<(), Refusal> {
        let invalid = |what: &str| Err(refuse(400, "InvalidArgument", what));
        for (name, _) in self.query {
            let is_signature = name.to_ascii_lowercase().starts_with("x-goog-");
            if !is_signature && !self.kind.parameters().contains(&name.as_str()) {
                return invalid(name);
            }
        }
        if self.key.len() > 1_024 || self.key.contains(['\r', '\n', char::REPLACEMENT_CHARACTER]) {
            return invalid("object name");
        }
        let length = self.parts.headers.get(CONTENT_LENGTH);
        if matches!(self.parts.method, Method::PUT | Method::POST) && length.is_none() {
            return Err(refuse(411, "MissingContentLength", ""));
        }
        let has_body = matches!(self.kind, Kind::Put | Kind::Part | Kind::Complete);
        if !has_body && !self.body.is_empty() {
            return invalid("a body where there is none");
        }
        Ok(())
    }

    fn get(&self, name: &str) -> &str {
        let found = self.query.iter().find(|(other, _)| other == name);
        found.map_or("", |(_, value)| value)
    }

    fn read(&self, state: &State, object: &Object) -> Result<Response<Body>, Refusal> {
        let range = self.parts.headers.get(RANGE);
        let range = range.map(|value| value.to_str().unwrap_or_default());
        let size = object.content.len();
        let (status, bytes) = match range {
            Some(range) => (206, part(range, size)?),
            None => (200, 0..size),
        };
        let body = match self.kind {
            Kind::Head => whole(Bytes::new()),
            _ => state.faults.body(object.content.slice(bytes.clone())),
        };
        let mut answer = Response::builder().status(status);
        if status == 206 {
            let said = format!("bytes {}-{}/{size}", bytes.start, bytes.end - 1);
            answer = answer.header(CONTENT_RANGE, said);
        }
        let mut answer = answer
            .header(CONTENT_LENGTH, bytes.len())
            .header("accept-ranges", "bytes")
            .header("x-goog-stored-content-length", size)
            .header("x-goog-stored-content-encoding", "identity")
            .body(body)
            .unwrap();
        describe(object, answer.headers_mut());
        answer.headers_mut().extend(object.headers.clone());
        Ok(answer)
    }

    fn copy(
        &self,
        bucket: &mut Bucket,
        conditions: &HeaderMap,
        now: Timestamp,
    ) -> Result<Response<Body>, Refusal> {
        let headers = &self.parts.headers;
        let text = |name: &str| {
            headers
                .get(name)
                .map(|value| value.to_str().unwrap_or_default())
        };
        if text("x-goog-metadata-directive").is_some_and(|directive| directive != "COPY") {
            return Err(refuse(400, "InvalidArgument", "x-goog-metadata-directive"));
        }
        let source = percent_decode_str(text("x-goog-copy-source").unwrap_or_default());
        let source = source.decode_utf8_lossy();
        let source = source.strip_prefix('/').unwrap_or(&source);
        let Some((BUCKET, source)) = source.split_once('/') else {
            return Err(refuse(404, "NoSuchBucket", source));
        };
        if source == self.key {
            return Err(refuse(400, "InvalidArgument", "onto itself"));
        }
        let class = text("x-goog-storage-class");
        let object = bucket.copy(source, self.key, class, conditions, now)?;
        let mut answer = document(&format!(
            "<CopyObjectResult><LastModified>{:.3}</LastModified><ETag>{}</ETag></CopyObjectResult>",
            object.modified,
            escape(&object.etag)
        ));
        describe(object, answer.headers_mut());
        Ok(answer)
    }
}

/// The one range of a header.
fn part(header: &str, size: usize) -> Result<Range<usize>, Refusal> {
    let unsatisfiable = || refuse(416, "InvalidRange", header);
    let range = header
        .strip_prefix("bytes=")
        .and_then(|range| range.split_once('-'));
    let (start, end) = range.ok_or_else(unsatisfiable)?;
    let number = |text: &str| text.parse::<usize>().map_err(|_| unsatisfiable());
    let bytes = match (start, end) {
        ("", last) => size.saturating_sub(number(last)?)..size,
        (start, "") => number(start)?..size,
        (start, end) => number(start)?..number(end)?.saturating_add(1).min(size),
    };
    match bytes.is_empty() {
        true => Err(unsatisfiable()),
        false => Ok(bytes),
    }
}

fn written(object: &Object) -> Response<Body> {
    let mut answer = empty(200);
    describe(object, answer.headers_mut());
    answer
}

/// The headers that tell of an object.
fn describe(object: &Object, headers: &mut HeaderMap) {
    let modified = httpdate::fmt_http_date(object.modified.into());
    headers.insert(ETAG, object.etag.parse().unwrap());
    headers.insert(LAST_MODIFIED, modified.parse().unwrap());
    headers.insert("x-goog-generation", object.generation.into());
    headers.insert("x-goog-metageneration", object.metageneration.into());
    headers.insert("x-goog-storage-class", object.class.parse().unwrap());
}

fn empty(status: u16) -> Response<Body> {
    let answer = Response::builder().status(status);
    answer.body(whole(Bytes::new())).unwrap()
}

fn document(text: &str) -> Response<Body> {
    let text = format!("<?xml version='1.0' encoding='UTF-8'?>{text}");
    Response::builder()
        .header(CONTENT_TYPE, "application/xml; charset=UTF-8")
        .body(whole(text.into()))
        .unwrap()
}

fn refused(refusal: Refusal) -> Response<Body> {
    let mut answer = document(&format!(
        "<Error><Code>{}</Code><Message>As documented.</Message><Details>{}</Details></Error>",
        refusal.code,
        escape(&refusal.details)
    ));
    *answer.status_mut() = refusal.status.try_into().unwrap();
    if refusal.status == 304 {
        *answer.body_mut() = whole(Bytes::new());
    }
    answer
}

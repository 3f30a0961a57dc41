//! A server in this process that can be told to misbehave.

use bytes::Bytes;
use http::{HeaderMap, Request as HttpRequest, Response};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt as _, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use opendepot_domain::placement::SignedRequest;
use opendepot_domain::{Sha256, Transfer};
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::net::TcpListener;

pub(super) type Reply = Response<BoxBody<Bytes, io::Error>>;
pub(super) type Seen = (String, String, HeaderMap);
type Twist = Box<dyn Fn(&Seen) -> Option<Reply> + Send + Sync>;

#[derive(Default)]
pub(super) struct Site {
    pub(super) objects: BTreeMap<String, Vec<u8>>,
    pub(super) seen: Vec<Seen>,
    /// Answers in place of the server when it has something to say.
    twist: Option<Twist>,
    /// No `content-length` in answers.
    pub(super) is_chunked: bool,
    pub(super) has_tags: bool,
}

/// PUT, GET with ranges, HEAD and DELETE over plain HTTP.
pub(super) struct Server {
    pub(super) address: SocketAddr,
    pub(super) site: Arc<Mutex<Site>>,
    accepting: tokio::task::JoinHandle<()>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

pub(super) fn reply(status: u16, headers: &[(&str, &str)], body: impl Into<Bytes>) -> Reply {
    let mut builder = Response::builder().status(status);
    for (name, value) in headers {
        builder = builder.header(*name, *value);
    }
    let body = Full::new(body.into()).map_err(|never| match never {});
    builder.body(BoxBody::new(body)).unwrap()
}

/// Frames without an announced length; then an error, when there is one.
pub(super) fn chunked(frames: Vec<Bytes>, end: Option<io::Error>) -> Reply {
    let frames = frames.into_iter().map(|bytes| Ok(Frame::data(bytes)));
    let frames = frames.chain(end.map(Err));
    let body = StreamBody::new(futures::stream::iter(frames.collect::<Vec<_>>()));
    Response::new(BoxBody::new(body))
}

impl Server {
    pub(super) async fn start() -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let site = Arc::new(Mutex::new(Site {
            has_tags: true,
            ..Site::default()
        }));
        let shared = Arc::clone(&site);
        let accepting = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let site = Arc::clone(&shared);
                let service = service_fn(move |request| serve(Arc::clone(&site), request));
                tokio::spawn(async move {
                    // Errors of a connection are what the tests provoke.
                    let _ = hyper::server::conn::http1::Builder::new()
                        .serve_connection(TokioIo::new(stream), service)
                        .await;
                });
            }
        });
        Self {
            address,
            site,
            accepting,
        }
    }

    pub(super) fn twist(&self, twist: impl Fn(&Seen) -> Option<Reply> + Send + Sync + 'static) {
        self.site.lock().twist = Some(Box::new(twist));
    }

    pub(super) fn plan(&self, method: &str, path: &str) -> Transfer {
        Transfer::Signed(SignedRequest {
            plugin: "web".parse().unwrap(),
            method: method.to_owned(),
            url: format!("http://{}{path}", self.address),
            headers: Vec::new(),
            expires_at: u64::MAX,
            success: match method {
                "GET" | "HEAD" => vec![200],
                _ => vec![200, 201, 204],
            },
            exists: vec![412],
            missing: vec![404],
        })
    }

    pub(super) fn count(&self, method: &str) -> usize {
        let site = self.site.lock();
        site.seen.iter().filter(|(seen, ..)| seen == method).count()
    }
}

async fn serve(
    site: Arc<Mutex<Site>>,
    request: HttpRequest<Incoming>,
) -> Result<Reply, Infallible> {
    let seen = (
        request.method().to_string(),
        request.uri().to_string(),
        request.headers().clone(),
    );
    let twisted = {
        let mut site = site.lock();
        site.seen.push(seen.clone());
        site.twist.as_ref().and_then(|twist| twist(&seen))
    };
    if let Some(reply) = twisted {
        return Ok(reply);
    }
    let (method, path, headers) = seen;
    let Ok(body) = request.into_body().collect().await else {
        return Ok(reply(400, &[], ""));
    };
    let mut site = site.lock();
    Ok(match method.as_str() {
        "PUT" if headers.contains_key("if-none-match") && site.objects.contains_key(&path) => {
            reply(412, &[], "")
        }
        "PUT" => {
            site.objects.insert(path, body.to_bytes().to_vec());
            reply(201, &[], "")
        }
        "DELETE" => match site.objects.remove(&path) {
            Some(_) => reply(204, &[], ""),
            None => reply(404, &[], ""),
        },
        _ => match site.objects.get(&path) {
            None => reply(404, &[], ""),
            Some(bytes) if site.is_chunked => chunked(
                bytes.chunks(50_000).map(Bytes::copy_from_slice).collect(),
                None,
            ),
            Some(bytes) => {
                let tag = format!("\"{}\"", Sha256::of(bytes));
                let len = bytes.len();
                let mut out = match range_of(&headers, &tag) {
                    Some((start, end)) => {
                        let range = format!("bytes {start}-{end}/{len}");
                        let part = bytes[start..=end].to_vec();
                        reply(206, &[("content-range", &range)], part)
                    }
                    None => reply(200, &[], bytes.clone()),
                };
                if site.has_tags {
                    out.headers_mut().insert("etag", tag.parse().unwrap());
                }
                out
            }
        },
    })
}

fn range_of(headers: &HeaderMap, tag: &str) -> Option<(usize, usize)> {
    let range = headers.get("range")?.to_str().unwrap();
    assert!(headers.contains_key("if-range"), "a part under no tag");
    if headers["if-range"] != tag {
        return None;
    }
    let (start, end) = range.strip_prefix("bytes=")?.split_once('-')?;
    Some((start.parse().unwrap(), end.parse().unwrap()))
}

//! A gateway that takes nothing but URLs with a valid MAC, as a signing gateway before a bucket.

use bytes::Bytes;
use hmac::{Hmac, Mac as _};
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use std::collections::BTreeMap;
use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::{SystemTime, UNIX_EPOCH};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

#[derive(Default)]
struct Site {
    objects: BTreeMap<String, Vec<u8>>,
    /// Method, path and query of every request.
    seen: Vec<(String, String)>,
    num_refused: usize,
    /// Every GET is answered with a redirect to there.
    redirect: Option<String>,
}

/// A running gateway; it stops when dropped.
pub(crate) struct Gateway {
    address: SocketAddr,
    site: Arc<Mutex<Site>>,
    accepting: JoinHandle<()>,
}

impl Drop for Gateway {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

impl Gateway {
    /// Starts one whose key is `key`.
    pub(crate) async fn start(key: &'static str) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let site = Arc::new(Mutex::new(Site::default()));
        let shared = Arc::clone(&site);
        let accepting = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let site = Arc::clone(&shared);
                let service = service_fn(move |request| serve(Arc::clone(&site), key, request));
                tokio::spawn(async move {
                    // Whoever goes away early is not this server's affair.
                    let _ended = hyper::server::conn::http1::Builder::new()
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

    /// `127.0.0.1:port`.
    pub(crate) fn host(&self) -> String {
        self.address.to_string()
    }

    /// The stored objects.
    pub(crate) fn objects(&self) -> BTreeMap<String, Vec<u8>> {
        self.site.lock().unwrap().objects.clone()
    }

    /// Method and target of every request so far.
    pub(crate) fn seen(&self) -> Vec<(String, String)> {
        self.site.lock().unwrap().seen.clone()
    }

    /// Requests without a valid MAC.
    pub(crate) fn num_refused(&self) -> usize {
        self.site.lock().unwrap().num_refused
    }

    /// Answers every GET with a redirect.
    pub(crate) fn redirect(&self, to: Option<&str>) {
        self.site.lock().unwrap().redirect = to.map(str::to_owned);
    }
}

async fn serve(
    site: Arc<Mutex<Site>>,
    key: &str,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let answer = |status: u16, body: Vec<u8>| {
        Ok(Response::builder()
            .status(status)
            .body(Full::new(Bytes::from(body)))
            .unwrap())
    };
    let (method, uri) = (request.method().to_string(), request.uri().clone());
    let has_condition = request.headers().contains_key("if-none-match");
    {
        let mut site = site.lock().unwrap();
        site.seen.push((method.clone(), uri.to_string()));
        if !is_signed(key, &method, &uri) {
            site.num_refused += 1;
            return answer(403, b"no".to_vec());
        }
    }
    let Ok(body) = request.into_body().collect().await else {
        return answer(400, Vec::new());
    };
    let path = uri.path().to_owned();
    let mut site = site.lock().unwrap();
    match method.as_str() {
        "PUT" if has_condition && site.objects.contains_key(&path) => answer(412, Vec::new()),
        "PUT" => {
            site.objects.insert(path, body.to_bytes().to_vec());
            answer(201, Vec::new())
        }
        "DELETE" => {
            let was_there = site.objects.remove(&path).is_some();
            answer(if was_there { 204 } else { 404 }, Vec::new())
        }
        _ => {
            if let ("GET", Some(to)) = (method.as_str(), &site.redirect) {
                let redirect = Response::builder().status(302).header("location", to);
                return Ok(redirect.body(Full::default()).unwrap());
            }
            match site.objects.get(&path) {
                Some(bytes) => answer(200, bytes.clone()),
                None => answer(404, Vec::new()),
            }
        }
    }
}

/// Whether the MAC is over method, path and a time to come.
fn is_signed(key: &str, method: &str, uri: &http::Uri) -> bool {
    let Some((expires, signature)) = uri
        .query()
        .and_then(|query| query.strip_prefix("expires="))
        .and_then(|rest| rest.split_once("&signature="))
    else {
        return false;
    };
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap()
        .as_secs();
    if !expires
        .parse()
        .is_ok_and(|at: u64| now < at && at <= now + 3600)
    {
        return false;
    }
    let message = format!("{method}\n{}\n{expires}", uri.path());
    let mut mac = Hmac::<sha2::Sha256>::new_from_slice(key.as_bytes()).unwrap();
    mac.update(message.as_bytes());
    hex::decode(signature).is_ok_and(|given| mac.verify_slice(&given).is_ok())
}

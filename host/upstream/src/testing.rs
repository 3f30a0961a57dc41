//! A server on loopback that answers what a test tells it, and remembers what it was asked.

use opendepot_transfer::{EgressConfig, FetchLimits, Fetcher};
use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use url::Url;

/// One answer.
#[derive(Clone, Default)]
pub(crate) struct Page {
    status: u16,
    headers: Vec<(&'static str, String)>,
    body: Vec<u8>,
}

impl Page {
    pub(crate) fn ok(body: impl Into<Vec<u8>>) -> Self {
        Self::status(200, body)
    }

    pub(crate) fn status(status: u16, body: impl Into<Vec<u8>>) -> Self {
        Self {
            status,
            body: body.into(),
            headers: Vec::new(),
        }
    }

    pub(crate) fn json(value: &serde_json::Value) -> Self {
        Self::ok(value.to_string()).header("content-type", "application/json")
    }

    pub(crate) fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }
}

/// What a client asked.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) path: String,
    pub(crate) authorization: Option<String>,
}

pub(crate) struct Server {
    pub(crate) url: Url,
    pages: Arc<Mutex<HashMap<String, Page>>>,
    log: Arc<Mutex<Vec<Seen>>>,
    task: JoinHandle<()>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Server {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = Url::parse(&format!("http://{}/", listener.local_addr().unwrap())).unwrap();
        let pages: Arc<Mutex<HashMap<String, Page>>> = Arc::default();
        let log: Arc<Mutex<Vec<Seen>>> = Arc::default();
        let (answers, seen) = (Arc::clone(&pages), Arc::clone(&log));
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(answer(stream, Arc::clone(&answers), Arc::clone(&seen)));
            }
        });
        Self {
            url,
            pages,
            log,
            task,
        }
    }

    /// What a path, query included, is answered with.
    pub(crate) fn page(&self, path: &str, page: Page) -> &Self {
        self.pages.lock().unwrap().insert(path.to_owned(), page);
        self
    }

    pub(crate) fn at(&self, path: &str) -> String {
        self.url.join(path).unwrap().to_string()
    }

    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.log.lock().unwrap().clone()
    }

    pub(crate) fn paths(&self) -> Vec<String> {
        self.seen().into_iter().map(|seen| seen.path).collect()
    }
}

async fn answer(
    mut stream: TcpStream,
    pages: Arc<Mutex<HashMap<String, Page>>>,
    log: Arc<Mutex<Vec<Seen>>>,
) {
    let mut request = Vec::new();
    while !request.windows(4).any(|window| window == b"\r\n\r\n") {
        let mut chunk = [0; 1024];
        match stream.read(&mut chunk).await {
            Ok(count) if count > 0 => request.extend_from_slice(&chunk[..count]),
            _ => return,
        }
    }
    let head = String::from_utf8(request).unwrap();
    let path = head.split(' ').nth(1).unwrap().to_owned();
    let authorization = head.lines().find_map(|line| {
        let (name, value) = line.split_once(": ")?;
        name.eq_ignore_ascii_case("authorization")
            .then(|| value.to_owned())
    });
    let page = pages.lock().unwrap().get(&path).cloned();
    log.lock().unwrap().push(Seen {
        path,
        authorization,
    });
    let page = page.unwrap_or_else(|| Page::status(404, "{\"message\":\"Not Found\"}"));
    let mut text = format!(
        "HTTP/1.1 {} X\r\ncontent-length: {}\r\nconnection: close\r\n",
        page.status,
        page.body.len()
    );
    for (name, value) in &page.headers {
        text.push_str(&format!("{name}: {value}\r\n"));
    }
    text.push_str("\r\n");
    let _ = stream.write_all(text.as_bytes()).await;
    let _ = stream.write_all(&page.body).await;
    let _ = stream.shutdown().await;
}

/// A fetcher that may reach these servers and nothing else.
pub(crate) fn fetcher(servers: &[&Server]) -> Fetcher {
    let config = EgressConfig {
        allow_http: vec!["127.0.0.1".to_owned()],
        ..EgressConfig::default()
    };
    let policy = servers
        .iter()
        .try_fold(config.policy().unwrap(), |policy, server| {
            policy.endpoint(&server.url)
        })
        .unwrap();
    Fetcher::new(policy, FetchLimits::default()).unwrap()
}

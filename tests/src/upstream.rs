//! A stand-in for the outside world: GitHub's documented REST API with its tag archives, and an
//! upstream provider registry with signed releases, over TLS with a CA of its own.
//!
//! Every answer is a canned one at a path, and every request is recorded, so that a test can
//! change one thing and can say what was asked and with which credentials.

mod archive;

pub use archive::{commit_of, git_archive};

use crate::{Release, sha256};
use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper_util::rt::{TokioExecutor, TokioIo};
use opendepot_signing::Signer;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::convert::Infallible;
use std::fmt::Write as _;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{SystemTime, UNIX_EPOCH};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

/// The files of a tag: path and content.
pub type Files<'a> = &'a [(&'a str, &'a [u8])];

/// An answer to a GET of one path.
#[derive(Clone, Debug)]
pub struct Canned {
    /// The status code.
    pub status: u16,
    /// Headers besides `Content-Length`.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Bytes,
}

impl Canned {
    /// 200 with JSON.
    pub fn json(value: &Value) -> Self {
        Self::bytes("application/json", value.to_string())
    }

    /// 200 with bytes of a media type.
    pub fn bytes(media_type: &str, body: impl Into<Bytes>) -> Self {
        Self {
            status: 200,
            headers: vec![("content-type".to_owned(), media_type.to_owned())],
            body: body.into(),
        }
    }

    /// An empty answer with one header, such as a redirect.
    pub fn header(status: u16, name: &str, value: &str) -> Self {
        Self {
            status,
            headers: vec![(name.to_owned(), value.to_owned())],
            body: Bytes::new(),
        }
    }
}

/// A request that came in.
#[derive(Clone, Debug)]
pub struct Seen {
    /// The method.
    pub method: Method,
    /// Path and query.
    pub target: String,
    /// The headers.
    pub headers: HeaderMap,
}

#[derive(Default)]
struct Site {
    answers: HashMap<String, Canned>,
    seen: Vec<Seen>,
}

/// A running stand-in; it stops when dropped.
pub struct Upstream {
    address: SocketAddr,
    dir: TempDir,
    site: Arc<Mutex<Site>>,
    signer: Signer,
    accepting: JoinHandle<()>,
}

impl Upstream {
    /// Starts an empty one on loopback.
    pub async fn start() -> Self {
        crate::install_crypto();
        let dir = tempfile::tempdir().unwrap();
        let acceptor = acceptor(&dir.path().join("ca.pem"));
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let site = Arc::new(Mutex::new(Site::default()));
        let accepting = tokio::spawn(accept(listener, acceptor, Arc::clone(&site)));
        let (signer, _private) =
            Signer::generate_ed25519("upstream <upstream@example.com>", now()).unwrap();
        Self {
            address,
            dir,
            site,
            signer,
            accepting,
        }
    }

    /// `https://127.0.0.1:port`.
    pub fn url(&self) -> String {
        format!("https://{}", self.address)
    }

    /// `127.0.0.1:port`.
    pub fn host(&self) -> String {
        self.address.to_string()
    }

    /// The CA's certificate.
    pub fn ca(&self) -> PathBuf {
        self.dir.path().join("ca.pem")
    }

    /// Sets the answer at a path; a query is not part of it.
    pub fn set(&self, path: &str, answer: Canned) {
        self.site
            .lock()
            .unwrap()
            .answers
            .insert(path.to_owned(), answer);
    }

    /// Takes an answer away, so that the path is 404 again.
    pub fn unset(&self, path: &str) {
        self.site.lock().unwrap().answers.remove(path);
    }

    /// Changes the JSON that a path answers.
    pub fn edit(&self, path: &str, change: impl FnOnce(&mut Value)) {
        let mut site = self.site.lock().unwrap();
        let canned = site
            .answers
            .get_mut(path)
            .unwrap_or_else(|| panic!("nothing at `{path}`"));
        let mut json = serde_json::from_slice(&canned.body).unwrap();
        change(&mut json);
        canned.body = json.to_string().into();
    }

    /// The requests so far.
    pub fn seen(&self) -> Vec<Seen> {
        self.site.lock().unwrap().seen.clone()
    }

    /// The configuration that sends an `opendepot` here for GitHub and for providers.
    pub fn config(&self) -> String {
        let (url, ca) = (self.url(), self.ca());
        format!(
            "sources:\n  github:\n    apiUrl: {url}\n  providerRegistry:\n    url: {url}\n\
             egress:\n  sources:\n    caFile: {}\n",
            ca.display()
        )
    }

    /// Publishes a repository whose tags have these files: the repository, each tag's ref and
    /// commit, and the redirect to its archive, as the REST API documents them.
    pub fn github(&self, owner: &str, repository: &str, id: u64, tags: &[(&str, Files<'_>)]) {
        let base = format!("/repos/{owner}/{repository}");
        self.set(
            &base,
            Canned::json(&json!({
                "id": id, "name": repository, "full_name": format!("{owner}/{repository}"),
                "private": false, "default_branch": "main",
                "owner": {"login": owner, "id": id + 1, "type": "Organization"},
                "html_url": format!("https://github.com/{owner}/{repository}"),
            })),
        );
        let mut listed = Vec::new();
        for (tag, files) in tags {
            let commit = commit_of(files);
            let object = json!({"type": "commit", "sha": commit, "url": format!("{}{base}/git/commits/{commit}", self.url())});
            let reference = json!({"ref": format!("refs/tags/{tag}"), "node_id": "", "url": "", "object": object});
            self.set(
                &format!("{base}/git/ref/tags/{tag}"),
                Canned::json(&reference),
            );
            self.set(
                &format!("{base}/git/matching-refs/tags/{tag}"),
                Canned::json(&json!([reference])),
            );
            let commit_url = format!("{base}/commits/{commit}");
            let commit_answer =
                Canned::json(&json!({"sha": commit, "commit": {"tree": {"sha": commit}}}));
            self.set(&commit_url, commit_answer.clone());
            self.set(&format!("{base}/commits/{tag}"), commit_answer);
            listed.push(json!({"name": tag, "commit": {"sha": commit}}));

            // The archive is at another path, as at codeload; the name of the wrapper folder too.
            let wrapper = format!("{owner}-{repository}-{}", &commit[..7]);
            let archive = git_archive(&wrapper, &commit, files);
            for reference in [
                format!("refs/tags/{tag}"),
                (*tag).to_owned(),
                commit.clone(),
            ] {
                let to = format!("/codeload/{owner}/{repository}/legacy.tar.gz/{reference}");
                let redirect = Canned::header(302, "location", &format!("{}{to}", self.url()));
                self.set(&format!("{base}/tarball/{reference}"), redirect);
                self.set(&to, Canned::bytes("application/x-gzip", archive.clone()));
            }
        }
        self.set(&format!("{base}/tags"), Canned::json(&Value::Array(listed)));
    }

    /// Publishes a provider release: discovery, versions, package documents, SHA256SUMS and its
    /// signature by this stand-in's key.
    pub fn provider(
        &self,
        namespace: &str,
        name: &str,
        release: &Release,
        versions: &[&str],
        platforms: &[(&str, &str)],
    ) {
        self.set(
            "/.well-known/terraform.json",
            Canned::json(&json!({"providers.v1": "/v1/providers/", "modules.v1": "/v1/modules/"})),
        );
        let base = format!("/v1/providers/{namespace}/{name}");
        let mut listed = Vec::new();
        for version in versions {
            let files = format!("/files/{namespace}/{name}/{version}");
            let stem = format!("terraform-provider-{name}_{version}");
            let mut sums = String::new();
            for (os, arch) in platforms {
                let bytes = release.archive(version, os, arch);
                writeln!(
                    sums,
                    "{}  {}",
                    sha256(&bytes),
                    release.file_name(version, os, arch)
                )
                .unwrap();
            }
            let manifest = r#"{"version":1,"metadata":{"protocol_versions":["5.0"]}}"#;
            writeln!(
                sums,
                "{}  {stem}_manifest.json",
                sha256(manifest.as_bytes())
            )
            .unwrap();
            let signature = self.signer.sign(sums.as_bytes(), now()).unwrap();
            let octets = "application/octet-stream";
            self.set(
                &format!("{files}/{stem}_SHA256SUMS"),
                Canned::bytes("text/plain", sums),
            );
            self.set(
                &format!("{files}/{stem}_SHA256SUMS.sig"),
                Canned::bytes(octets, signature),
            );
            self.set(
                &format!("{files}/{stem}_manifest.json"),
                Canned::bytes("application/json", manifest),
            );
            for (os, arch) in platforms {
                let file = release.file_name(version, os, arch);
                let bytes = release.archive(version, os, arch);
                let document = json!({
                    "protocols": ["5.0"], "os": os, "arch": arch, "filename": file,
                    "download_url": format!("{}{files}/{file}", self.url()),
                    "shasums_url": format!("{}{files}/{stem}_SHA256SUMS", self.url()),
                    "shasums_signature_url": format!("{}{files}/{stem}_SHA256SUMS.sig", self.url()),
                    "shasum": sha256(&bytes),
                    "signing_keys": {"gpg_public_keys": [{
                        "key_id": self.key_id(), "ascii_armor": self.public_key(),
                        "trust_signature": "", "source": "", "source_url": null,
                    }]},
                });
                self.set(
                    &format!("{base}/{version}/download/{os}/{arch}"),
                    Canned::json(&document),
                );
                self.set(
                    &format!("{files}/{file}"),
                    Canned::bytes("application/zip", bytes),
                );
            }
            let platforms: Vec<Value> = platforms
                .iter()
                .map(|(os, arch)| json!({"os": os, "arch": arch}))
                .collect();
            listed.push(json!({"version": version, "protocols": ["5.0"], "platforms": platforms}));
        }
        let id = format!("{namespace}/{name}");
        self.set(
            &format!("{base}/versions"),
            Canned::json(&json!({"id": id, "versions": listed, "warnings": null})),
        );
    }

    /// The key id that releases are signed with.
    pub fn key_id(&self) -> &str {
        &self.signer.public_key().key_id
    }

    /// The armored public key.
    pub fn public_key(&self) -> &str {
        &self.signer.public_key().ascii_armor
    }

    /// A binary detached signature by this stand-in's key.
    pub fn sign(&self, text: &[u8]) -> Vec<u8> {
        self.signer.sign(text, now()).unwrap()
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

fn now() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap()
        .as_secs()
}

fn acceptor(ca_file: &Path) -> TlsAcceptor {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params
        .distinguished_name
        .push(DnType::CommonName, "stand-in CA");
    let ca = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    std::fs::write(ca_file, ca.pem()).unwrap();
    let key = KeyPair::generate().unwrap();
    let leaf = CertificateParams::new(vec!["127.0.0.1".to_owned(), "localhost".to_owned()])
        .unwrap()
        .signed_by(&key, &ca)
        .unwrap();
    let private = rustls::pki_types::PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    let mut config = rustls::ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(vec![leaf.der().clone()], private)
        .unwrap();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    TlsAcceptor::from(Arc::new(config))
}

async fn accept(listener: TcpListener, acceptor: TlsAcceptor, site: Arc<Mutex<Site>>) {
    let mut connections = tokio::task::JoinSet::new();
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            return;
        };
        let (acceptor, site) = (acceptor.clone(), Arc::clone(&site));
        connections.spawn(async move {
            // A client that does not trust us, or goes away, is the client's business.
            let Ok(stream) = acceptor.accept(stream).await else {
                return;
            };
            let service = hyper::service::service_fn(move |request| {
                let answer = answer(&site, &request);
                async move { Ok::<_, Infallible>(answer) }
            });
            let server = hyper_util::server::conn::auto::Builder::new(TokioExecutor::new());
            let _closed = server.serve_connection(TokioIo::new(stream), service).await;
        });
        while connections.try_join_next().is_some() {}
    }
}

fn answer<B>(site: &Mutex<Site>, request: &Request<B>) -> Response<Full<Bytes>> {
    let mut site = site.lock().unwrap();
    site.seen.push(Seen {
        method: request.method().clone(),
        target: request
            .uri()
            .path_and_query()
            .map(ToString::to_string)
            .unwrap_or_default(),
        headers: request.headers().clone(),
    });
    let Some(canned) = site.answers.get(request.uri().path()).cloned() else {
        let mut missing =
            Response::new(Full::new(Bytes::from_static(br#"{"message":"Not Found"}"#)));
        *missing.status_mut() = StatusCode::NOT_FOUND;
        return missing;
    };
    let mut response = Response::builder().status(canned.status);
    for (name, value) in &canned.headers {
        response = response.header(name, value);
    }
    response.body(Full::new(canned.body)).unwrap()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn answers_over_tls_and_records_requests() {
        let upstream = Upstream::start().await;
        upstream.github("acme", "network", 7, &[("v1.0.0", &[("main.tf", b"x")])]);
        let client = crate::server::client_builder(Some(&upstream.ca()))
            .build()
            .unwrap();
        let url = format!(
            "{}/repos/acme/network/tarball/refs/tags/v1.0.0",
            upstream.url()
        );
        let answer = client
            .get(url)
            .header("authorization", "Bearer t")
            .send()
            .await
            .unwrap();
        assert_eq!(answer.status(), 302);
        let to = answer.headers()["location"].to_str().unwrap().to_owned();
        assert_eq!(client.get(to).send().await.unwrap().status(), 200);
        assert!(upstream.seen()[0].headers.contains_key("authorization"));
    }
}

//! A real OCI registry: the Debian package `docker-registry`, on loopback, with plain HTTP.

use crate::server::{client_builder, free_port};
use crate::sha256;
use crate::wait::{SOON, wait_until};
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};
use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::process::{Child, Command, Stdio};
use tempfile::TempDir;

/// The one user of a registry with a password.
pub const USER: &str = "puller";
/// That user's password.
pub const PASSWORD: &str = "right horse";
// bcrypt of the password, with the least cost.
const PASSWORD_HASH: &str = "$2b$04$Qe/eeiI75eySsl1XsePWKenR8rhouEyOEVUKtyN9kI0nwvt0DbXfW";

/// The artifact type of a plugin.
pub const ARTIFACT_TYPE: &str = "application/vnd.opendepot.plugin.v1";
/// The media type of `plugin.yaml`.
pub const YAML: &str = "application/vnd.opendepot.plugin.manifest.v1+yaml";
/// The media type of a component.
pub const WASM: &str = "application/wasm";
/// The media type of a detached signature.
pub const SIGNATURE: &str = "application/vnd.opendepot.plugin.signature.v1";
const MANIFEST_TYPE: &str = "application/vnd.oci.image.manifest.v1+json";

/// Whom the registry lets in.
#[derive(Clone, Debug)]
pub enum Door {
    /// Everybody.
    Open,
    /// [`USER`] with [`PASSWORD`].
    Password,
    /// Whoever has a token of this server, signed by this certificate's key.
    Token {
        /// Where tokens are to be had.
        realm: String,
        /// In PEM.
        certificate: String,
    },
}

/// A running registry; killed when dropped.
pub struct DockerRegistry {
    dir: TempDir,
    port: u16,
    child: Child,
}

impl DockerRegistry {
    /// Starts an empty one.
    pub async fn start(door: &Door) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let port = free_port();
        let child = spawn(&dir, port, door);
        let registry = Self { dir, port, child };
        registry.wait_ready().await;
        registry
    }

    /// Ends it and starts it again with the same content.
    pub async fn restart(&mut self, door: &Door) {
        self.stop();
        self.child = spawn(&self.dir, self.port, door);
        self.wait_ready().await;
    }

    /// Ends it.
    pub fn stop(&mut self) {
        // An error means that it has ended already.
        let _ended = self.child.kill();
        let _reaped = self.child.wait();
    }

    /// `127.0.0.1:port`.
    pub fn host(&self) -> String {
        SocketAddr::from((Ipv4Addr::LOCALHOST, self.port)).to_string()
    }

    /// Pushes an artifact with these layers under a tag; its digest.
    pub async fn push(&self, repository: &str, tag: &str, layers: &[(&str, &[u8])]) -> String {
        let mut descriptors = Vec::new();
        for (media_type, bytes) in layers {
            descriptors.push(self.push_blob(repository, media_type, bytes).await);
        }
        let empty = "application/vnd.oci.empty.v1+json";
        let config = self.push_blob(repository, empty, b"{}").await;
        let manifest = json!({
            "schemaVersion": 2, "mediaType": MANIFEST_TYPE, "artifactType": ARTIFACT_TYPE,
            "config": config, "layers": descriptors,
        });
        let manifest = manifest.to_string();
        let digest = format!("sha256:{}", sha256(manifest.as_bytes()));
        let answer = self
            .request(Method::PUT, &format!("/v2/{repository}/manifests/{tag}"))
            .header("content-type", MANIFEST_TYPE)
            .body(manifest)
            .send()
            .await
            .unwrap();
        assert_eq!(answer.headers()["docker-content-digest"], *digest);
        digest
    }

    async fn push_blob(&self, repository: &str, media_type: &str, bytes: &[u8]) -> Value {
        let begun = self
            .request(Method::POST, &format!("/v2/{repository}/blobs/uploads/"))
            .send()
            .await
            .unwrap();
        assert_eq!(begun.status(), 202, "{}", self.log());
        let location = begun.headers()["location"].to_str().unwrap().to_owned();
        let digest = format!("sha256:{}", sha256(bytes));
        let path = location.strip_prefix(&self.url()).unwrap_or(&location);
        let done = self
            .request(Method::PUT, &format!("{path}&digest={digest}"))
            .header("content-type", "application/octet-stream")
            .body(bytes.to_vec())
            .send()
            .await
            .unwrap();
        assert_eq!(done.status(), 201, "{}", self.log());
        json!({"mediaType": media_type, "digest": digest, "size": bytes.len()})
    }

    fn url(&self) -> String {
        format!("http://{}", self.host())
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let http = client_builder(None).build().unwrap();
        http.request(method, format!("{}{path}", self.url()))
            .basic_auth(USER, Some(PASSWORD))
    }

    fn log(&self) -> String {
        fs::read_to_string(self.dir.path().join("log.txt")).unwrap_or_default()
    }

    async fn wait_ready(&self) {
        let what = "docker-registry to answer";
        let http = client_builder(None).build().unwrap();
        wait_until(what, SOON, || async {
            let asked = http.get(format!("{}/v2/", self.url())).send().await;
            asked
                .map(drop)
                .map_err(|error| format!("{error}: {}", self.log()))
        })
        .await;
    }
}

impl Drop for DockerRegistry {
    fn drop(&mut self) {
        self.stop();
    }
}

fn spawn(dir: &TempDir, port: u16, door: &Door) -> Child {
    let path = |name: &str| dir.path().join(name);
    let auth = match door {
        Door::Open => String::new(),
        Door::Password => {
            fs::write(path("htpasswd"), format!("{USER}:{PASSWORD_HASH}\n")).unwrap();
            let file = path("htpasswd");
            format!(
                "auth: {{ htpasswd: {{ realm: plugins, path: {} }} }}\n",
                file.display()
            )
        }
        Door::Token { realm, certificate } => {
            fs::write(path("bundle.pem"), certificate).unwrap();
            let file = path("bundle.pem");
            format!(
                "auth: {{ token: {{ realm: \"{realm}\", service: plugins, issuer: tests, rootcertbundle: {} }} }}\n",
                file.display()
            )
        }
    };
    let config = format!(
        "version: 0.1\nlog: {{ level: warn }}\nstorage: {{ filesystem: {{ rootdirectory: {} }} }}\n\
         http: {{ addr: \"127.0.0.1:{port}\" }}\n{auth}",
        path("storage").display()
    );
    fs::write(path("config.yml"), config).unwrap();
    let log = fs::File::create(path("log.txt")).unwrap();
    let program = std::env::var_os("OPENDEPOT_DOCKER_REGISTRY").unwrap_or("docker-registry".into());
    Command::new(program)
        .arg("serve")
        .arg(path("config.yml"))
        .stdin(Stdio::null())
        .stdout(log.try_clone().unwrap())
        .stderr(log)
        .spawn()
        .unwrap_or_else(|e| {
            panic!("cannot start docker-registry: {e}; run `cargo xtask tools docker-registry`")
        })
}

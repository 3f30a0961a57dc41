//! What is pulled, what is refused, and where credentials go.

use crate::fake::{Answer, Artifact, Bench, SIGNATURE, Server, WASM, YAML};
use opendepot_domain::Kind;
use opendepot_oci::OciError;
use opendepot_transfer::{EgressConfig, Error};
use serde_json::json;
use std::fs;
use std::time::{Duration, Instant};

// `user:right` and `user:wrong`, as HTTP carries them.
const RIGHT: &str = "Basic dXNlcjpyaWdodA==";
const WRONG: &str = "Basic dXNlcjp3cm9uZw==";

#[tokio::test]
async fn a_plugin_is_pulled_by_digest_and_then_needs_no_registry() {
    let artifact = Artifact::new(&[
        (YAML, b"kind: Plugin\n"),
        (WASM, b"\0asm of a plugin"),
        (SIGNATURE, b"c2lnbmVk"),
    ]);
    let server = artifact.serve().await;
    let reference = artifact.reference(&server);
    let bench = Bench::new();
    let folder = bench.pull(&reference).await.unwrap();
    let read = |name: &str| fs::read(folder.join(name)).unwrap();
    assert_eq!(read("plugin.yaml"), b"kind: Plugin\n");
    assert_eq!(read("plugin.wasm"), b"\0asm of a plugin");
    assert_eq!(read("plugin.wasm.sig"), b"c2lnbmVk");
    assert!(folder.ends_with(artifact.digest().to_string()));
    assert_eq!(server.seen().len(), 4);
    assert!(server.authorizations().iter().all(Option::is_none));

    drop(server);
    assert_eq!(bench.pull(&reference).await.unwrap(), folder);
    // Damaged, it is not used.
    fs::write(folder.join("plugin.wasm"), "\0asm of an enemy").unwrap();
    let error = bench.pull(&reference).await.unwrap_err();
    assert!(
        matches!(error, OciError::Fetch(Error::Unavailable { .. })),
        "{error}"
    );
    bench.puller.forget_others(&[]);
    assert!(!folder.exists());
}

#[tokio::test]
async fn a_damaged_copy_is_pulled_again() {
    let artifact = Artifact::plugin();
    let server = artifact.serve().await;
    let (bench, reference) = (Bench::new(), artifact.reference(&server));
    let folder = bench.pull(&reference).await.unwrap();
    fs::write(folder.join("plugin.wasm"), "\0asm of an enemy").unwrap();
    assert_eq!(bench.pull(&reference).await.unwrap(), folder);
    assert_eq!(
        fs::read(folder.join("plugin.wasm")).unwrap(),
        b"\0asm of a plugin"
    );
    bench.puller.forget_others(&[reference]);
    assert!(folder.exists());
}

#[tokio::test]
async fn lies_about_bytes_are_refused() {
    let artifact = Artifact::plugin();
    let component = artifact.manifest["layers"][1]["digest"]
        .as_str()
        .unwrap()
        .to_owned();
    let part: &'static str = component.leak();
    let long = || Answer::new(200, vec![7; 2 << 20]);

    let server = artifact
        .serve_but("/manifests/", || Answer::new(200, "{}"))
        .await;
    let error = Bench::new().refused(&artifact.reference(&server)).await;
    assert!(
        matches!(
            error,
            OciError::Digest {
                what: "manifest",
                ..
            }
        ),
        "{error}"
    );
    assert_eq!(error.kind(), Kind::Corrupt);

    let server = artifact.serve_but("/manifests/", long).await;
    let error = Bench::new().refused(&artifact.reference(&server)).await;
    assert!(
        matches!(error, OciError::Fetch(Error::TooLarge { .. })),
        "{error}"
    );

    for (name, body, expected) in [
        ("same size", "\0asm of an enemy", "has digest"),
        ("shorter", "\0asm of a plugi", "smaller"),
        ("longer", "\0asm of a plugin!", "larger"),
        ("empty", "", "smaller"),
    ] {
        let server = artifact
            .serve_but(part, move || Answer::new(200, body))
            .await;
        let error = Bench::new().refused(&artifact.reference(&server)).await;
        assert!(error.to_string().contains(expected), "{name}: {error}");
        assert_eq!(error.kind(), Kind::Corrupt, "{name}");
    }
    let server = artifact.serve_but(part, long).await;
    let error = Bench::new().refused(&artifact.reference(&server)).await;
    assert!(
        matches!(
            error,
            OciError::Size {
                is_larger: true,
                ..
            }
        ),
        "{error}"
    );

    let truncated = || Answer::new(200, "\0asm").header("content-length", "16");
    let server = artifact.serve_but(part, truncated).await;
    let error = Bench::new().refused(&artifact.reference(&server)).await;
    assert_eq!(error.kind(), Kind::Unavailable, "{error}");

    let packed = || Answer::new(200, "\0asm of a plugin").header("content-encoding", "gzip");
    let server = artifact.serve_but(part, packed).await;
    let error = Bench::new().refused(&artifact.reference(&server)).await;
    assert!(error.to_string().contains("content encoding"), "{error}");

    let server = artifact.serve_but(part, || Answer::new(404, "")).await;
    let error = Bench::new().refused(&artifact.reference(&server)).await;
    assert!(matches!(error, OciError::NotFound { .. }), "{error}");
    for status in [206, 204, 500, 429] {
        let server = artifact
            .serve_but(part, move || Answer::new(status, ""))
            .await;
        let error = Bench::new().refused(&artifact.reference(&server)).await;
        assert_eq!(error.kind(), Kind::Unavailable, "{status}: {error}");
    }
}

#[tokio::test]
async fn lies_in_the_manifest_are_refused() {
    let mut larger = Artifact::plugin();
    larger.manifest["layers"][1]["size"] = json!(17);
    let mut smaller = Artifact::plugin();
    smaller.manifest["layers"][1]["size"] = json!(15);
    let mut huge = Artifact::plugin();
    huge.manifest["layers"][1]["size"] = json!(u64::MAX);
    let mut index = Artifact::plugin();
    index.content_type = "application/vnd.oci.image.index.v1+json".to_owned();
    let mut html = Artifact::plugin();
    html.content_type = "text/html".to_owned();
    let mut other = Artifact::plugin();
    other.manifest["artifactType"] = json!("application/vnd.example.chart");
    let packed_type = "application/vnd.oci.image.layer.v1.tar+gzip";
    let packed_layer = Artifact::new(&[(YAML, b"x"), (WASM, b"\0asm"), (packed_type, b"x")]);
    for (name, artifact, expected) in [
        ("larger size", larger, "smaller than the 17 bytes"),
        ("smaller size", smaller, "larger than the 15 bytes"),
        ("huge size", huge, "at most 1048576"),
        ("index", index, "an index"),
        ("html", html, "`text/html`, expected"),
        (
            "another artifact",
            other,
            "application/vnd.opendepot.plugin.v1",
        ),
        ("a packed layer", packed_layer, packed_type),
        (
            "twice",
            Artifact::new(&[(YAML, b"x"), (WASM, b"\0asm"), (WASM, b"\0asm2")]),
            "two layers",
        ),
        (
            "packed bytes",
            Artifact::new(&[(YAML, b"x"), (WASM, &[0x1f, 0x8b, 8])]),
            "gzip",
        ),
        (
            "no wasm",
            Artifact::new(&[(YAML, b"x"), (WASM, b"#!/bin/sh")]),
            "expected a wasm binary",
        ),
        ("no manifest", Artifact::new(&[(WASM, b"\0asm")]), YAML),
    ] {
        let server = artifact.serve().await;
        let error = Bench::new().refused(&artifact.reference(&server)).await;
        assert!(error.to_string().contains(expected), "{name}: {error}");
    }
}

#[tokio::test]
async fn redirects_stay_within_the_policy_and_take_no_credentials_along() {
    let artifact = Artifact::plugin();
    for target in [
        "http://169.254.169.254/latest/meta-data/",
        "https://169.254.169.254/latest/meta-data/",
        "http://10.0.0.1/x",
        "file:///etc/passwd",
    ] {
        for part in ["/manifests/", "/blobs/"] {
            let server = artifact
                .serve_but(part, move || Answer::redirect(target))
                .await;
            let error = Bench::new().refused(&artifact.reference(&server)).await;
            assert!(
                matches!(error, OciError::Fetch(Error::Refused { .. })),
                "{part} to {target}: {error}"
            );
        }
    }

    // A store on another host gets the request and no credential.
    let blobs = artifact.clone();
    let store = Server::start(move |target, _| blobs.answer(target)).await;
    let (honest, at) = (artifact.clone(), store.address);
    let server = Server::start(move |target, headers| {
        if headers
            .get("authorization")
            .is_none_or(|value| value != RIGHT)
        {
            return Answer::new(401, "").header("www-authenticate", "Basic realm=\"x\"");
        }
        match target.contains("/blobs/") {
            true => Answer::redirect(format!("http://{at}{target}")),
            false => honest.answer(target),
        }
    })
    .await;
    let bench = Bench::new();
    bench.logins(&[
        (server.address.to_string(), "right"),
        (at.to_string(), "other"),
    ]);
    bench.pull(&artifact.reference(&server)).await.unwrap();
    assert_eq!(store.authorizations(), [None, None]);
    let right = || Some(RIGHT.to_owned());
    assert_eq!(server.authorizations(), [None, right(), right(), right()]);

    // And one that asks for some gets none either.
    let thief =
        Server::start(|_, _| Answer::new(401, "").header("www-authenticate", "Basic realm=\"x\""))
            .await;
    let at = thief.address;
    let server = artifact
        .serve_but("/blobs/", move || {
            Answer::redirect(format!("http://{at}/x"))
        })
        .await;
    let bench = Bench::new();
    bench.logins(&[
        (server.address.to_string(), "right"),
        (at.to_string(), "other"),
    ]);
    let error = bench.refused(&artifact.reference(&server)).await;
    assert_eq!(error.kind(), Kind::Denied, "{error}");
    assert_eq!(thief.authorizations(), [None]);
}

/// A registry with Basic authentication, and what it accepts.
async fn with_password(artifact: &Artifact) -> Server {
    let artifact = artifact.clone();
    Server::start(move |target, headers| match headers.get("authorization") {
        Some(value) if value == RIGHT => artifact.answer(target),
        _ => Answer::new(401, "").header("www-authenticate", "Basic realm=\"registry\""),
    })
    .await
}

#[tokio::test]
async fn a_name_and_password_go_to_their_registry() {
    let artifact = Artifact::plugin();
    let server = with_password(&artifact).await;
    let reference = artifact.reference(&server);
    let bench = Bench::new();
    let error = bench.refused(&reference).await.to_string();
    assert!(error.contains("pluginPolicy.dockerConfig"), "{error}");
    bench.logins(&[("other.example".to_owned(), "right")]);
    let error = bench.refused(&reference).await.to_string();
    assert!(
        error.contains(&format!("an entry `{}`", server.address)),
        "{error}"
    );

    bench.logins(&[(server.address.to_string(), "wrong")]);
    let error = bench.refused(&reference).await;
    assert!(
        matches!(error, OciError::CredentialsRefused { .. }),
        "{error}"
    );
    let shown = format!("{error} {error:?}");
    assert!(
        shown.contains("docker.json") && shown.contains("auths"),
        "{shown}"
    );
    assert!(
        !shown.contains("wrong") && !shown.contains(WRONG),
        "{shown}"
    );

    // The file is read at each pull.
    bench.logins(&[(server.address.to_string(), "right")]);
    bench.pull(&reference).await.unwrap();
    assert!(!format!("{:?}", bench.puller).contains("right"));
}

#[tokio::test]
async fn a_docker_configuration_that_runs_programs_is_refused() {
    let artifact = Artifact::plugin();
    let server = artifact.serve().await;
    let bench = Bench::new();
    let marker = bench.dir.path().join("ran");
    let helper = bench.dir.path().join("docker-credential-evil");
    fs::write(&helper, format!("#!/bin/sh\ntouch {}\n", marker.display())).unwrap();
    for json in [
        json!({"credsStore": "evil"}),
        json!({"credHelpers": {server.address.to_string(): "evil"}}),
    ] {
        let path = bench.dir.path().join("docker.json");
        fs::write(&path, json.to_string()).unwrap();
        *bench.docker_config.lock() = Some(path);
        let error = bench.refused(&artifact.reference(&server)).await;
        assert!(matches!(error, OciError::Docker(_)), "{error}");
    }
    assert!(!marker.exists());
    assert_eq!(server.seen().len(), 0, "nothing is asked before");
}

/// A registry that wants tokens of `realm`, and accepts `t0ken`.
async fn with_token(
    artifact: &Artifact,
    realm: impl Fn(&str) -> String + Send + Sync + 'static,
) -> Server {
    let artifact = artifact.clone();
    Server::start(move |target, headers| {
        if target.starts_with("/token") {
            let is_right = headers
                .get("authorization")
                .is_none_or(|value| value == RIGHT);
            return match is_right {
                true => Answer::new(200, r#"{"token": "t0ken", "expires_in": 60}"#),
                false => Answer::new(401, ""),
            };
        }
        let host = headers.get("host").unwrap().to_str().unwrap();
        match headers.get("authorization") {
            Some(value) if value == "Bearer t0ken" => artifact.answer(target),
            _ => Answer::new(401, "").header(
                "www-authenticate",
                format!(
                    "Bearer realm=\"{}\",service=\"the registry\",scope=\"repository:*:*\"",
                    realm(host)
                ),
            ),
        }
    })
    .await
}

#[tokio::test]
async fn a_token_is_asked_for_this_repository_only() {
    let artifact = Artifact::plugin();
    let own = |host: &str| format!("http://{host}/token");
    let server = with_token(&artifact, own).await;
    let reference = artifact.reference(&server);
    Bench::new().pull(&reference).await.unwrap();
    let (asked, headers) = &server.seen()[1];
    assert_eq!(
        asked,
        "/token?service=the+registry&scope=repository%3Aplugins%2Fx%3Apull"
    );
    assert!(headers.get("authorization").is_none());

    let bench = Bench::new();
    bench.logins(&[(server.address.to_string(), "wrong")]);
    let error = bench.refused(&reference).await;
    assert!(
        matches!(error, OciError::CredentialsRefused { .. }),
        "{error}"
    );
    bench.logins(&[(server.address.to_string(), "right")]);
    bench.pull(&reference).await.unwrap();
    let sent: Vec<_> = server.authorizations().into_iter().flatten().collect();
    let bearer = "Bearer t0ken";
    assert_eq!(
        sent,
        [bearer, bearer, bearer, WRONG, RIGHT, bearer, bearer, bearer]
    );
}

#[tokio::test]
async fn a_realm_elsewhere_gets_no_login_that_is_not_its_own() {
    let artifact = Artifact::plugin();
    let thief = Server::start(|_, _| Answer::new(200, r#"{"token": "t0ken"}"#)).await;
    let (plain, at) = (format!("http://{}/token", thief.address), thief.address);

    // Plain HTTP, on another port than the registry's.
    let server = with_token(&artifact, move |_| plain.clone()).await;
    let reference = artifact.reference(&server);
    let bench = Bench::new();
    bench.logins(&[
        (server.address.to_string(), "right"),
        (at.to_string(), "right"),
    ]);
    let error = bench.refused(&reference).await;
    assert!(matches!(error, OciError::InsecureRealm { .. }), "{error}");

    // TLS, on a host that nobody named.
    let tls = format!("https://{at}/token");
    let server = with_token(&artifact, move |_| tls.clone()).await;
    let reference = artifact.reference(&server);
    bench.logins(&[(server.address.to_string(), "right")]);
    let error = bench.refused(&reference).await;
    assert!(matches!(error, OciError::Realm { .. }), "{error}");
    assert!(
        error
            .to_string()
            .contains(&format!("an entry `{at}` under `auths`")),
        "{error}"
    );
    assert_eq!(server.seen().len(), 1, "the realm is not even asked");

    // Forbidden addresses are forbidden here too.
    let metadata = |_: &str| "https://169.254.169.254/token".to_owned();
    let server = with_token(&artifact, metadata).await;
    let error = Bench::new().refused(&artifact.reference(&server)).await;
    assert!(
        matches!(error, OciError::Fetch(Error::Refused { .. })),
        "{error}"
    );

    // The registry's own realm may send on, but not with the login.
    let moved = artifact.clone();
    let server = Server::start(move |target, headers| {
        let host = headers.get("host").unwrap().to_str().unwrap();
        match headers.get("authorization") {
            _ if target.starts_with("/token") => Answer::redirect(format!("http://{at}/token")),
            Some(value) if value == "Bearer t0ken" => moved.answer(target),
            _ => Answer::new(401, "").header(
                "www-authenticate",
                format!("Bearer realm=\"http://{host}/token\""),
            ),
        }
    })
    .await;
    bench.logins(&[(server.address.to_string(), "right")]);
    bench.pull(&artifact.reference(&server)).await.unwrap();
    assert_eq!(thief.authorizations(), [None]);
    assert_eq!(server.authorizations()[1].as_deref(), Some(RIGHT));
}

#[tokio::test]
async fn without_the_operators_word_a_private_registry_is_not_reached() {
    let artifact = Artifact::plugin();
    let server = artifact.serve().await;
    let reference = artifact.reference(&server);
    let here = vec![server.address.to_string()];
    let net = vec!["127.0.0.0/8".to_owned()];
    for (name, egress) in [
        ("nothing", EgressConfig::default()),
        (
            "no address",
            EgressConfig {
                allow_http: here.clone(),
                ..EgressConfig::default()
            },
        ),
        (
            "another host",
            EgressConfig {
                allow: vec!["registry.example".to_owned()],
                allow_http: here.clone(),
                allow_private: net.clone(),
                ..EgressConfig::default()
            },
        ),
    ] {
        let error = Bench::with(egress).refused(&reference).await;
        assert!(
            matches!(error, OciError::Fetch(Error::Refused { .. })),
            "{name}: {error}"
        );
    }
    // The reference names the registry, so no list needs to.
    let listed = EgressConfig {
        allow_http: here.clone(),
        allow_private: net.clone(),
        ..EgressConfig::default()
    };
    let bench = Bench::with(listed.clone());
    bench.pull(&reference).await.unwrap();
    let num_seen = server.seen().len();
    // But where it sends us.
    let away = artifact
        .serve_but("/blobs/", || Answer::redirect("http://localhost/x"))
        .await;
    let error = Bench::with(EgressConfig {
        allow_http: vec!["127.0.0.1".to_owned(), "localhost".to_owned()],
        ..listed
    });
    let error = error.refused(&artifact.reference(&away)).await;
    assert!(
        error.to_string().contains("`allow` of the `egress`"),
        "{error}"
    );
    // Not listed for plain HTTP: TLS is spoken, which this server does not.
    let tls = EgressConfig {
        allow_private: net,
        ..EgressConfig::default()
    };
    let error = Bench::with(tls).refused(&reference).await;
    assert_eq!(error.kind(), Kind::Unavailable, "{error}");
    assert_eq!(server.seen().len(), num_seen);
}

#[tokio::test]
async fn a_registry_that_does_not_answer_is_left_at_the_deadline() {
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0))
        .await
        .unwrap();
    let text = format!(
        "{}/x@sha256:{}",
        listener.local_addr().unwrap(),
        "0".repeat(64)
    );
    let bench = Bench::new();
    let deadline = Instant::now() + Duration::from_millis(300);
    let error = bench
        .puller
        .pull(&text.parse().unwrap(), None, deadline)
        .await;
    assert!(matches!(error, Err(OciError::Late)), "{error:?}");
    assert!(Instant::now() >= deadline);
}

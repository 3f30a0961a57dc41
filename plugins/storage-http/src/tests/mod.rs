mod settings;

use super::{Http, address, collections};
use crate::access::{Access, Format, KeyEncoding, Sign};
use crate::configuration;
use opendepot_plugin_sdk::artifact::CONFIG_NAME;
use opendepot_plugin_sdk::http::{Header, HeaderValue, Prefixed};
use opendepot_plugin_sdk::storage::{
    Configuration, Error, Operation, Placement, SignedRequest, StoragePlugin, Transfer,
};
use opendepot_plugin_sdk::{Artifact, ArtifactKind, Attribute};
use proptest::prelude::*;

const STORE: &str = "https://depot.example.com/repository/raw";
const OPEN: &str = r#"{"url": "https://depot.example.com/repository/raw"}"#;
const NOW: u64 = 1_700_000_000;

fn configuration(operator: &str, backend: Option<&str>) -> Configuration {
    Configuration {
        operator: operator.to_owned(),
        backend: backend.map(str::to_owned),
        attributes: Vec::new(),
    }
}

fn with(more: &str) -> String {
    format!(r#"{{"url": "{STORE}", {more}}}"#)
}

fn artifact(config_name: Option<&str>, file_name: &str) -> Artifact {
    Artifact {
        namespace: "default".to_owned(),
        kind: ArtifactKind::Module,
        name: "eks".to_owned(),
        version: "1.2.3".to_owned(),
        os: None,
        arch: None,
        file_name: file_name.to_owned(),
        media_type: "application/zip".to_owned(),
        size: 1,
        sha256: "0".repeat(64),
        attributes: config_name
            .map(|value| Attribute::new(CONFIG_NAME, value))
            .into_iter()
            .collect(),
    }
}

fn plan(settings: &str, key: &str, operation: &Operation) -> Result<Transfer, Error> {
    Http::plan(
        &configuration(settings, None),
        &artifact(None, "a.zip"),
        Placement::new(STORE, key),
        operation,
        NOW,
    )
}

fn signed(settings: &str, key: &str, operation: &Operation) -> SignedRequest {
    match plan(settings, key, operation) {
        Ok(Transfer::Signed(request)) => request,
        other => panic!("{operation:?}: {other:?}"),
    }
}

fn problem_paths(result: Result<(), Error>) -> Vec<String> {
    match result {
        Err(Error::InvalidSettings(problems)) => {
            problems.into_iter().map(|problem| problem.path).collect()
        }
        other => panic!("expected problems, got {other:?}"),
    }
}

fn validate(settings: &str) -> Result<(), Error> {
    Http::validate(&configuration(settings, None))
}

#[test]
fn a_placement_is_the_url_and_a_key_below_it() {
    for (name, url, store) in [
        ("as it is", STORE, STORE),
        (
            "final slash",
            "https://depot.example.com/repository/raw/",
            STORE,
        ),
        (
            "capitals",
            "https://Depot.Example.COM/repository/raw",
            STORE,
        ),
        (
            "default port",
            "https://depot.example.com:443/repository/raw",
            STORE,
        ),
        (
            "no path",
            "https://depot.example.com",
            "https://depot.example.com",
        ),
        (
            "root",
            "https://depot.example.com/",
            "https://depot.example.com",
        ),
        (
            "plain http",
            "http://depot:8081/dav",
            "http://depot:8081/dav",
        ),
        (
            "address",
            "https://[fd00::1]:8443/dav",
            "https://[fd00::1]:8443/dav",
        ),
        (
            "escaped",
            "https://h.example/a%20b",
            "https://h.example/a%20b",
        ),
    ] {
        let settings = format!(r#"{{"url": "{url}"}}"#);
        let placed = Http::locate(&configuration(&settings, None), &artifact(None, "a.zip"));
        assert_eq!(
            placed.unwrap(),
            Placement::new(store, "eks/a.zip"),
            "{name}"
        );
    }
    let backend = Some(r#"{"path": "team/a"}"#);
    let placed = Http::locate(
        &configuration(OPEN, backend),
        &artifact(Some("net"), "a.zip"),
    );
    assert_eq!(placed.unwrap(), Placement::new(STORE, "team/a/net/a.zip"));
}

#[test]
fn each_operation_is_one_request() {
    let url = format!("{STORE}/eks/a.zip");
    let put = signed(OPEN, "eks/a.zip", &Operation::Put);
    assert_eq!((put.method.as_str(), &put.url), ("PUT", &url));
    assert_eq!(
        put.headers,
        [
            Header::plain("content-type", "application/zip"),
            Header::plain("if-none-match", "*")
        ]
    );
    assert_eq!((put.success, put.exists), (vec![200, 201, 204], vec![412]));
    for (operation, method, success) in [
        (Operation::Get, "GET", vec![200]),
        (Operation::Head, "HEAD", vec![200]),
        (Operation::Delete, "DELETE", vec![200, 202, 204]),
    ] {
        let request = signed(OPEN, "eks/a.zip", &operation);
        assert_eq!((request.method.as_str(), &request.url), (method, &url));
        assert_eq!(request.success, success);
        assert_eq!(request.missing, [404, 410]);
        assert!(request.headers.is_empty() && request.exists.is_empty());
        assert_eq!(request.expires_at, NOW + 3600);
    }
    let unconditional = with(r#""ifNoneMatch": false"#);
    let put = signed(&unconditional, "eks/a.zip", &Operation::Put);
    assert!(
        put.headers
            .iter()
            .all(|header| header.name != "if-none-match")
    );
    assert_eq!(
        plan(OPEN, "eks/a.zip", &Operation::Prepare),
        Ok(Transfer::Nothing)
    );
    let listed = with(r#""statuses": {"put": [202], "exists": [403, 409], "missing": [404]}"#);
    let put = signed(&listed, "eks/a.zip", &Operation::Put);
    assert_eq!(
        (put.success, put.exists, put.missing),
        (vec![202], vec![403, 409], vec![404])
    );
}

#[test]
fn secrets_are_named_in_headers() {
    for (auth, header) in [
        (
            r#""auth": {"bearer": {"secret": "token"}}"#,
            Header::bearer("token"),
        ),
        (
            r#""auth": {"basic": {"user": "depot", "secret": "password"}}"#,
            Header::basic("depot", "password"),
        ),
        (
            r#""auth": {"header": {"name": "X-JFrog-Art-Api", "secret": "key"}}"#,
            Header {
                name: "X-JFrog-Art-Api".to_owned(),
                value: HeaderValue::Secret(Prefixed {
                    prefix: String::new(),
                    secret: "key".to_owned(),
                }),
            },
        ),
        (
            r#""auth": {"header": {"name": "Authorization", "prefix": "Token ", "secret": "key"}}"#,
            Header {
                name: "Authorization".to_owned(),
                value: HeaderValue::Secret(Prefixed {
                    prefix: "Token ".to_owned(),
                    secret: "key".to_owned(),
                }),
            },
        ),
    ] {
        for operation in [
            Operation::Put,
            Operation::Get,
            Operation::Head,
            Operation::Delete,
        ] {
            let request = signed(&with(auth), "eks/a.zip", &operation);
            assert_eq!(
                request.headers.first(),
                Some(&header),
                "{auth} {operation:?}"
            );
        }
        let link = plan(&with(auth), "eks/a.zip", &Operation::Presign(60));
        assert!(matches!(link, Err(Error::Unsupported(_))), "{link:?}");
    }
    for none in [r#""auth": "none""#, r#""auth": null"#] {
        assert!(
            signed(&with(none), "eks/a.zip", &Operation::Get)
                .headers
                .is_empty()
        );
    }
}

#[test]
fn urls_are_signed_over_what_the_message_says() {
    let read = |more: &str| {
        let settings = with(&format!(r#""sign": {{"secret": "key"{more}}}"#));
        let (settings, _) = configuration::read(&configuration(&settings, None)).unwrap();
        match settings.access {
            Access::Sign(sign) => sign,
            other => panic!("{other:?}"),
        }
    };
    let default = read("");
    assert_eq!(
        default,
        Sign {
            secret: "key".to_owned(),
            encoding: KeyEncoding::Raw,
            lifetime: 300,
            message: "{method}\n{path}\n{expires}".to_owned(),
            expires: "expires".to_owned(),
            signature: "signature".to_owned(),
            format: Format::Hex,
        }
    );
    let url = "https://h.example:8443/a/b%20c/{method}";
    assert_eq!(default.text("GET", url, 17), "GET\n/a/b%20c/{method}\n17");
    assert_eq!(
        default.url("https://h/a", 17, &[0, 255]),
        "https://h/a?expires=17&signature=00ff"
    );
    let other = read(
        r#", "message": "{host}{path}?{expires}", "expires": "e", "signature": "s", "format": "base64url""#,
    );
    assert_eq!(
        other.text("GET", url, 17),
        "h.example:8443/a/b%20c/{method}?17"
    );
    assert_eq!(
        other.url("https://h/a", 17, &[251, 255]),
        "https://h/a?e=17&s=-_8"
    );
    // Outside of WebAssembly there is no host with the key.
    let settings = with(r#""sign": {"secret": "key"}"#);
    for operation in [Operation::Put, Operation::Get, Operation::Presign(60)] {
        let result = plan(&settings, "eks/a.zip", &operation);
        assert!(matches!(result, Err(Error::Unavailable(_))), "{result:?}");
    }
}

#[test]
fn collections_are_made_from_the_outside_in() {
    assert_eq!(collections::collections("a/b/c.zip"), ["a", "a/b"]);
    assert!(collections::collections("c.zip").is_empty());
    let settings = with(r#""createCollections": true, "auth": {"bearer": {"secret": "token"}}"#);
    let request = signed(&settings, "eks/a.zip", &Operation::Prepare);
    assert_eq!(request.method, "MKCOL");
    assert_eq!(request.url, format!("{STORE}/eks/"));
    assert_eq!(request.headers, [Header::bearer("token")]);
    assert_eq!(
        (request.success, request.exists),
        (vec![200, 201], vec![405])
    );
    // The outer one would be made by a request of the plugin's own, and here is no host.
    let nested = plan(&settings, "team/eks/a.zip", &Operation::Prepare);
    assert!(matches!(nested, Err(Error::Unavailable(_))), "{nested:?}");
    assert_eq!(
        plan(&settings, "a.zip", &Operation::Prepare),
        Ok(Transfer::Nothing)
    );
}

#[test]
fn hostile_names_are_not_placed() {
    let long = "a".repeat(256);
    for (name, config_name, file_name) in [
        ("slash in the file", None, "a/b.zip"),
        ("parent as the file", None, ".."),
        ("no file", None, ""),
        ("slash in the config name", Some("a/../b"), "a.zip"),
        ("parent as the config name", Some(".."), "a.zip"),
        ("empty config name", Some(""), "a.zip"),
        ("line break", Some("a\r\nb"), "a.zip"),
        ("long file", None, long.as_str()),
    ] {
        let artifact = artifact(config_name, file_name);
        let placed = Http::locate(&configuration(OPEN, None), &artifact);
        assert!(matches!(placed, Err(Error::Other(_))), "{name}: {placed:?}");
    }
}

#[test]
fn odd_names_stay_names_in_a_url() {
    for (key, url) in [
        ("eks/a b.zip", "eks/a%20b.zip"),
        ("eks/a?b#c", "eks/a%3Fb%23c"),
        ("eks/a%2e%2e", "eks/a%252e%252e"),
        ("eks/%2e%2e", "eks/%252e%252e"),
        ("eks/a+b&c=d", "eks/a%2Bb%26c%3Dd"),
        ("eks/ä@h", "eks/%C3%A4%40h"),
        ("eks/..a", "eks/..a"),
    ] {
        let request = signed(OPEN, key, &Operation::Get);
        assert_eq!(request.url, format!("{STORE}/{url}"));
    }
}

#[test]
fn foreign_placements_are_denied() {
    for (name, store, key) in [
        ("a bucket", "s3://bucket", "eks/a.zip"),
        ("a folder", "file:///", "eks/a.zip"),
        ("empty store", "", "eks/a.zip"),
        ("another spelling", "https://DEPOT.example.com", "eks/a.zip"),
        ("final slash", "https://depot.example.com/", "eks/a.zip"),
        ("user", "https://a@depot.example.com", "eks/a.zip"),
        ("query", "https://depot.example.com/x?a=b", "eks/a.zip"),
        ("empty key", STORE, ""),
        ("climbing key", STORE, "eks/../../a.zip"),
        ("absolute key", STORE, "/eks/a.zip"),
        ("line break", STORE, "eks/a\r\nHost: x"),
    ] {
        for operation in [Operation::Get, Operation::Prepare, Operation::Presign(1)] {
            let result = Http::plan(
                &configuration(OPEN, None),
                &artifact(None, "a.zip"),
                Placement::new(store, key),
                &operation,
                NOW,
            );
            assert!(
                matches!(result, Err(Error::Denied(_))),
                "{name}: {result:?}"
            );
        }
    }
    let unknown = plan(OPEN, "eks/a.zip", &Operation::Other("copy".to_owned()));
    assert!(matches!(unknown, Err(Error::Unsupported(_))), "{unknown:?}");
}

#[test]
fn recorded_artifacts_stay_where_they_are() {
    // The operator moved: what was recorded is looked for where it was.
    let moved = r#"{"url": "https://new.example.com/dav"}"#;
    let request = signed(moved, "eks/a.zip", &Operation::Get);
    assert_eq!(request.url, format!("{STORE}/eks/a.zip"));
}

proptest! {
    #[test]
    fn whatever_is_placed_is_planned_below_the_store(
        path in "([a-z.%]{0,3}/){0,3}[a-z.]{0,3}",
        config_name in "[a-z./?#%@ ]{0,6}",
        file_name in "[a-z./?#%@ ]{0,6}",
    ) {
        let backend = format!(r#"{{"path": "{path}"}}"#);
        let artifact = artifact(Some(&config_name), &file_name);
        if let Ok(placement) = Http::locate(&configuration(OPEN, Some(&backend)), &artifact) {
            let url = address::below(STORE, &placement.key);
            let tail = url.strip_prefix(STORE).unwrap();
            prop_assert!(tail.bytes().all(|b| b.is_ascii_alphanumeric() || b"/-._~%".contains(&b)));
            prop_assert!(tail.split('/').skip(1).all(|part| !matches!(part, "" | "." | "..")));
            prop_assert_eq!(signed(OPEN, &placement.key, &Operation::Get).url, url);
        }
    }
}

use super::*;
use crate::config::GrantsConfig;
use crate::manifest::Needs;
use proptest::prelude::*;

fn grants() -> Grants {
    let config: GrantsConfig = serde_saphyr::from_str(
        r#"
stores:
  - { match: "s3://depot-*", credentials: prod }
  - { match: "file:///" }
hosts: ["artifactory.example.com:443", "http://plain.example.com:8080"]
credentials: { prod: { kind: aws-static, secret: prod-keys }, other: { kind: aws-metadata } }
secrets: { token: { hosts: ["artifactory.example.com:443"] } }
"#,
    )
    .unwrap();
    let needs = Needs {
        hosts: true,
        secrets: vec!["token".into()],
        ..Needs::default()
    };
    Grants::new(&config, &needs).unwrap()
}

fn placement(store: &str, key: &str) -> Placement {
    Placement {
        store: store.into(),
        key: key.into(),
        attributes: Vec::new(),
        options: Vec::new(),
        credentials: None,
    }
}

fn signed(method: &str, url: &str) -> SignedRequest {
    SignedRequest {
        plugin: "artifactory".parse().unwrap(),
        method: method.into(),
        url: url.into(),
        headers: Vec::new(),
        expires_at: 200,
        success: vec![200],
        exists: vec![409],
        missing: vec![404],
    }
}

#[test]
fn placements_outside_their_grants_are_refused() {
    assert!(check_placement(&grants(), &placement("s3://depot-a", "m/x.zip")).is_ok());
    assert!(check_placement(&grants(), &placement("file:///", "m/x.zip")).is_ok());
    for (name, store, key) in [
        ("another bucket", "s3://other", "k"),
        ("a folder of the host", "file:///etc", "passwd"),
        ("a folder by dots", "file:///../etc", "passwd"),
        ("another scheme", "gs://depot-a", "k"),
        ("metadata address", "http://169.254.169.254", "latest"),
        ("absolute key", "file:///", "/etc/passwd"),
        ("climbing key", "file:///", "a/../../etc/passwd"),
        ("dot key", "file:///", "a/./b"),
        ("empty segment", "file:///", "a//b"),
        ("trailing slash", "file:///", "a/"),
        ("empty key", "file:///", ""),
        ("nul", "file:///", "a\0b"),
        ("newline", "s3://depot-a", "a\nb"),
        ("delete character", "s3://depot-a", "a\u{7f}b"),
        ("backslash", "s3://depot-a", "a\\..\\b"),
        ("too long", "s3://depot-a", &"k".repeat(1025)),
    ] {
        assert!(
            check_placement(&grants(), &placement(store, key)).is_err(),
            "{name}"
        );
    }
}

#[test]
fn servers_are_places_for_signed_requests_alone() {
    let good = "https://artifactory.example.com/repository/raw";
    assert!(check_placement(&grants(), &placement(good, "m/x.zip")).is_ok());
    let plain = placement("http://plain.example.com:8080", "x");
    assert!(check_placement(&grants(), &plain).is_ok());
    for (name, store, key) in [
        ("another host", "https://evil.example.com/repository", "k"),
        (
            "another port",
            "https://artifactory.example.com:8443/x",
            "k",
        ),
        ("another scheme", "http://artifactory.example.com/x", "k"),
        ("metadata address", "http://169.254.169.254/latest", "k"),
        ("loopback", "https://127.0.0.1/x", "k"),
        (
            "user information",
            "https://a@artifactory.example.com/x",
            "k",
        ),
        (
            "another spelling",
            "https://artifactory.example.com:443/x",
            "k",
        ),
        ("final slash", "https://artifactory.example.com/x/", "k"),
        (
            "climbing store",
            "https://artifactory.example.com/x/../y",
            "k",
        ),
        ("query", "https://artifactory.example.com/x?a=b", "k"),
        (
            "line break",
            "https://artifactory.example.com/x\r\nHost: a",
            "k",
        ),
        ("climbing key", good, "a/../../k"),
        ("line break in the key", good, "a\r\nb"),
    ] {
        assert!(
            check_placement(&grants(), &placement(store, key)).is_err(),
            "{name}"
        );
    }
    let native = check_native(&grants(), &placement(good, "m/x.zip"));
    assert_eq!(native, Err(PlanError::SignedOnly(good.into())));
    let mut with_credentials = placement(good, "k");
    with_credentials.credentials = Some("prod".into());
    assert!(check_placement(&grants(), &with_credentials).is_err());
    let mut with_options = placement(good, "k");
    with_options.options = vec![("region".into(), OptionValue::Plain("eu-1".into()))];
    assert!(check_placement(&grants(), &with_options).is_err());
}

#[test]
fn only_the_recorded_place_is_planned() {
    let placement = placement("s3://depot-a", "m/x.zip");
    assert!(check_recorded(&placement, "s3://depot-a", "m/x.zip").is_ok());
    assert!(check_recorded(&placement, "s3://depot-b", "m/x.zip").is_err());
    assert!(check_recorded(&placement, "s3://depot-a", "m/y.zip").is_err());
}

#[test]
fn options_and_credentials_are_the_operators() {
    for (name, option, value, is_ok) in [
        ("storage class", "storage-class", "STANDARD_IA", true),
        ("region", "region", "eu-central-1", true),
        ("encryption", "server-side-encryption", "aws:kms", true),
        ("region with a host", "region", "x.evil.test/", false),
        ("endpoint", "endpoint", "https://evil.test", false),
        (
            "endpoint of the client crate",
            "aws_endpoint_url",
            "https://evil.test",
            false,
        ),
        ("case trick", "Endpoint", "https://evil.test", false),
        ("access key", "access-key-id", "AKIA", false),
        ("proxy", "proxy-url", "http://evil.test", false),
        ("plain http", "allow-http", "true", false),
        ("tls off", "allow-invalid-certificates", "true", false),
        ("file", "google-service-account-path", "/etc/x", false),
        ("bad bool", "virtual-hosted-style", "yes", false),
    ] {
        let mut place = placement("s3://depot-a", "k");
        place.options = vec![(option.into(), OptionValue::Plain(value.into()))];
        assert_eq!(check_placement(&grants(), &place).is_ok(), is_ok, "{name}");
    }
    let mut place = placement("s3://depot-a", "k");
    place.options = vec![("region".into(), OptionValue::Secret("token".into()))];
    assert!(
        check_placement(&grants(), &place).is_err(),
        "secret as option"
    );
    for (credential, is_ok) in [("prod", true), ("other", false), ("prd", false)] {
        let mut place = placement("s3://depot-a", "k");
        place.credentials = Some(credential.into());
        assert_eq!(
            check_placement(&grants(), &place).is_ok(),
            is_ok,
            "{credential}"
        );
    }
    let mut place = placement("s3://depot-a", "k");
    place.attributes = vec![("x".into(), "a\r\nb".into())];
    assert!(
        check_placement(&grants(), &place).is_err(),
        "attribute with CRLF"
    );
}

#[test]
fn signed_requests_go_to_granted_hosts_only() {
    let check = |url: &str| check_signed(&grants(), &mut signed("GET", url), Operation::Get, 100);
    assert_eq!(check("https://artifactory.example.com/a?sig=x"), Ok(()));
    assert_eq!(check("http://plain.example.com:8080/a"), Ok(()));
    for (name, url) in [
        (
            "metadata address",
            "http://169.254.169.254/latest/meta-data",
        ),
        ("metadata address over https", "https://169.254.169.254/"),
        ("address in hex", "https://0xa9fea9fe/"),
        ("address in one number", "https://2852039166/"),
        ("mapped address", "https://[::ffff:169.254.169.254]/"),
        ("loopback", "https://localhost/"),
        ("another host", "https://evil.test/"),
        ("plain http", "http://artifactory.example.com/"),
        ("another port", "https://artifactory.example.com:8443/"),
        (
            "user information",
            "https://artifactory.example.com@evil.test/",
        ),
        (
            "user at the granted host",
            "https://user@artifactory.example.com/",
        ),
        ("empty user", "https://@artifactory.example.com/"),
        ("suffix", "https://artifactory.example.com.evil.test/"),
        ("trailing dot", "https://artifactory.example.com./"),
        ("backslash", "https://evil.test\\@artifactory.example.com/"),
        ("fragment", "https://artifactory.example.com/#x"),
        (
            "newline",
            "https://artifactory.example.com/\r\nHost: evil.test",
        ),
        ("tab", "https://artifactory.\texample.com/"),
        ("file", "file:///etc/passwd"),
        ("relative", "/a"),
        ("empty", ""),
    ] {
        assert!(check(url).is_err(), "{name}");
    }
}

#[test]
fn headers_cannot_smuggle() {
    let check = |name: &str, value: HeaderValue| {
        let mut request = signed("GET", "https://artifactory.example.com/a");
        request.headers = vec![(name.into(), value)];
        check_signed(&grants(), &mut request, Operation::Get, 100)
    };
    let plain = |text: &str| HeaderValue::Plain(text.into());
    assert_eq!(check("X-Checksum", plain("abc")), Ok(()));
    for name in [
        "Host",
        "host",
        "Content-Length",
        "Transfer-Encoding",
        "Connection",
        "Range",
        "If-Range",
        "TE",
        "Upgrade",
        "Proxy-Authorization",
        "Expect",
        ":authority",
        "X A",
        "X\r\nHost",
        "",
    ] {
        assert!(check(name, plain("x")).is_err(), "{name:?}");
    }
    for value in ["a\r\nHost: evil.test", "a\nb", "a\0b", "\u{e4}"] {
        assert!(check("X-A", plain(value)).is_err(), "{value:?}");
    }
    let bearer = |secret: &str| HeaderValue::Secret {
        prefix: "Bearer ".into(),
        secret: secret.into(),
    };
    assert_eq!(check("Authorization", bearer("token")), Ok(()));
    assert_eq!(
        check("Authorization", bearer("prod-keys")),
        Err(PlanError::Secret("prod-keys".into()))
    );
    // The secret's hosts are checked apart from the plugin's.
    let mut request = signed("GET", "http://plain.example.com:8080/a");
    request.headers = vec![("Authorization".into(), bearer("token"))];
    assert!(check_signed(&grants(), &mut request, Operation::Get, 100).is_err());
    let basic = HeaderValue::Basic {
        user: "a:b".into(),
        secret: "token".into(),
    };
    assert!(check("Authorization", basic).is_err());
}

#[test]
fn requests_do_only_what_was_asked() {
    let url = "https://artifactory.example.com/a";
    for (operation, method, is_ok) in [
        (Operation::Get, "GET", true),
        (Operation::Get, "DELETE", false),
        (Operation::Get, "get", false),
        (Operation::Head, "HEAD", true),
        (Operation::Head, "GET", false),
        (Operation::Put, "PUT", true),
        (Operation::Put, "GET", false),
        (Operation::Delete, "DELETE", true),
        (Operation::Delete, "PUT", false),
        (Operation::Presign(60), "GET", true),
        (Operation::Presign(60), "PUT", false),
        (Operation::Prepare, "MKCOL", true),
        (Operation::Prepare, "DELETE", false),
        (Operation::Get, "GET / HTTP/1.1\r\nX: y", false),
    ] {
        let outcome = check_signed(&grants(), &mut signed(method, url), operation, 100);
        assert_eq!(outcome.is_ok(), is_ok, "{operation:?} {method}");
    }
    let mut link = signed("GET", url);
    link.headers = vec![("X-A".into(), HeaderValue::Plain("b".into()))];
    assert!(check_signed(&grants(), &mut link, Operation::Presign(60), 100).is_err());
    let mut late = signed("GET", url);
    late.expires_at = 100;
    assert!(check_signed(&grants(), &mut late, Operation::Get, 100).is_err());
    for (name, success, exists, missing) in [
        ("nothing succeeds", vec![], vec![], vec![]),
        ("an error succeeds", vec![500], vec![], vec![]),
        ("a redirect succeeds", vec![302], vec![], vec![]),
        ("success is missing", vec![200], vec![], vec![200]),
        ("overlap", vec![200], vec![409], vec![409]),
        ("too many", vec![200; 17], vec![], vec![]),
    ] {
        let mut request = signed("GET", url);
        (request.success, request.exists, request.missing) = (success, exists, missing);
        assert!(
            check_signed(&grants(), &mut request, Operation::Get, 100).is_err(),
            "{name}"
        );
    }
}

proptest! {
    #[test]
    fn an_accepted_key_stays_beneath_its_root(key in "[a./\\\\%\u{0}-\u{20}]{0,12}") {
        if check_key(&key).is_ok() {
            let path = std::path::Path::new("/root").join(&key);
            prop_assert!(path.components().all(|c| !matches!(c, std::path::Component::ParentDir)));
            prop_assert!(path.starts_with("/root") && path != std::path::Path::new("/root"));
        }
    }

    #[test]
    fn an_accepted_url_goes_to_a_granted_host(
        prefix in "(https?|ftp)://[a-z@.:/\\\\\\[\\]#?]{0,10}",
        suffix in "[a-z@.:/\\\\#?]{0,10}",
    ) {
        let text = format!("{prefix}artifactory.example.com{suffix}");
        if let Ok(url) = check_url(&grants(), &text) {
            prop_assert_eq!(url.host_str(), Some("artifactory.example.com"));
            prop_assert_eq!(url.port_or_known_default(), Some(443));
        }
    }
}

//! Settings that are wrong.

use super::*;

#[test]
fn hostile_urls_are_problems() {
    let long = format!("https://h.example/{}", "a/".repeat(300));
    for (name, url) in [
        ("empty", ""),
        ("relative", "repository/raw"),
        ("no scheme", "//depot.example.com/raw"),
        ("another scheme", "ftp://depot.example.com/raw"),
        ("file", "file:///etc"),
        ("no host", "https:///raw"),
        ("user", "https://ann@depot.example.com/raw"),
        (
            "user and password",
            "https://ann:s3cret@depot.example.com/raw",
        ),
        ("query", "https://depot.example.com/raw?token=s3cret"),
        ("fragment", "https://depot.example.com/raw#x"),
        ("query on the host", "https://depot.example.com?x"),
        ("parent", "https://depot.example.com/raw/../other"),
        ("dot", "https://depot.example.com/./raw"),
        ("double slash", "https://depot.example.com//raw"),
        ("space", "https://depot.example.com/a b"),
        ("line break", "https://depot.example.com/a\\r\\nHost: x"),
        ("line break in the host", "https://depot\\r\\n.example.com/"),
        ("backslash", "https://depot.example.com\\\\raw"),
        ("unescaped", "https://depot.example.com/ä"),
        ("placeholder", "https://depot.example.com/{x}"),
        ("long", long.as_str()),
    ] {
        let result = validate(&format!(r#"{{"url": "{url}"}}"#));
        assert_eq!(problem_paths(result), ["operator.url"], "{name}");
    }
}

#[test]
fn every_mistake_is_reported_with_its_path() {
    for (name, settings, paths) in [
        ("nothing", "", vec!["operator"]),
        ("not an object", "[]", vec!["operator"]),
        ("empty", "{}", vec!["operator.url"]),
        ("unknown", &with(r#""uri": 1"#), vec!["operator.uri"]),
        ("word", &with(r#""auth": "basic""#), vec!["operator.auth"]),
        ("number", &with(r#""auth": 7"#), vec!["operator.auth"]),
        ("no way", &with(r#""auth": {}"#), vec!["operator.auth"]),
        (
            "two ways",
            &with(r#""auth": {"bearer": {"secret": "a"}, "basic": {"user": "u", "secret": "a"}}"#),
            vec!["operator.auth"],
        ),
        (
            "unknown way",
            &with(r#""auth": {"baerer": {"secret": "a"}}"#),
            vec!["operator.auth.baerer", "operator.auth"],
        ),
        (
            "secret's value as a name",
            &with(r#""auth": {"bearer": {"secret": "s3cret/with+base64=="}}"#),
            vec!["operator.auth.bearer.secret"],
        ),
        (
            "climbing secret",
            &with(r#""auth": {"bearer": {"secret": "../token"}}"#),
            vec!["operator.auth.bearer.secret"],
        ),
        (
            "basic",
            &with(r#""auth": {"basic": {"user": "a:b", "password": "x"}}"#),
            vec![
                "operator.auth.basic.password",
                "operator.auth.basic.user",
                "operator.auth.basic.secret",
            ],
        ),
        (
            "header of the host",
            &with(r#""auth": {"header": {"name": "Host", "secret": "a"}}"#),
            vec!["operator.auth.header.name"],
        ),
        (
            "header with a line break",
            &with(
                r#""auth": {"header": {"name": "X-A", "prefix": "a\r\nHost: x", "secret": "a"}}"#,
            ),
            vec!["operator.auth.header.prefix"],
        ),
        (
            "no header",
            &with(r#""auth": {"header": {"name": "X A", "secret": "a"}}"#),
            vec!["operator.auth.header.name"],
        ),
        (
            "both",
            &with(r#""auth": {"bearer": {"secret": "a"}}, "sign": {"secret": "a"}"#),
            vec!["operator.sign"],
        ),
        (
            "signing",
            &with(
                r#""sign": {"encoding": "utf8", "lifetime": 0, "format": "base64", "message": "{path}", "expires": "a&b", "signature": ""}"#,
            ),
            vec![
                "operator.sign.secret",
                "operator.sign.encoding",
                "operator.sign.lifetime",
                "operator.sign.format",
                "operator.sign.message",
                "operator.sign.expires",
                "operator.sign.signature",
            ],
        ),
        (
            "one parameter for both",
            &with(r#""sign": {"secret": "a", "expires": "x", "signature": "x"}"#),
            vec!["operator.sign.signature"],
        ),
        (
            "unknown placeholder",
            &with(r#""sign": {"secret": "a", "message": "{path}{expires}{body}"}"#),
            vec!["operator.sign.message"],
        ),
        (
            "open brace",
            &with(r#""sign": {"secret": "a", "message": "{path}{expires}{"}"#),
            vec!["operator.sign.message"],
        ),
        (
            "statuses",
            &with(
                r#""statuses": {"put": [], "get": [404], "delete": ["200"], "exists": [200, 404], "missing": [404], "head": [200]}"#,
            ),
            vec![
                "operator.statuses.head",
                "operator.statuses.get[0]",
                "operator.statuses.delete[0]",
                "operator.statuses.exists[0]",
                "operator.statuses.put",
                "operator.statuses.get",
                "operator.statuses.delete",
                "operator.statuses.exists",
            ],
        ),
        (
            "flags",
            &with(r#""ifNoneMatch": "yes", "createCollections": 1"#),
            vec!["operator.ifNoneMatch", "operator.createCollections"],
        ),
    ] {
        assert_eq!(problem_paths(validate(settings)), paths, "{name}");
    }
    assert!(validate(OPEN).is_ok());
}

#[test]
fn no_problem_shows_what_may_be_a_secret() {
    let settings = with(r#""auth": {"bearer": {"secret": "s3cret/with+base64=="}}"#);
    let user = r#"{"url": "https://ann:s3cret@depot.example.com/raw"}"#;
    let query = r#"{"url": "https://depot.example.com/raw?token=s3cret"}"#;
    for settings in [settings.as_str(), user, query] {
        let shown = format!("{:?}", validate(settings));
        assert!(!shown.contains("s3cret"), "{shown}");
    }
}

#[test]
fn hostile_paths_of_resources_are_problems() {
    let deep = ["a"; 17].join("/");
    for (name, path) in [
        ("empty", ""),
        ("absolute", "/team"),
        ("final slash", "team/"),
        ("double slash", "team//a"),
        ("parent", "team/../../other"),
        ("dot", "./team"),
        ("backslash", "team\\\\a"),
        ("line break", "team\\r\\nHost: x"),
        ("nul", "team\\u0000"),
        ("deep", deep.as_str()),
    ] {
        let backend = format!(r#"{{"path": "{path}"}}"#);
        let configuration = configuration(OPEN, Some(&backend));
        assert_eq!(
            problem_paths(Http::validate(&configuration)),
            ["backend.path"],
            "{name}"
        );
        let placed = Http::locate(&configuration, &artifact(None, "a.zip"));
        assert!(matches!(placed, Err(Error::InvalidSettings(_))), "{name}");
    }
    let result = Http::validate(&configuration("{}", Some(r#"{"url": "x", "path": 7}"#)));
    let mut paths = problem_paths(result);
    paths.sort();
    assert_eq!(paths, ["backend.path", "backend.url", "operator.url"]);
}

use super::*;
use std::collections::HashSet;
use std::fs;
use std::time::Duration;

fn groups(names: &[&str]) -> Vec<String> {
    names.iter().map(|&name| name.to_owned()).collect()
}

fn entry(name: &str, digest: char, rest: &str) -> String {
    let digest = digest.to_string().repeat(64);
    format!("- {{name: {name}, sha256: \"{digest}\", createdAt: 2026-01-01T00:00:00Z{rest}}}\n")
}

fn parse(text: &str) -> Result<Document, Error> {
    Document::parse(Path::new("tokens.yaml"), text.as_bytes())
}

#[test]
fn a_token_is_made_found_listed_and_revoked() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("tokens.yaml");
    let ci = TokenFile::create(
        &path,
        "ci",
        &groups(&["build", "it's \"quoted\": #x"]),
        None,
    )
    .unwrap();
    let dev = TokenFile::create(&path, "dev", &[], Some(now() + 100)).unwrap();
    assert!(ci.len() == 47 && ci.starts_with("odp_") && ci != dev);

    let file = TokenFile::open(&path).unwrap();
    let subject = file.authenticate(&ci, now()).unwrap();
    assert_eq!(subject.name, "ci");
    assert_eq!(subject.groups, groups(&["build", "it's \"quoted\": #x"]));
    assert!(file.authenticate(&dev, now()).is_some());
    assert!(file.authenticate(&dev, now() + 100).is_none(), "expired");

    let names: Vec<_> = TokenFile::list(&path)
        .unwrap()
        .into_iter()
        .map(|token| token.name)
        .collect();
    assert_eq!(names, ["ci", "dev"]);
    TokenFile::revoke(&path, "ci").unwrap();
    assert!(matches!(
        TokenFile::revoke(&path, "ci"),
        Err(Error::NoSuchToken { .. })
    ));
    assert!(file.reload());
    assert!(file.authenticate(&ci, now()).is_none());
    assert!(file.authenticate(&dev, now()).is_some());

    let content = fs::read_to_string(&path).unwrap();
    for secret in [&ci, &dev] {
        assert!(!content.contains(&secret[4..12]) && !format!("{file:?}").contains(&secret[4..12]));
    }
}

#[test]
fn only_the_exact_token_is_found() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("tokens.yaml");
    let token = TokenFile::create(&path, "ci", &[], None).unwrap();
    let file = TokenFile::open(&path).unwrap();
    let digest = TokenFile::list(&path).unwrap().remove(0).sha256.to_string();
    let refused = [
        String::new(),
        "odp_".to_owned(),
        token[4..].to_owned(),
        token.to_uppercase(),
        token[..46].to_owned(),
        format!("{token}A"),
        format!("{token}="),
        format!(" {token}"),
        digest,
        format!("odp_{}", "A".repeat(43)),
        "a".repeat(1 << 20),
    ];
    for text in refused {
        assert!(file.authenticate(&text, now()).is_none(), "{text:.60}");
    }
    assert!(file.authenticate(&token, now()).is_some());
}

#[test]
fn creating_refuses_what_the_file_would() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("tokens.yaml");
    TokenFile::create(&path, "ci", &[], None).unwrap();
    let many = vec!["g".to_owned(); 1001];
    let long = "g".repeat(257);
    let cases: &[(&str, &str, Vec<String>, Option<u64>)] = &[
        ("taken", "ci", vec![], None),
        ("no name", "", vec![], None),
        ("name with newline", "a\nb", vec![], None),
        ("name with space around", " a", vec![], None),
        ("long name", &long, vec![], None),
        ("too many groups", "a", many, None),
        ("empty group", "a", groups(&[""]), None),
        ("long group", "a", groups(&[&long]), None),
        ("reserved group", "a", groups(&["client:ci"]), None),
        ("past", "a", vec![], Some(1)),
        ("far future", "a", vec![], Some(u64::MAX)),
    ];
    for (name, token, groups, expires_at) in cases {
        let result = TokenFile::create(&path, token, groups, *expires_at);
        assert!(
            matches!(result, Err(Error::Invalid { .. } | Error::NameTaken { .. })),
            "{name}: {result:?}"
        );
    }
    assert_eq!(TokenFile::list(&path).unwrap().len(), 1);
    assert!(TokenFile::create(&path, "max", &vec!["g".repeat(256); 1000], None).is_ok());
    assert!(TokenFile::open(&path).is_ok());
}

#[test]
fn names_and_groups_survive_yaml() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("tokens.yaml");
    let awkward = [
        "null",
        "true",
        "1e400",
        "0x10",
        "- a",
        "{a: b}",
        "a: b",
        "# c",
        "&a",
        "*a",
        "!!str x",
        "'",
        "\"",
        "ä\u{202e}b",
        "~",
        "2026-01-01",
        "%",
        "@",
        "`",
        "|",
        ">",
    ];
    for name in awkward {
        TokenFile::create(&path, name, &groups(&[name, "=", "<<"]), None).unwrap();
    }
    let names: Vec<_> = TokenFile::list(&path)
        .unwrap()
        .into_iter()
        .map(|token| token.name)
        .collect();
    assert_eq!(names, awkward);
}

#[test]
fn bad_files_are_refused() {
    let (a, b) = (
        entry("a", 'a', ""),
        entry("b", 'b', ", groups: [x], expiresAt: 2027-01-01T00:00:00Z"),
    );
    assert_eq!(
        parse(&format!("version: 1\ntokens:\n{a}{b}"))
            .unwrap()
            .tokens
            .len(),
        2
    );
    assert!(parse("version: 1\ntokens: []\n").is_ok());
    let many: String = "version: 1\ntokens:\n".to_owned()
        + &(0..=crate::MAX_TOKENS)
            .map(|n| {
                format!("- {{name: n{n}, sha256: \"{n:064x}\", createdAt: 2026-01-01T00:00:00Z}}\n")
            })
            .collect::<String>();
    let cases = [
        ("empty", String::new()),
        ("no version", format!("tokens:\n{a}")),
        ("other version", format!("version: 2\ntokens:\n{a}")),
        (
            "unknown field",
            format!("version: 1\ntoken: x\ntokens:\n{a}"),
        ),
        (
            "unknown token field",
            format!("version: 1\ntokens:\n{}", entry("a", 'a', ", scope: all")),
        ),
        (
            "duplicate name",
            format!("version: 1\ntokens:\n{a}{}", entry("a", 'b', "")),
        ),
        (
            "duplicate digest",
            format!("version: 1\ntokens:\n{a}{}", entry("b", 'a', "")),
        ),
        (
            "duplicate key",
            format!("version: 1\nversion: 1\ntokens:\n{a}"),
        ),
        (
            "bad digest",
            format!("version: 1\ntokens:\n{}", entry("a", 'g', "")),
        ),
        (
            "bad time",
            format!(
                "version: 1\ntokens:\n{}",
                entry("a", 'a', ", expiresAt: tomorrow")
            ),
        ),
        (
            "reserved group",
            format!(
                "version: 1\ntokens:\n{}",
                entry("a", 'a', ", groups: [\"client:x\"]")
            ),
        ),
        ("plain token", "version: 1\ntokens: [odp_x]\n".to_owned()),
        (
            "two documents",
            format!("version: 1\ntokens: []\n---\nversion: 1\ntokens:\n{a}"),
        ),
        ("too many", many),
        ("binary", "\0\0\0".to_owned()),
    ];
    for (name, text) in cases {
        let result = parse(&text);
        assert!(
            matches!(result, Err(Error::Malformed { .. })),
            "{name}: {result:?}"
        );
    }
}

#[test]
fn a_full_file_is_read_and_an_alias_is_not() {
    let tokens = |groups: fn(usize) -> &'static str| -> String {
        (0..crate::MAX_TOKENS)
            .map(|n| {
                let groups = groups(n);
                format!("- {{name: n{n}, sha256: \"{n:064x}\", createdAt: 2026-01-01T00:00:00Z, groups: {groups}}}\n")
            })
            .collect()
    };
    let full = parse(&format!("version: 1\ntokens:\n{}", tokens(|_| "[a, b]"))).unwrap();
    assert_eq!(full.tokens.len(), crate::MAX_TOKENS);
    // Ten thousand times the same thousand groups would be gigabytes.
    let error = parse(&format!(
        "version: 1\ntokens:\n{}",
        tokens(|n| if n == 0 { "&g [a, b]" } else { "*g" })
    ))
    .unwrap_err();
    assert!(error.to_string().contains("alias"), "{error}");
}

#[test]
fn a_broken_file_changes_nothing_and_recovers() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("tokens.yaml");
    let token = TokenFile::create(&path, "ci", &[], None).unwrap();
    let good = fs::read(&path).unwrap();
    let file = TokenFile::open(&path).unwrap();
    assert!(!file.reload(), "nothing changed");

    fs::write(&path, "version: 1\ntokens: [").unwrap();
    assert!(!file.reload());
    assert!(file.failure().is_some() && file.authenticate(&token, now()).is_some());

    fs::remove_file(&path).unwrap();
    assert!(!file.reload());
    assert!(file.failure().unwrap().contains("does not exist"));
    assert!(file.authenticate(&token, now()).is_some());

    // Back to what is in force, through the broken content and past it.
    fs::write(&path, &good).unwrap();
    assert!(file.reload());
    assert_eq!(file.failure(), None);
    fs::remove_file(&path).unwrap();
    assert!(!file.reload());
    fs::write(&path, &good).unwrap();
    assert!(!file.reload(), "the same content is no news");
    assert_eq!(file.failure(), None);
}

#[test]
fn concurrent_changes_are_all_kept() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("tokens.yaml");
    std::thread::scope(|scope| {
        for n in 0..16 {
            let path = &path;
            scope.spawn(move || TokenFile::create(path, &format!("t{n}"), &[], None).unwrap());
        }
    });
    let names: HashSet<_> = TokenFile::list(&path)
        .unwrap()
        .into_iter()
        .map(|token| token.name)
        .collect();
    assert_eq!(names.len(), 16);
}

#[tokio::test]
async fn a_change_is_in_force_within_two_seconds() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("tokens.yaml");
    let token = TokenFile::create(&path, "ci", &[], None).unwrap();
    let file = Arc::new(TokenFile::open(&path).unwrap());
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let watcher = tokio::spawn(Arc::clone(&file).watch(async {
        let _ = stopped.await;
    }));
    TokenFile::revoke(&path, "ci").unwrap();
    let gone = async {
        let mut ticks = tokio::time::interval(Duration::from_millis(10));
        while file.authenticate(&token, now()).is_some() {
            ticks.tick().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(2), gone)
        .await
        .expect("revoked within two seconds");
    stop.send(()).unwrap();
    tokio::time::timeout(Duration::from_secs(1), watcher)
        .await
        .expect("the watcher stops")
        .unwrap();
}

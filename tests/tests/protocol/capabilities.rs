//! Capabilities: URLs that authorise themselves, and nothing but what they name (A33).

use crate::{
    as_go_getter, expect_error, module_location, package, parameter, path_of, serve, text,
};
use opendepot_tests::{Module, Registry, Release};

/// The capability URLs of a server, by what they open.
async fn capabilities(registry: &Registry) -> Vec<String> {
    let document = registry
        .json(&package("note", "1.0.0", "linux/amd64"))
        .await;
    let mut paths = vec![as_go_getter(
        &module_location(registry, "hello", "1.0.0").await,
    )];
    for member in ["/download_url", "/shasums_url", "/shasums_signature_url"] {
        paths.push(path_of(registry, text(&document, member)));
    }
    paths
}

async fn server() -> Registry {
    let registry = serve(
        &[
            Module::new("hello").versions(&["1.0.0", "1.1.0"]),
            Module::new("other"),
        ],
        &[
            Release::new("note").versions(&["1.0.0", "1.1.0"]),
            Release::new("other-note"),
        ],
    )
    .await;
    registry.wait_module("hello", &["1.1.0", "1.0.0"]).await;
    registry.wait_module("other", &["1.0.0"]).await;
    registry.wait_provider("note", &["1.1.0", "1.0.0"]).await;
    registry.wait_provider("other-note", &["1.0.0"]).await;
    registry
}

#[tokio::test]
async fn an_altered_signature_or_expiry_is_refused() {
    let registry = server().await;
    for path in capabilities(&registry).await {
        assert_eq!(registry.status(&path).await, 200, "{path}");
        let signature = parameter(&path, "signature").unwrap().to_owned();
        let expires = parameter(&path, "expires").unwrap().to_owned();
        let later = (expires.parse::<u64>().unwrap() + 300).to_string();
        let other_case = match signature.to_uppercase() {
            upper if upper != signature => upper,
            _ => signature.to_lowercase(),
        };
        let flipped = match signature.as_bytes()[0] {
            b'a' => format!("b{}", &signature[1..]),
            _ => format!("a{}", &signature[1..]),
        };
        let of = |name: &str, from: &str, to: &str| {
            path.replace(&format!("{name}={from}"), &format!("{name}={to}"))
        };
        let hostile = [
            ("flipped", of("signature", &signature, &flipped)),
            (
                "truncated",
                of("signature", &signature, &signature[..signature.len() - 1]),
            ),
            (
                "extended",
                of("signature", &signature, &format!("{signature}0")),
            ),
            ("other case", of("signature", &signature, &other_case)),
            ("empty", of("signature", &signature, "")),
            ("not text", of("signature", &signature, "%00%ff")),
            ("later", of("expires", &expires, &later)),
            (
                "no expiry",
                path.replace(&format!("expires={expires}"), "e=1"),
            ),
            (
                "no signature",
                path.replace(&format!("signature={signature}"), "s=1"),
            ),
            ("expired", of("expires", &expires, "1")),
            (
                "no platform",
                of("signature", &signature, "x").replace("os=linux&arch=amd64&", ""),
            ),
            ("negative", of("expires", &expires, "-1")),
            ("huge", of("expires", &expires, "99999999999999999999999")),
            (
                "leading zero",
                of("expires", &expires, &format!("0{expires}")),
            ),
            (
                "leading plus",
                of("expires", &expires, &format!("%2B{expires}")),
            ),
        ];
        for (what, altered) in hostile {
            let status = registry.status(&altered).await;
            // A parameter that is there twice, or is no number, may also be bad grammar.
            let is_grammar = matches!(
                what,
                "negative" | "huge" | "leading zero" | "leading plus" | "not text" | "empty"
            );
            assert!(
                status == 403 || (is_grammar && status == 400),
                "{what}: {status} for {altered}"
            );
        }
    }
}

#[tokio::test]
async fn a_bad_capability_is_refused_whatever_else_is_sent() {
    // Anonymous reading is on here, and still: a request that carries one is judged by it alone.
    let registry = server().await;
    for path in capabilities(&registry).await {
        let signature = parameter(&path, "signature").unwrap();
        let altered = path.replace(signature, "AAAA");
        let answer = registry
            .get(&altered)
            .header("authorization", "Bearer x")
            .send()
            .await
            .unwrap();
        expect_error(answer, 403).await;
        // Valid: a credential that rides along (go-getter sends netrc) is ignored.
        let answer = registry
            .get(&path)
            .header("authorization", "Basic bmV0cmM6eA==")
            .send()
            .await
            .unwrap();
        assert_eq!(answer.status(), 200, "{path}");
    }
}

#[tokio::test]
async fn a_capability_opens_nothing_else() {
    let registry = server().await;
    let all = capabilities(&registry).await;
    let [module, archive, sums, signature] = &all[..] else {
        panic!("{all:?}")
    };
    let query = |path: &str| path.split_once('?').unwrap().1.to_owned();
    let signed = |path: &str| {
        format!(
            "expires={}&signature={}",
            parameter(path, "expires").unwrap(),
            parameter(path, "signature").unwrap()
        )
    };
    let other_module = as_go_getter(&module_location(&registry, "other", "1.0.0").await);
    let newer_module = as_go_getter(&module_location(&registry, "hello", "1.1.0").await);
    let bare = |path: &str| path.split_once('?').unwrap().0.to_owned();
    let hostile = [
        (
            "another module",
            format!("{}?{}", bare(&other_module), signed(module)),
        ),
        (
            "another version",
            format!("{}?{}", bare(&newer_module), signed(module)),
        ),
        (
            "another provider",
            archive.replace("/note/", "/other-note/"),
        ),
        (
            "another provider version",
            archive.replace("/1.0.0", "/1.1.0"),
        ),
        (
            "another platform",
            archive
                .replace("os=linux", "os=darwin")
                .replace("arch=amd64", "arch=arm64"),
        ),
        (
            "sums as archive",
            format!("{}?os=linux&arch=amd64&{}", bare(archive), signed(sums)),
        ),
        (
            "archive as sums",
            format!("{}?{}", bare(sums), signed(archive)),
        ),
        (
            "sums as signature",
            format!("{}?{}", bare(signature), query(sums)),
        ),
        (
            "signature as sums",
            format!("{}?{}", bare(sums), query(signature)),
        ),
        (
            "another platform's sums",
            sums.replace("linux/amd64", "darwin/arm64"),
        ),
    ];
    for (what, path) in hostile {
        assert!(!all.contains(&path), "{what} changes nothing: {path}");
        assert_eq!(registry.status(&path).await, 403, "{what}: {path}");
    }
}

#[tokio::test]
async fn order_and_clients_own_parameters_do_not_matter() {
    let registry = server().await;
    for path in capabilities(&registry).await {
        let (bare, query) = path.split_once('?').unwrap();
        let mut pairs: Vec<&str> = query.split('&').collect();
        pairs.reverse();
        let turned = format!(
            "{bare}?{}&archive=zip&checksum=sha256%3Aabc",
            pairs.join("&")
        );
        assert_eq!(registry.status(&turned).await, 200, "{turned}");
    }
}

#[tokio::test]
async fn capabilities_of_another_installation_are_refused() {
    let (one, two) = (server().await, server().await);
    for path in capabilities(&one).await {
        let status = two.status(&path).await;
        assert!(matches!(status, 403 | 404), "{status} for {path}");
    }
}

#[tokio::test]
async fn capabilities_survive_a_restart() {
    let registry = server().await;
    let paths = capabilities(&registry).await;
    let (status, setup) = registry.stop().await;
    assert!(status.success());
    let registry = setup.start().await;
    registry.wait_module("hello", &["1.1.0", "1.0.0"]).await;
    registry.wait_provider("note", &["1.1.0", "1.0.0"]).await;
    for path in paths {
        assert_eq!(registry.status(&path).await, 200, "{path}");
    }
}

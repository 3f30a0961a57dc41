//! Artifact bodies: ranges, conditions, HEAD, caching, storage coordinates.

use crate::{
    as_go_getter, expect_error, module_location, package, path_of, serve, text, with_module,
    with_provider,
};
use opendepot_tests::fixture::noise;
use opendepot_tests::server::MODULES;
use opendepot_tests::{Module, Registry};

/// A server with a module of incompressible 64 KiB, and where its bytes are.
async fn with_bytes() -> (Registry, String, Vec<u8>) {
    let module = Module::new("blob").file("data.bin", noise(64 << 10, 2));
    let registry = serve(&[module], &[]).await;
    registry.wait_module("blob", &["1.0.0"]).await;
    let path = as_go_getter(&module_location(&registry, "blob", "1.0.0").await);
    let bytes = registry
        .get(&path)
        .send()
        .await
        .unwrap()
        .bytes()
        .await
        .unwrap()
        .to_vec();
    (registry, path, bytes)
}

#[tokio::test]
async fn one_range_is_exact() {
    // H17
    let (registry, path, bytes) = with_bytes().await;
    let len = bytes.len();
    let cases = [
        ("bytes=0-0".to_owned(), 0..1),
        ("bytes=10-99".to_owned(), 10..100),
        ("bytes=1000-".to_owned(), 1000..len),
        ("bytes=-7".to_owned(), len - 7..len),
        (format!("bytes=0-{}", len + 5), 0..len),
        (format!("bytes=-{}", len + 5), 0..len),
    ];
    for (range, expected) in cases {
        let answer = registry
            .get(&path)
            .header("range", &range)
            .send()
            .await
            .unwrap();
        assert_eq!(answer.status(), 206, "{range}");
        let content_range = format!("bytes {}-{}/{len}", expected.start, expected.end - 1);
        assert_eq!(answer.headers()["content-range"], content_range, "{range}");
        assert_eq!(answer.bytes().await.unwrap(), bytes[expected], "{range}");
    }
}

#[tokio::test]
async fn ranges_that_cannot_be_are_416_and_odd_ones_give_the_whole_body() {
    let (registry, path, bytes) = with_bytes().await;
    for range in [format!("bytes={}-", bytes.len()), "bytes=-0".to_owned()] {
        let answer = registry
            .get(&path)
            .header("range", &range)
            .send()
            .await
            .unwrap();
        assert_eq!(answer.status(), 416, "{range}");
        let expected = format!("bytes */{}", bytes.len());
        assert_eq!(answer.headers()["content-range"], expected, "{range}");
    }
    let many = (0..1000)
        .map(|n| format!("{n}-{n}"))
        .collect::<Vec<_>>()
        .join(",");
    for range in [
        &*format!("bytes={many}"),
        "bytes=0-9,5-14",
        "bytes=9-3",
        "lines=1-2",
        "bytes=a-b",
        "bytes",
    ] {
        let answer = registry
            .get(&path)
            .header("range", range)
            .send()
            .await
            .unwrap();
        match answer.status().as_u16() {
            200 => assert_eq!(answer.bytes().await.unwrap(), bytes),
            status => assert_eq!(status, 416, "{}", &range[..range.len().min(40)]),
        }
    }
}

#[tokio::test]
async fn conditions_are_judged_by_the_digest() {
    let (registry, path, bytes) = with_bytes().await;
    let answer = registry.get(&path).send().await.unwrap();
    let tag = answer.headers()["etag"].to_str().unwrap().to_owned();
    assert!(
        tag.starts_with('"') && tag.ends_with('"'),
        "not a strong tag: {tag}"
    );
    let send = |headers: Vec<(&'static str, String)>| {
        let mut request = registry.get(&path);
        for (name, value) in headers {
            request = request.header(name, value);
        }
        async move { request.send().await.unwrap() }
    };
    let answer = send(vec![("if-none-match", tag.clone())]).await;
    assert_eq!(answer.status(), 304);
    assert!(answer.bytes().await.unwrap().is_empty());
    assert_eq!(
        send(vec![("if-none-match", "\"other\"".to_owned())])
            .await
            .status(),
        200
    );
    let with_range = |condition: String| {
        send(vec![
            ("range", "bytes=0-9".to_owned()),
            ("if-range", condition),
        ])
    };
    assert_eq!(with_range(tag.clone()).await.status(), 206);
    let answer = with_range("\"old\"".to_owned()).await;
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.bytes().await.unwrap(), bytes);
}

#[tokio::test]
async fn head_is_get_without_a_body() {
    // H12
    let (registry, path, bytes) = with_bytes().await;
    let versions = format!("{MODULES}/team/blob/local/versions");
    for path in [&*path, &versions, "/.well-known/terraform.json"] {
        let get = registry.get(path).send().await.unwrap();
        let head = registry
            .request(reqwest::Method::HEAD, path)
            .send()
            .await
            .unwrap();
        assert_eq!(get.status(), head.status(), "{path}");
        for (name, value) in get.headers() {
            if !matches!(name.as_str(), "date" | "x-request-id") {
                assert_eq!(head.headers().get(name), Some(value), "{path}: {name}");
            }
        }
        assert!(head.bytes().await.unwrap().is_empty(), "{path}");
    }
    let head = registry
        .request(reqwest::Method::HEAD, &path)
        .send()
        .await
        .unwrap();
    assert_eq!(head.headers()["content-length"], bytes.len().to_string());
    assert_eq!(head.headers()["accept-ranges"], "bytes");
}

#[tokio::test]
async fn caching_is_said_for_each_kind_of_answer() {
    // H19
    let (registry, _) = with_provider().await;
    let control = |answer: &reqwest::Response| {
        answer.headers()["cache-control"]
            .to_str()
            .unwrap()
            .to_lowercase()
    };
    let path = package("note", "1.0.0", "linux/amd64");
    let answer = registry.get(&path).send().await.unwrap();
    let value = control(&answer);
    assert!(
        value.contains("private") && value.contains("no-store"),
        "{value}"
    );
    assert!(
        answer.headers()["vary"]
            .to_str()
            .unwrap()
            .to_lowercase()
            .contains("authorization")
    );
    let document: serde_json::Value = answer.json().await.unwrap();
    let url = path_of(&registry, text(&document, "/download_url"));
    let value = control(&registry.get(&url).send().await.unwrap());
    assert!(
        value.contains("private") && value.contains("immutable"),
        "{value}"
    );
}

#[tokio::test]
async fn archives_are_never_compressed() {
    // H25
    let (registry, path, bytes) = with_bytes().await;
    let request = registry
        .get(&path)
        .header("accept-encoding", "br, gzip, zstd");
    let answer = request.send().await.unwrap();
    assert!(answer.headers().get("content-encoding").is_none());
    assert_eq!(answer.headers()["content-length"], bytes.len().to_string());
}

#[tokio::test]
async fn a_file_checksum_that_differs_is_a_conflict() {
    // H24: and it never replaces our own check.
    let registry = with_module().await;
    let path = as_go_getter(&module_location(&registry, "hello", "1.0.0").await);
    let own = crate::parameter(&path, "fileChecksum").unwrap().to_owned();
    let other = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA%3D";
    let answer = registry
        .get(&path.replace(&own, other))
        .send()
        .await
        .unwrap();
    expect_error(answer, 409).await;
    let twice = registry
        .status(&format!("{path}&fileChecksum={other}"))
        .await;
    assert!(matches!(twice, 400 | 409), "{twice}");
}

#[tokio::test]
async fn only_coordinates_of_a_published_record_resolve() {
    // S24. In anonymous mode a directory outside the mount is 403, as in the original.
    let registry = with_module().await;
    let base = format!("{MODULES}/download");
    for path in [
        format!("{base}/s3/bucket/eu-central-1/hello/file.zip"),
        format!("{base}/gcs/bucket/hello/file.zip"),
        format!(
            "{base}/azure/sub/group/account/https%3A%2F%2Fa.blob.core.windows.net/hello/file.zip"
        ),
        format!("{base}/plugin/storage-fs/hello/file.zip"),
        format!("{base}/plugin/nothing/hello/file.zip"),
    ] {
        expect_error(registry.get(&path).send().await.unwrap(), 404).await;
    }
    // base64url of `/etc`
    let answer = registry
        .get(&format!("{base}/fileSystem/L2V0Yw/hello/passwd"))
        .send()
        .await
        .unwrap();
    assert!(
        matches!(answer.status().as_u16(), 403 | 404),
        "{}",
        answer.status()
    );
}

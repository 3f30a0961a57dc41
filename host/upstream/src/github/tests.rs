use super::*;
use crate::container::fetch_module;
use crate::testing::{Page, Server, fetcher};
use opendepot_domain::Kind;
use serde_json::json;

const SHA: &str = "0123456789abcdef0123456789abcdef01234567";
const TAG_SHA: &str = "89abcdef0123456789abcdef0123456789abcdef";
const ZIP: &[u8] = b"PK\x03\x04 an archive";

fn repository() -> Repository {
    Repository::new("acme", "terraform-aws-vpc").unwrap()
}

fn version() -> Version {
    Version::parse("1.2.3").unwrap()
}

fn tag_page(tag: &str, type_: &str, sha: &str) -> Page {
    Page::json(&json!({"ref": format!("refs/tags/{tag}"), "object": {"type": type_, "sha": sha}}))
}

/// A server with the repository and no tag.
async fn api() -> Server {
    let server = Server::start().await;
    server.page(
        "/repos/acme/terraform-aws-vpc",
        Page::json(&json!({"id": 4711, "full_name": "acme/terraform-aws-vpc"})),
    );
    server
}

fn github(server: &Server, token: Option<&str>) -> Github {
    Github::new(fetcher(&[server]), &server.url, token.map(Secret::new)).unwrap()
}

async fn resolve(server: &Server) -> Result<ModuleOrigin, Error> {
    github(server, None)
        .resolve(&repository(), "", &version(), ArchiveFormat::Zip)
        .await
}

#[tokio::test]
async fn a_tag_with_v_comes_first() {
    let server = api().await;
    server
        .page(
            "/repos/acme/terraform-aws-vpc/git/ref/tags/v1.2.3",
            tag_page("v1.2.3", "commit", SHA),
        )
        .page(
            "/repos/acme/terraform-aws-vpc/git/ref/tags/1.2.3",
            tag_page("1.2.3", "commit", TAG_SHA),
        );
    let origin = resolve(&server).await.unwrap();
    assert_eq!(
        (origin.tag.as_str(), origin.commit.as_str()),
        ("v1.2.3", SHA)
    );
    assert_eq!(origin.repository_id, 4711);
    assert_eq!(
        origin.url(),
        server.at(&format!("repos/acme/terraform-aws-vpc/zipball/{SHA}"))
    );
    assert_eq!(server.seen().len(), 2);
}

#[tokio::test]
async fn a_tag_without_v_comes_second() {
    let server = api().await;
    server.page(
        "/repos/acme/terraform-aws-vpc/git/ref/tags/1.2.3",
        tag_page("1.2.3", "commit", SHA),
    );
    assert_eq!(resolve(&server).await.unwrap().tag, "1.2.3");
}

#[tokio::test]
async fn no_tag_is_an_error_and_nothing_is_fetched() {
    let server = api().await;
    let error = resolve(&server).await.unwrap_err();
    assert!(matches!(&error, Error::TagNotFound { tags, .. } if tags == "`v1.2.3` or `1.2.3`"));
    assert_eq!(
        (error.kind(), error.reason()),
        (Kind::NotFound, "SourceNotFound")
    );
    assert!(!server.paths().iter().any(|path| path.contains("ball")));
}

#[tokio::test]
async fn a_missing_repository_is_told_apart() {
    let server = Server::start().await;
    let error = resolve(&server).await.unwrap_err();
    assert!(matches!(error, Error::RepositoryNotFound { .. }));
}

#[tokio::test]
async fn an_annotated_tag_leads_to_its_commit() {
    let server = api().await;
    server
        .page(
            "/repos/acme/terraform-aws-vpc/git/ref/tags/vpc/v1.2.3",
            tag_page("vpc/v1.2.3", "tag", TAG_SHA),
        )
        .page(
            &format!("/repos/acme/terraform-aws-vpc/git/tags/{TAG_SHA}"),
            Page::json(&json!({"object": {"type": "commit", "sha": SHA.to_uppercase()}})),
        );
    let origin = github(&server, None)
        .resolve(&repository(), "vpc/", &version(), ArchiveFormat::TarGz)
        .await
        .unwrap();
    assert_eq!(
        (origin.tag.as_str(), origin.commit.as_str()),
        ("vpc/v1.2.3", SHA)
    );
    assert!(origin.url().ends_with(&format!("/tarball/{SHA}")));
}

#[tokio::test]
async fn answers_that_are_not_about_the_tag_are_refused() {
    let path = "/repos/acme/terraform-aws-vpc/git/ref/tags/v1.2.3";
    let loops = format!("/repos/acme/terraform-aws-vpc/git/tags/{TAG_SHA}");
    for (case, page) in [
        ("another ref", tag_page("v1.2.30", "commit", SHA)),
        (
            "a branch",
            Page::json(
                &json!({"ref": "refs/heads/v1.2.3", "object": {"type": "commit", "sha": SHA}}),
            ),
        ),
        ("a tree", tag_page("v1.2.3", "tree", SHA)),
        ("no object id", tag_page("v1.2.3", "commit", "../../x")),
        ("a short object id", tag_page("v1.2.3", "commit", &SHA[1..])),
        ("a list", Page::ok("[]")),
        ("a page", Page::ok("<html>")),
        ("a circle", tag_page("v1.2.3", "tag", TAG_SHA)),
    ] {
        let server = api().await;
        server.page(path, page);
        server.page(
            &loops,
            Page::json(&json!({"object": {"type": "tag", "sha": TAG_SHA}})),
        );
        let error = resolve(&server).await.unwrap_err();
        assert!(matches!(error, Error::Answer { .. }), "{case}: {error}");
        assert!(server.seen().len() < 10, "{case}");
    }
}

#[tokio::test]
async fn a_rate_limit_says_when_to_come_back() {
    for (status, header, value, seconds) in [
        (429, "retry-after", "17", 17..=17),
        (403, "retry-after", "90", 90..=90),
        (403, "x-ratelimit-reset", "99999999999", 86_400..=86_400),
    ] {
        let server = Server::start().await;
        server.page(
            "/repos/acme/terraform-aws-vpc",
            Page::status(status, "{}").header(header, value),
        );
        let error = resolve(&server).await.unwrap_err();
        let wait = error.retry_after_seconds().unwrap();
        assert!(seconds.contains(&wait), "{header}: {wait}");
        assert_eq!(error.reason(), "RateLimited");
        assert_eq!(server.seen().len(), 1);
    }
}

#[tokio::test]
async fn refused_credentials_are_not_a_missing_repository() {
    let server = Server::start().await;
    server.page(
        "/repos/acme/terraform-aws-vpc",
        Page::status(401, "{\"message\":\"Bad credentials\"}"),
    );
    let error = resolve(&server).await.unwrap_err();
    assert_eq!(
        (error.kind(), error.reason()),
        (Kind::Denied, "AuthenticationFailed")
    );
}

#[tokio::test]
async fn the_token_stays_with_the_api() {
    let (api, archives) = (api().await, Server::start().await);
    api.page(
        "/repos/acme/terraform-aws-vpc/git/ref/tags/v1.2.3",
        tag_page("v1.2.3", "commit", SHA),
    );
    api.page(
        &format!("/repos/acme/terraform-aws-vpc/zipball/{SHA}"),
        Page::status(302, "").header("location", archives.at("legacy.zip?token=x")),
    );
    archives.page("/legacy.zip?token=x", Page::ok(ZIP));
    let fetcher = fetcher(&[&api, &archives]);
    let github = Github::new(fetcher.clone(), &api.url, Some(Secret::new("s3cret"))).unwrap();
    let origin = github
        .resolve(&repository(), "", &version(), ArchiveFormat::Zip)
        .await
        .unwrap();
    let directory = tempfile::tempdir().unwrap();
    let downloaded = fetch_module(&fetcher, &origin, directory.path(), 1024, &|_, _| {})
        .await
        .unwrap();
    assert_eq!(downloaded.size, ZIP.len() as u64);
    assert!(
        api.seen()
            .iter()
            .all(|seen| seen.authorization.as_deref() == Some("Bearer s3cret"))
    );
    assert_eq!(archives.seen().len(), 1);
    assert!(
        archives
            .seen()
            .iter()
            .all(|seen| seen.authorization.is_none())
    );
    assert!(!format!("{github:?} {origin:?}").contains("s3cret"));
}

#[tokio::test]
async fn pages_in_place_of_an_archive_are_refused_and_leave_nothing() {
    for body in [
        "<!DOCTYPE html><title>Sign in</title>",
        "{\"message\":\"Not Found\"}",
        "",
    ] {
        let server = api().await;
        server.page(
            "/repos/acme/terraform-aws-vpc/git/ref/tags/v1.2.3",
            tag_page("v1.2.3", "commit", SHA),
        );
        server.page(
            &format!("/repos/acme/terraform-aws-vpc/zipball/{SHA}"),
            Page::ok(body),
        );
        let origin = resolve(&server).await.unwrap();
        let directory = tempfile::tempdir().unwrap();
        let error = fetch_module(
            &fetcher(&[&server]),
            &origin,
            directory.path(),
            1024,
            &|_, _| {},
        )
        .await
        .unwrap_err();
        assert!(matches!(error, Error::NotAnArchive { .. }), "{error}");
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0);
    }
}

#[tokio::test]
async fn an_archive_that_is_gone_is_an_error() {
    let server = api().await;
    server.page(
        "/repos/acme/terraform-aws-vpc/git/ref/tags/v1.2.3",
        tag_page("v1.2.3", "commit", SHA),
    );
    let origin = resolve(&server).await.unwrap();
    let directory = tempfile::tempdir().unwrap();
    let error = fetch_module(
        &fetcher(&[&server]),
        &origin,
        directory.path(),
        1024,
        &|_, _| {},
    )
    .await
    .unwrap_err();
    assert_eq!(error.kind(), Kind::NotFound);
}

#[tokio::test]
async fn an_enterprise_server_has_its_api_under_a_path() {
    let server = Server::start().await;
    server
        .page(
            "/api/v3/repos/acme/terraform-aws-vpc",
            Page::json(&json!({"id": 1})),
        )
        .page(
            "/api/v3/repos/acme/terraform-aws-vpc/git/ref/tags/v1.2.3",
            tag_page("v1.2.3", "commit", SHA),
        );
    for api in ["api/v3", "api/v3/"] {
        let api = server.url.join(api).unwrap();
        let github = Github::new(fetcher(&[&server]), &api, None).unwrap();
        let origin = github
            .resolve(&repository(), "", &version(), ArchiveFormat::Zip)
            .await
            .unwrap();
        assert!(origin.url().contains("/api/v3/repos/acme/"));
    }
}

#[tokio::test]
async fn a_hostile_prefix_never_reaches_the_wire() {
    let server = api().await;
    for prefix in ["--upload-pack=x", "../../", "x?y=", "HEAD~"] {
        let error = github(&server, None)
            .resolve(&repository(), prefix, &version(), ArchiveFormat::Zip)
            .await
            .unwrap_err();
        assert_eq!(error.kind(), Kind::Invalid);
    }
    assert!(server.seen().is_empty());
}

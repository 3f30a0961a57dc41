use super::*;
use crate::testing::{Page, Server, fetcher};
use opendepot_domain::Kind;
use opendepot_signing::Signer;
use serde_json::{Value, json};

const NAME: &str = "terraform-provider-null_3.2.3_linux_amd64.zip";
const BYTES: &[u8] = b"PK\x03\x04 a package";
const PACKAGE: &str = "/p/hashicorp/null/3.2.3/download/linux/amd64";
const SIGNED_AT: u64 = 1_700_000_000;

fn provider() -> ProviderAddress {
    ProviderAddress::new("HashiCorp", "null").unwrap()
}

fn version() -> Version {
    Version::parse("3.2.3").unwrap()
}

fn linux() -> Platform {
    Platform::new("linux", "amd64").unwrap()
}

fn signer() -> Signer {
    Signer::generate_ed25519("Upstream <upstream@example.com>", SIGNED_AT)
        .unwrap()
        .0
}

/// A release that all agree on; tests spoil one thing each.
struct Release {
    server: Server,
    sums: Vec<u8>,
    signature: Vec<u8>,
    document: Value,
}

impl Release {
    async fn signed_by(signer: &Signer) -> Self {
        let sums = format!("{}  {NAME}\n", Sha256::of(BYTES)).into_bytes();
        Self {
            server: Server::start().await,
            signature: signer.sign(&sums, SIGNED_AT).unwrap(),
            document: json!({
                "protocols": ["5.0"], "os": "linux", "arch": "amd64",
                "filename": NAME, "download_url": format!("/files/{NAME}"),
                "shasum": Sha256::of(BYTES).to_string(),
                "shasums_url": "/files/SHA256SUMS", "shasums_signature_url": "/files/SHA256SUMS.sig",
                "signing_keys": {"gpg_public_keys": [{
                    "key_id": signer.public_key().key_id, "ascii_armor": signer.public_key().ascii_armor,
                }]},
            }),
            sums,
        }
    }

    fn publish(&self) {
        self.server
            .page(
                "/.well-known/terraform.json",
                Page::json(&json!({"providers.v1": "/p/"})),
            )
            .page(PACKAGE, Page::json(&self.document))
            .page("/files/SHA256SUMS", Page::ok(self.sums.clone()))
            .page("/files/SHA256SUMS.sig", Page::ok(self.signature.clone()))
            .page(&format!("/files/{NAME}"), Page::ok(BYTES));
    }

    async fn package(&self, trust: &Trust) -> Result<ProviderOrigin, Error> {
        self.publish();
        let registry =
            ProviderRegistry::discover(&fetcher(&[&self.server]), &self.server.url).await?;
        registry
            .package(&provider(), &version(), &linux(), trust)
            .await
    }
}

fn trusting(id: &str) -> Trust {
    Trust {
        key_ids: vec![id.to_owned()],
        allow_unsigned: false,
    }
}

#[tokio::test]
async fn a_release_on_which_all_agree() {
    let signer = signer();
    let release = Release::signed_by(&signer).await;
    let key = signer.public_key();
    let long = format!("0x{}", key.fingerprint.to_lowercase());
    for trust in [
        Trust::default(),
        trusting(&key.key_id),
        trusting(&key.fingerprint),
        trusting(&long),
    ] {
        let origin = release.package(&trust).await.unwrap();
        assert_eq!(origin.signed_by.as_deref(), Some(key.fingerprint.as_str()));
        assert_eq!(origin.protocols, ["5.0"]);
        assert_eq!(origin.url(), release.server.at(&format!("files/{NAME}")));
        let directory = tempfile::tempdir().unwrap();
        let fetched = fetch_package(
            &fetcher(&[&release.server]),
            &origin,
            directory.path(),
            1024,
            &|_, _| {},
        )
        .await
        .unwrap();
        assert_eq!(fetched.sha256, Sha256::of(BYTES));
    }
}

#[tokio::test]
async fn other_bytes_than_announced_are_refused() {
    let release = Release::signed_by(&signer()).await;
    let origin = release.package(&Trust::default()).await.unwrap();
    release
        .server
        .page(&format!("/files/{NAME}"), Page::ok("PK\x03\x04 other"));
    let directory = tempfile::tempdir().unwrap();
    let error = fetch_package(
        &fetcher(&[&release.server]),
        &origin,
        directory.path(),
        1024,
        &|_, _| {},
    )
    .await
    .unwrap_err();
    assert_eq!(
        (error.kind(), error.reason()),
        (Kind::Corrupt, "DigestMismatch")
    );
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0);
}

#[tokio::test]
async fn digests_that_are_absent_malformed_or_different_are_refused() {
    let signer = signer();
    let good = Sha256::of(BYTES).to_string();
    for (case, shasum) in [
        ("absent", Value::Null),
        ("empty", json!("")),
        ("63 digits", json!(good[1..])),
        ("not hex", json!(format!("g{}", &good[1..]))),
        ("different", json!(Sha256::of(b"other").to_string())),
    ] {
        let mut release = Release::signed_by(&signer).await;
        release.document["shasum"] = shasum;
        let error = release.package(&Trust::default()).await.unwrap_err();
        assert!(matches!(error, Error::Digest { .. }), "{case}: {error}");
    }
    let mut release = Release::signed_by(&signer).await;
    release.document["shasum"] = json!(good.to_uppercase());
    assert!(release.package(&Trust::default()).await.is_ok());
}

#[tokio::test]
async fn sums_that_do_not_list_the_file_once_are_refused_even_when_signed() {
    let signer = signer();
    let digest = Sha256::of(BYTES);
    for (case, sums) in [
        ("empty", String::new()),
        ("absent", format!("{digest}  other.zip\n")),
        ("twice", format!("{digest}  {NAME}\n{digest}  {NAME}\n")),
        ("carriage returns", format!("{digest}  {NAME}\r\n")),
        (
            "63 digits",
            format!("{}  {NAME}\n", &digest.to_string()[1..]),
        ),
        ("different", format!("{}  {NAME}\n", Sha256::of(b"other"))),
    ] {
        let mut release = Release::signed_by(&signer).await;
        release.sums = sums.into_bytes();
        release.signature = signer.sign(&release.sums, SIGNED_AT).unwrap();
        let error = release.package(&Trust::default()).await.unwrap_err();
        assert!(matches!(error, Error::Digest { .. }), "{case}: {error}");
    }
    let mut release = Release::signed_by(&signer).await;
    release.document["shasums_url"] = Value::Null;
    let error = release.package(&Trust::default()).await.unwrap_err();
    assert!(matches!(error, Error::Digest { .. }), "{error}");
}

#[tokio::test]
async fn signatures_that_do_not_fit_are_refused_whatever_is_allowed() {
    let (signer, other) = (signer(), signer());
    for (case, signature, reason) in [
        (
            "of another text",
            signer.sign(b"other", SIGNED_AT).unwrap(),
            "SignatureInvalid",
        ),
        (
            "of another key",
            other.sign(b"other", SIGNED_AT).unwrap(),
            "SigningKeyUnknown",
        ),
        ("garbage", b"garbage".to_vec(), "SignatureInvalid"),
        ("empty", Vec::new(), "SignatureInvalid"),
    ] {
        for allow_unsigned in [false, true] {
            let mut release = Release::signed_by(&signer).await;
            release.signature.clone_from(&signature);
            let trust = Trust {
                allow_unsigned,
                ..Trust::default()
            };
            let error = release.package(&trust).await.unwrap_err();
            assert!(matches!(error, Error::Signature { .. }), "{case}: {error}");
            assert_eq!(error.reason(), reason, "{case}");
        }
    }
}

#[tokio::test]
async fn only_named_or_pinned_keys_count() {
    let (signer, other) = (signer(), signer());
    let release = Release::signed_by(&signer).await;
    let short = &signer.public_key().key_id[8..];
    for id in [
        other.public_key().fingerprint.as_str(),
        other.public_key().key_id.as_str(),
        short,
        "",
    ] {
        let error = release.package(&trusting(id)).await.unwrap_err();
        assert!(matches!(error, Error::UnknownKey { .. }), "{id}: {error}");
        assert_eq!(
            (error.kind(), error.reason()),
            (Kind::Denied, "SigningKeyUnknown")
        );
    }
    // The registry lists the pinned key too, but another one signed.
    let mut release = Release::signed_by(&signer).await;
    let mut keys = release.document["signing_keys"]["gpg_public_keys"].take();
    keys.as_array_mut()
        .unwrap()
        .push(json!({"ascii_armor": other.public_key().ascii_armor}));
    release.document["signing_keys"]["gpg_public_keys"] = keys;
    let error = release
        .package(&trusting(&other.public_key().fingerprint))
        .await
        .unwrap_err();
    assert!(matches!(error, Error::Signature { .. }), "{error}");
    let rotated = release.package(&Trust::default()).await.unwrap();
    assert_eq!(
        rotated.signed_by.as_deref(),
        Some(signer.public_key().fingerprint.as_str())
    );
}

#[tokio::test]
async fn an_unsigned_release_needs_permission() {
    let signer = signer();
    for (key, without) in [
        ("signing_keys", Value::Null),
        ("signing_keys", json!({})),
        ("signing_keys", json!({"gpg_public_keys": []})),
        ("signing_keys", json!({"gpg_public_keys": null})),
        (
            "signing_keys",
            json!({"gpg_public_keys": [{"ascii_armor": " "}]}),
        ),
        ("shasums_signature_url", Value::Null),
        ("shasums_signature_url", json!("")),
    ] {
        let mut release = Release::signed_by(&signer).await;
        release.document[key] = without;
        let error = release.package(&Trust::default()).await.unwrap_err();
        assert!(matches!(error, Error::Unsigned { .. }), "{error}");
        assert_eq!(error.reason(), "Unsigned");
        let allowed = Trust {
            allow_unsigned: true,
            ..Trust::default()
        };
        assert_eq!(release.package(&allowed).await.unwrap().signed_by, None);
    }
    // Keys that nobody can read are not the same as no keys.
    let mut release = Release::signed_by(&signer).await;
    release.document["signing_keys"] = json!({"gpg_public_keys": [{"ascii_armor": "garbage"}]});
    let allowed = Trust {
        allow_unsigned: true,
        ..Trust::default()
    };
    assert!(matches!(
        release.package(&allowed).await.unwrap_err(),
        Error::Signature { .. }
    ));
}

#[tokio::test]
async fn a_signature_that_is_gone_is_not_an_unsigned_release() {
    let mut release = Release::signed_by(&signer()).await;
    release.document["shasums_signature_url"] = json!("/files/gone.sig");
    let allowed = Trust {
        allow_unsigned: true,
        ..Trust::default()
    };
    let error = release.package(&allowed).await.unwrap_err();
    assert!(matches!(error, Error::Answer { .. }), "{error}");
}

#[tokio::test]
async fn an_old_release_is_not_taken_for_another_version() {
    for (name, is_taken) in [
        ("terraform-provider-null_3.2.2_linux_amd64.zip", false),
        ("terraform-provider-null_v3.2.3_linux_amd64.zip", true),
        ("terraform-provider-null_3.2.3_darwin_all.zip", true),
        ("null.zip", true),
        ("terraform-provider-null.zip", true),
        ("terraform-provider-null_latest_linux_amd64.zip", true),
    ] {
        let signer = signer();
        let mut release = Release::signed_by(&signer).await;
        release.sums = format!("{}  {name}\n", Sha256::of(BYTES)).into_bytes();
        release.signature = signer.sign(&release.sums, SIGNED_AT).unwrap();
        release.document["filename"] = json!(name);
        let found = release.package(&Trust::default()).await;
        assert_eq!(found.is_ok(), is_taken, "{name}: {found:?}");
    }
}

#[tokio::test]
async fn a_platform_that_the_registry_does_not_have() {
    let release = Release::signed_by(&signer()).await;
    release.publish();
    let registry = ProviderRegistry::discover(&fetcher(&[&release.server]), &release.server.url)
        .await
        .unwrap();
    let plan9 = Platform::new("plan9", "amd64").unwrap();
    let error = registry
        .package(&provider(), &version(), &plan9, &Trust::default())
        .await
        .unwrap_err();
    assert!(matches!(error, Error::PlatformUnavailable { .. }));
    assert_eq!(
        (error.kind(), error.reason()),
        (Kind::NotFound, "PlatformUnavailable")
    );
}

#[tokio::test]
async fn another_platforms_document_is_refused() {
    for (field, value) in [("os", "darwin"), ("arch", "arm64")] {
        let mut release = Release::signed_by(&signer()).await;
        release.document[field] = json!(value);
        let error = release.package(&Trust::default()).await.unwrap_err();
        assert!(matches!(error, Error::Answer { .. }), "{field}: {error}");
    }
}

#[tokio::test]
async fn a_hostile_file_name_is_only_compared() {
    let signer = signer();
    for name in ["../../x.zip", "a\"b.zip", "a b.zip"] {
        let mut release = Release::signed_by(&signer).await;
        release.sums = format!("{}  {name}\n", Sha256::of(BYTES)).into_bytes();
        release.signature = signer.sign(&release.sums, SIGNED_AT).unwrap();
        release.document["filename"] = json!(name);
        let origin = release.package(&Trust::default()).await.unwrap();
        assert_eq!(origin.url(), release.server.at(&format!("files/{NAME}")));
    }
    let mut release = Release::signed_by(&signer).await;
    release.document["filename"] = json!("x\r\nSet-Cookie: a");
    let error = release.package(&Trust::default()).await.unwrap_err();
    assert!(!error.to_string().contains('\n'), "{error}");
}

#[tokio::test]
async fn versions_are_read_leniently_and_sorted() {
    let server = Server::start().await;
    server.page("/v1/providers/hashicorp/null/versions", Page::json(&json!({"versions": [
        {"version": "3.2.3", "protocols": ["5.0", "junk"], "platforms": [{"os": "linux", "arch": "arm64"}, {"os": "darwin", "arch": "arm64"}, {"os": "../x", "arch": "y"}]},
        {"version": "not-a-version"},
        {"version": "v10.0.0", "protocols": null, "platforms": null},
    ]})));
    // No discovery document: the usual path.
    let registry = ProviderRegistry::discover(&fetcher(&[&server]), &server.url)
        .await
        .unwrap();
    let versions = registry.versions(&provider()).await.unwrap();
    let names: Vec<String> = versions.iter().map(|v| v.version.to_string()).collect();
    assert_eq!(names, ["10.0.0", "3.2.3"]);
    assert_eq!(versions[1].protocols, ["5.0"]);
    let platforms = registry.platforms(&provider(), &version()).await.unwrap();
    let names: Vec<String> = platforms.iter().map(ToString::to_string).collect();
    assert_eq!(names, ["darwin_arm64", "linux_arm64"]);
    let gone = ProviderAddress::new("hashicorp", "gone").unwrap();
    assert!(matches!(
        registry.versions(&gone).await.unwrap_err(),
        Error::ProviderNotFound { .. }
    ));
}

#[tokio::test]
async fn services_are_where_discovery_says() {
    let server = Server::start().await;
    let fetcher = fetcher(&[&server]);
    let discover = |address: Url| {
        let fetcher = fetcher.clone();
        async move { ProviderRegistry::discover(&fetcher, &address).await }
    };
    for (stated, base) in [("/x/p/", "/x/p/"), ("x/", "/.well-known/x/")] {
        server.page(
            "/.well-known/terraform.json",
            Page::json(&json!({"providers.v1": stated})),
        );
        assert_eq!(
            discover(server.url.clone()).await.unwrap().base().path(),
            base
        );
    }
    for wrong in [
        json!({"providers.v1": "/p"}),
        json!({"modules.v1": "/m/"}),
        json!([]),
        json!({"providers.v1": ""}),
    ] {
        server.page("/.well-known/terraform.json", Page::json(&wrong));
        let error = discover(server.url.clone()).await.unwrap_err();
        assert!(matches!(error, Error::Answer { .. }), "{wrong}: {error}");
    }
    // An address with a path is the service, whatever discovery says.
    let direct = server.url.join("mirror/v1/providers?x=y").unwrap();
    assert_eq!(
        discover(direct).await.unwrap().base().as_str(),
        server.at("mirror/v1/providers/")
    );
    // A service elsewhere is subject to the egress policy.
    server.page(
        "/.well-known/terraform.json",
        Page::json(&json!({"providers.v1": "http://169.254.169.254/p/"})),
    );
    let registry = discover(server.url.clone()).await.unwrap();
    let error = registry.versions(&provider()).await.unwrap_err();
    assert_eq!(error.reason(), "SourceForbidden");
}

#[tokio::test]
async fn a_registry_in_trouble_is_not_a_missing_provider() {
    let server = Server::start().await;
    server.page("/.well-known/terraform.json", Page::status(503, ""));
    let error = ProviderRegistry::discover(&fetcher(&[&server]), &server.url)
        .await
        .unwrap_err();
    assert_eq!(
        (error.kind(), error.reason()),
        (Kind::Unavailable, "SourceUnreachable")
    );
    server.page(
        "/.well-known/terraform.json",
        Page::status(429, "").header("retry-after", "5"),
    );
    let error = ProviderRegistry::discover(&fetcher(&[&server]), &server.url)
        .await
        .unwrap_err();
    assert_eq!(error.retry_after_seconds(), Some(5));
}

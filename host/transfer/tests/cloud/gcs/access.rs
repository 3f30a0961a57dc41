//! Credentials and links.

use super::{KEY, STORE, access, granted, objects, started};
use crate::gcs_server::{Account, FIRST, GcsServer, SECOND};
use crate::{Fixture, bytes, expected, key_pair, plan};
use jiff::SignedDuration;
use opendepot_domain::Kind;
use opendepot_transfer::{CloudCredential, CloudCredentialKind, Put, Secret, StoreAccess};
use reqwest::{Client, Method, StatusCode};
use std::time::Duration;
use url::Url;

const MINUTE: Duration = Duration::from_secs(60);

/// An account that the server knows by another key.
const IMPOSTOR: Account = FIRST.with_key_of(SECOND);

#[tokio::test]
async fn a_credential_that_is_refused_is_not_shown() {
    let server = GcsServer::start(&[FIRST]).await;
    server.place(KEY, bytes(100));
    let (plan, content) = (plan(STORE, KEY), bytes(100));
    for account in [IMPOSTOR, SECOND] {
        let fixture = granted(&server, account);
        let stores = &fixture.stores;
        for error in [
            fixture.put(&plan, &content).await.unwrap_err(),
            fixture
                .read(&plan, expected(&content), None)
                .await
                .unwrap_err(),
            stores.head(&plan).await.unwrap_err(),
            stores.delete(&plan).await.unwrap_err(),
        ] {
            assert_eq!(error.kind(), Kind::Denied, "{error}");
            let text = format!("{error} {error:?}");
            let mut lines = account.private_key().lines();
            let is_shown = lines.any(|line| text.contains(line)) || text.contains("Bearer");
            assert!(!is_shown, "{text}");
        }
    }
    assert_eq!(objects(&server), [KEY]);
}

#[tokio::test]
async fn a_credential_of_another_kind_is_invalid() {
    let server = GcsServer::start(&[FIRST]).await;
    let key = |text: &str| CloudCredential {
        kind: CloudCredentialKind::GcpKey,
        secret: Some(Secret::new(text)),
    };
    let no_secret = CloudCredential {
        kind: CloudCredentialKind::GcpKey,
        secret: None,
    };
    let token = r#"{"type": "authorized_user", "refresh_token": "hunter2"}"#;
    for credential in [
        key_pair("id", "hunter2"),
        key("hunter2"),
        key(token),
        no_secret,
    ] {
        let fixture = Fixture::new(StoreAccess {
            credential: Some(credential),
            ..access(&server, FIRST)
        });
        let error = fixture.stores.head(&plan(STORE, KEY)).await.unwrap_err();
        assert_eq!(error.kind(), Kind::Invalid, "{error}");
        assert!(!format!("{error:?}").contains("hunter2"), "{error:?}");
    }
    assert_eq!(server.counted(), []);
}

#[tokio::test]
async fn a_credential_that_was_replaced_is_taken_up_when_the_old_one_is_refused() {
    let (server, fixture) = started().await;
    let (plan, content) = (plan(STORE, KEY), bytes(1_000));
    fixture.put(&plan, &content).await.unwrap();
    server.set_accounts(&[SECOND]);
    let read = fixture.read(&plan, expected(&content), None).await;
    assert_eq!(read.unwrap_err().kind(), Kind::Denied);
    fixture.operator.0.lock().unwrap().credential = Some(SECOND.credential());
    let read = fixture.read(&plan, expected(&content), None).await;
    assert!(read.unwrap() == content);
    let link = fixture.stores.presign(&plan, MINUTE).await.unwrap();
    let answer = Client::new().get(link).send().await.unwrap();
    assert_eq!(answer.status(), 200);
}

#[tokio::test]
async fn a_server_whose_clock_is_far_off_refuses_and_the_operator_is_told() {
    let (server, fixture) = started().await;
    let (plan, content) = (plan(STORE, KEY), bytes(1_000));
    fixture.put(&plan, &content).await.unwrap();
    for (minutes, is_good) in [(4, true), (-4, true), (61, false), (-61, false)] {
        server.set_clock(SignedDuration::from_mins(minutes));
        let read = fixture.read(&plan, expected(&content), None).await;
        match is_good {
            true => assert!(read.unwrap() == content, "{minutes}"),
            false => assert_eq!(read.unwrap_err().kind(), Kind::Denied, "{minutes}"),
        }
    }
}

#[tokio::test]
async fn without_a_credential_requests_go_unsigned() {
    let server = GcsServer::start(&[]).await;
    let fixture = Fixture::new(StoreAccess {
        credential: None,
        ..access(&server, FIRST)
    });
    let (plan, content) = (plan(STORE, KEY), bytes(9 << 20));
    let refused = fixture.stores.head(&plan).await.unwrap_err();
    assert_eq!(refused.kind(), Kind::Denied, "{refused}");
    server.open_to_all();
    assert_eq!(fixture.put(&plan, &content).await.unwrap(), Put::Created);
    let read = fixture.read(&plan, expected(&content), None).await;
    assert!(read.unwrap() == content);
    let link = fixture.stores.presign(&plan, MINUTE).await.unwrap_err();
    assert_eq!(link.kind(), Kind::Invalid, "{link}");
    fixture.stores.delete(&plan).await.unwrap();
    assert!(objects(&server).is_empty());
}

/// A link to the object at [`KEY`].
async fn link() -> (GcsServer, Url) {
    let (server, fixture) = started().await;
    server.place(KEY, bytes(1_000));
    server.place("vpc/other.zip", "other");
    let plan = plan(STORE, KEY);
    let link = fixture.stores.presign(&plan, MINUTE).await.unwrap();
    (server, link)
}

async fn asked(method: Method, link: &Url) -> (StatusCode, String) {
    let answer = Client::new().request(method, link.clone()).send().await;
    let answer = answer.unwrap();
    let (status, body) = (answer.status(), answer.bytes().await.unwrap());
    (status, String::from_utf8_lossy(&body).into_owned())
}

#[tokio::test]
async fn a_link_opens_one_object_for_reading() {
    let (server, link) = link().await;
    let got = Client::new().get(link.clone()).send().await.unwrap();
    assert_eq!(got.status(), 200);
    assert!(got.bytes().await.unwrap() == bytes(1_000));
    let part = Client::new().get(link.clone()).header("range", "bytes=1-9");
    assert_eq!(part.send().await.unwrap().status(), 206);
    for method in [Method::HEAD, Method::PUT, Method::DELETE] {
        let (status, _) = asked(method.clone(), &link).await;
        assert_eq!(status, 403, "{method}");
    }
    let mut other = link.clone();
    other.set_path("/depot/vpc/other.zip");
    let mut list = link.clone();
    list.set_path("/depot");
    let text = link.as_str();
    let longer = text.replace("X-Goog-Expires=60", "X-Goog-Expires=6000");
    let more = text.replace("X-Goog-SignedHeaders", "a=b&X-Goog-SignedHeaders");
    let other_account = text.replace("first%40", "second%40");
    for changed in [longer, more, other_account] {
        assert_ne!(changed, text);
        let (status, body) = asked(Method::GET, &Url::parse(&changed).unwrap()).await;
        assert_eq!(status, 403, "{changed}");
        assert!(body.contains("SignatureDoesNotMatch"), "{body}");
    }
    for changed in [other, list] {
        assert_eq!(asked(Method::GET, &changed).await.0, 403, "{changed}");
    }
    assert_eq!(objects(&server).len(), 2);
}

#[tokio::test]
async fn a_link_ends_and_does_not_outlive_its_account() {
    let (server, link) = link().await;
    for (seconds, status, code) in [
        (0, 200, ""),
        (58, 200, ""),
        // Not 403, as one may expect.
        (62, 400, "<Code>ExpiredToken</Code>"),
        (-1_000, 403, "<Code>AccessDenied</Code>"),
    ] {
        server.set_clock(SignedDuration::from_secs(seconds));
        let (answered, body) = asked(Method::GET, &link).await;
        assert_eq!(answered, status, "{seconds}");
        assert!(body.contains(code), "{body}");
    }
    server.set_clock(SignedDuration::ZERO);
    server.set_accounts(&[SECOND, IMPOSTOR]);
    assert_eq!(asked(Method::GET, &link).await.0, 403);
}

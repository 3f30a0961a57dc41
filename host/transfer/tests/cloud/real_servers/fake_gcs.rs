//! Google Cloud Storage as fake-gcs-server speaks it.
//!
//! Left out, because the server cannot be asked:
//! * every put (`an_object_is_put_read_and_removed`, `an_object_is_never_overwritten`,
//!   `a_large_object_goes_in_parts`, `of_two_writers_one_wins`, `any_key_takes_an_object_in_parts`):
//!   its XML API takes no object but under a signed link, has no multipart uploads and no
//!   preconditions; objects are written through its JSON API here;
//! * `a_wrong_credential_is_denied_and_not_shown`, `a_link_opens_one_object_for_reading`: it checks
//!   no signature;
//! * `a_missing_store_is_no_missing_object`: it answers both with the same words.

use super::Site;
use super::process::Server;
use crate::Fixture;
use opendepot_transfer::StoreAccess;

async fn started() -> Site {
    let server = Server::start("OPENDEPOT_FAKE_GCS", |command, address, _| {
        command
            .args(["-scheme", "http", "-backend", "memory"])
            .args(["-host", &address.ip().to_string()])
            .args(["-port", &address.port().to_string()])
            .args(["-public-host", &address.to_string()]);
    });
    let server = server.await;
    let endpoint = format!("http://{}", server.address);
    let fixture = Fixture::new(StoreAccess {
        endpoint: Some(endpoint.clone()),
        ..StoreAccess::default()
    });
    let bucket = reqwest::Client::new()
        .post(format!("{endpoint}/storage/v1/b"))
        .header("content-type", "application/json")
        .body(r#"{"name": "depot"}"#);
    assert_eq!(bucket.send().await.unwrap().status(), 200);
    Site {
        fixture,
        store: "gs://depot".to_owned(),
        missing: "gs://no-such-bucket".to_owned(),
        wrong: None,
        uploads: Some(format!("{endpoint}/upload/storage/v1/b/depot/o")),
        server,
    }
}

tests! { started:
    an_empty_object_is_refused_and_one_byte_is_not,
    ranges_are_those_of_the_object,
    any_key_names_one_object,
    another_content_is_never_read,
}

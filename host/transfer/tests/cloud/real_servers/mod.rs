//! The client of stores against servers that others wrote, each a process of its own. The tests of
//! one's own stand-ins show what the client does; these, that others take it as it was meant.
//!
//! `cargo xtask test --only storage` finds or makes the servers and says where they are. What bounds
//! them: loopback, one folder each, a time to be ready; they are killed with the test.
#![expect(
    clippy::indexing_slicing,
    clippy::panic,
    reason = "helpers of tests are tests"
)]

#[macro_use]
mod suite;
mod azurite;
mod corruption;
mod fake_gcs;
mod process;
mod versitygw;

use crate::{Fixture, plan};
use opendepot_domain::Transfer;
use opendepot_transfer::{CloudCredential, Put};
use process::Server;

/// A server with one empty store, and the client of it.
struct Site {
    fixture: Fixture,
    /// As plans name it.
    store: String,
    /// One that the server has not.
    missing: String,
    /// A credential that the server refuses, and what must never be read of it.
    wrong: Option<(CloudCredential, &'static str)>,
    /// Where objects come from, when the client cannot write to this server.
    uploads: Option<String>,
    server: Server,
}

impl Site {
    fn plan(&self, key: &str) -> Transfer {
        plan(&self.store, key)
    }

    /// Sees to it that an object is there.
    async fn fill(&self, key: &str, content: &[u8]) -> Transfer {
        let plan = self.plan(key);
        let Some(uploads) = &self.uploads else {
            let put = self.fixture.put(&plan, content).await;
            assert_eq!(put.unwrap(), Put::Created, "{key}");
            return plan;
        };
        let query = url::form_urlencoded::Serializer::new(String::new())
            .append_pair("uploadType", "media")
            .append_pair("name", key)
            .finish();
        let client = reqwest::Client::new();
        let sent = client
            .post(format!("{uploads}?{query}"))
            .body(content.to_vec());
        assert_eq!(sent.send().await.unwrap().status(), 200, "{key}");
        plan
    }
}

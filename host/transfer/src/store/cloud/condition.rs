//! Whether a server keeps to the condition of a put. Some ignore it and overwrite, so each is tried
//! once, with an object of its own beside the one that is put (S10).

use super::client::Client;
use super::seen::{Trouble, watched};
use super::upload;
use crate::error::Error;
use moka::future::Cache;
use object_store::path::Path;
use object_store::{PutMode, PutOptions, PutPayload};
use opendepot_domain::Sha256;
use uuid::Uuid;

/// What the names of tries begin with.
pub(super) const PROBE: &str = ".opendepot-probe-";

/// What was found out, by store and endpoint.
pub(super) struct Conditions(Cache<Sha256, bool>);

impl Default for Conditions {
    fn default() -> Self {
        Self(Cache::new(1_000))
    }
}

impl Conditions {
    /// Whether a put on this store may rely on its condition.
    ///
    /// # Errors
    /// As the server has it.
    pub(super) async fn hold(&self, client: &Client, beside: &Path) -> Result<bool, Trouble> {
        let mut input = opendepot_domain::canonical::Canonical::new("store-conditions");
        input.field(&client.store).field(&client.endpoint);
        let key = Sha256::of(input.as_bytes());
        // Two who try at once do no harm.
        if let Some(known) = self.0.get(&key).await {
            return Ok(known);
        }
        let hold = attempt(client, beside).await?;
        self.0.insert(key, hold).await;
        Ok(hold)
    }
}

async fn attempt(client: &Client, beside: &Path) -> Result<bool, Trouble> {
    let what = format!("try out conditions on `{}`", client.store);
    let name = format!("{PROBE}{}", Uuid::now_v7());
    let probe = match beside.as_ref().rsplit_once('/') {
        Some((parent, _)) => format!("{parent}/{name}"),
        None => name,
    };
    let probe = Path::parse(&probe).map_err(|_| Error::invalid(&what, "its key is none"))?;
    let objects = client.writer.objects();
    let put = || {
        let options = PutOptions::from(PutMode::Create);
        watched(objects.put_opts(&probe, PutPayload::from_static(b"\n"), options))
    };
    match put().await {
        Ok(_) => {}
        Err(failure) if failure.is_unknown_request() => return Ok(ignored(client)),
        Err(failure) => return Err(failure.into()),
    }
    let again = put().await;
    if let Err(failure) = upload::remove(&client.writer, &probe).await {
        let error = failure.into_error("remove it", &client.store);
        tracing::warn!(
            storage.store = client.store,
            "left `{probe}` behind: {error}"
        );
    }
    match again {
        Err(failure) if failure.is_condition() => Ok(true),
        Ok(_) => Ok(ignored(client)),
        Err(failure) => Err(failure.into()),
    }
}

fn ignored(client: &Client) -> bool {
    tracing::warn!(
        storage.store = client.store,
        "the server ignores conditions of puts: what is there is looked for first, and names that are \
         never used twice keep two writers apart"
    );
    false
}

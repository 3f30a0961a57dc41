//! Small documents over HTTP.

use crate::error::Error;
use opendepot_transfer::{FetchLimits, FetchRequest, Fetched, Fetcher};
use serde::de::DeserializeOwned;
use url::Url;

/// A URL for messages: without user info, query and fragment.
pub(crate) fn shown(url: &Url) -> String {
    let mut url = url.clone();
    url.set_query(None);
    url.set_fragment(None);
    // Both fail for URLs without a host only, which hold no user info.
    let _ = url.set_username("");
    let _ = url.set_password(None);
    url.to_string()
}

/// Text of a neighbour, safe to show: escaped and cut to 80 characters.
pub(crate) fn excerpt(text: &str) -> String {
    text.escape_debug().take(80).collect()
}

/// Fetches a document; `None` when it does not exist (404, 410).
pub(crate) async fn document(
    fetcher: &Fetcher,
    request: &FetchRequest,
    max_bytes: u64,
) -> Result<Option<Fetched>, Error> {
    let fetched = fetcher.get_bytes(request, max_bytes).await?;
    match fetched.success() {
        Ok(fetched) => Ok(Some(fetched)),
        Err(opendepot_transfer::Error::NotFound { .. }) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Fetches a JSON document, with the URL that it came from in the end.
pub(crate) async fn json<T: DeserializeOwned>(
    fetcher: &Fetcher,
    request: &FetchRequest,
) -> Result<Option<(T, Url)>, Error> {
    let Some(fetched) = document(fetcher, request, FetchLimits::METADATA_BYTES).await? else {
        return Ok(None);
    };
    let value = serde_json::from_slice(&fetched.body).map_err(|error| Error::Answer {
        url: shown(&fetched.final_url),
        reason: format!("it is not the expected document: {error}"),
    })?;
    Ok(Some((value, fetched.final_url)))
}

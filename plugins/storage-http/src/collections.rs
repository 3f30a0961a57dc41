//! WebDAV servers that put nothing into a collection which does not exist.
//!
//! A plan is one request, and a new artifact may need several collections. The innermost is the
//! plan; those around it, which hardly ever change, are made while planning.

use crate::{Planner, address};
use opendepot_plugin_sdk::http::{Request, send};
use opendepot_plugin_sdk::storage::{Error, SignedRequest, Transfer};

/// What MKCOL answers when it made the collection, and when there is one.
const MADE: [u16; 2] = [200, 201];
const EXISTS: [u16; 1] = [405];

impl Planner<'_> {
    /// Makes the collections that a key is in.
    pub(crate) fn prepare(&self, key: &str) -> Result<Transfer, Error> {
        let collections = collections(key);
        let Some((innermost, outer)) = collections.split_last() else {
            return Ok(Transfer::Nothing);
        };
        if !self.settings.creates_collections {
            return Ok(Transfer::Nothing);
        }
        for collection in outer {
            self.make(collection)?;
        }
        self.collection(innermost).map(Transfer::Signed)
    }

    fn make(&self, key: &str) -> Result<(), Error> {
        let planned = self.collection(key)?;
        let request = Request {
            headers: planned.headers,
            ..Request::new(planned.method, planned.url)
        };
        let unavailable = |reason: String| {
            Error::Unavailable(format!("cannot make collection `{key}`: {reason}"))
        };
        let answer = send(&request).map_err(|error| unavailable(format!("{error:?}")))?;
        if MADE.contains(&answer.status) || EXISTS.contains(&answer.status) {
            return Ok(());
        }
        Err(unavailable(format!("it answered {}", answer.status)))
    }

    fn collection(&self, key: &str) -> Result<SignedRequest, Error> {
        let url = address::below(self.store, key) + "/";
        let mut request = self.request("MKCOL", &url, &MADE)?;
        request.exists = EXISTS.to_vec();
        request.missing.retain(|status| !EXISTS.contains(status));
        Ok(request)
    }
}

/// The collections above an object, outermost first.
pub(crate) fn collections(key: &str) -> Vec<&str> {
    let ends = key.match_indices('/').map(|(at, _)| at);
    ends.filter_map(|end| key.get(..end)).collect()
}

//! HTTP to servers on this machine.

use anyhow::{Context, Result};
use std::fs;
use std::path::Path;
use std::time::Duration;

/// A client that uses no proxy and trusts `ca` alone.
pub(crate) fn client(ca: Option<&Path>) -> Result<reqwest::Client> {
    // An error means that it is installed already.
    let _installed = rustls::crypto::ring::default_provider().install_default();
    let mut builder = reqwest::Client::builder()
        .no_proxy()
        .timeout(Duration::from_secs(10));
    if let Some(ca) = ca {
        let pem = fs::read(ca).with_context(|| format!("cannot read `{}`", ca.display()))?;
        builder = builder.tls_certs_only([reqwest::Certificate::from_pem(&pem)?]);
    }
    Ok(builder.build()?)
}

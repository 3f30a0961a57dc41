//! Stores and keys as URLs.

use opendepot_plugin_sdk::key::check_segment;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

const MAX_STORE_BYTES: usize = 512;

/// What a key's segment does not carry as it is: all but the unreserved characters of RFC 3986.
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// The URL of a key below a store.
pub(crate) fn below(store: &str, key: &str) -> String {
    let mut url = store.to_owned();
    for segment in key.split('/') {
        url.push('/');
        url.extend(utf8_percent_encode(segment, ESCAPED));
    }
    url
}

/// The form in which a URL names a store: host in lower case, no default port, no final slash.
/// The host checks it again, against its grants.
pub(crate) fn store(text: &str) -> Result<String, String> {
    if text.len() > MAX_STORE_BYTES {
        return Err("longer than 512 bytes".to_owned());
    }
    let (scheme, default_port, rest) = if let Some(rest) = text.strip_prefix("https://") {
        ("https", ":443", rest)
    } else if let Some(rest) = text.strip_prefix("http://") {
        ("http", ":80", rest)
    } else {
        return Err("must begin with `https://` or `http://`".to_owned());
    };
    let (authority, path) = match rest.split_once('/') {
        Some((authority, path)) => (authority, path.trim_end_matches('/')),
        None => (rest, ""),
    };
    if authority.contains('@') {
        return Err("must not hold a user: see `auth`".to_owned());
    }
    let is_authority = |b: u8| b.is_ascii_alphanumeric() || b"-.:[]".contains(&b);
    if authority.is_empty() || !authority.bytes().all(is_authority) {
        return Err("its host must be a name or an address, with a port if need be".to_owned());
    }
    if path.contains(['?', '#']) {
        return Err("must not hold a query or a fragment".to_owned());
    }
    let authority = authority.to_ascii_lowercase();
    let authority = authority.strip_suffix(default_port).unwrap_or(&authority);
    let mut store = format!("{scheme}://{authority}");
    if path.is_empty() {
        return Ok(store);
    }
    for segment in path.split('/') {
        check_segment(segment).map_err(|reason| format!("its path: {reason}"))?;
        let is_plain = |b: u8| b.is_ascii_alphanumeric() || b"-._~!$&()*+,;=:@%".contains(&b);
        if !segment.bytes().all(is_plain) {
            return Err("its path must be percent-encoded".to_owned());
        }
        store.push('/');
        store.push_str(segment);
    }
    Ok(store)
}

//! Names of accounts and containers, the stores that they make, and URLs of accounts.

/// What a store of this plugin begins with.
pub(crate) const SCHEME: &str = "az://";

const fn is_plain(b: u8) -> bool {
    b.is_ascii_lowercase() || b.is_ascii_digit()
}

/// Checks the name of an account by Azure's rules.
pub(crate) fn check_account(name: &str) -> Result<(), &'static str> {
    if (3..=24).contains(&name.len()) && name.bytes().all(is_plain) {
        return Ok(());
    }
    Err("it must be 3 to 24 lower-case letters and digits")
}

/// Checks the name of a container by Azure's rules. The reserved ones (`$root`, `$web`) are none
/// for artifacts.
pub(crate) fn check_container(name: &str) -> Result<(), &'static str> {
    if !(3..=63).contains(&name.len()) {
        return Err("it must have 3 to 63 characters");
    }
    if !name.bytes().all(|b| is_plain(b) || b == b'-') {
        return Err("it must be lower-case letters, digits and `-`");
    }
    if name.starts_with('-') || name.ends_with('-') {
        return Err("it must begin and end with a letter or digit");
    }
    if name.contains("--") {
        return Err("it must not hold `--`");
    }
    Ok(())
}

/// Checks a store.
pub(crate) fn check_store(store: &str) -> Result<(), &'static str> {
    let (account, container) = store
        .strip_prefix(SCHEME)
        .and_then(|names| names.split_once('/'))
        .ok_or("this plugin has containers, `az://account/container`, alone")?;
    check_account(account)?;
    check_container(container)
}

/// Whether a URL is that of an account: `https://{account}.…`, or `…/{account}` of an emulator,
/// each with a final slash or without.
pub(crate) fn is_url_of(url: &str, account: &str) -> bool {
    let Some((scheme, rest)) = url.split_once("://") else {
        return false;
    };
    let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
    // Neither a user nor a query: both could carry what is not for a resource's manifest.
    let is_authority = |b: u8| b.is_ascii_alphanumeric() || b"-.:[]".contains(&b);
    if authority.is_empty() || !authority.bytes().all(is_authority) {
        return false;
    }
    if path.is_empty() {
        let label = authority.split_once('.').map(|(label, _)| label);
        return scheme == "https" && label.is_some_and(|label| label.eq_ignore_ascii_case(account));
    }
    matches!(scheme, "https" | "http") && path.strip_suffix('/').unwrap_or(path) == account
}

//! URLs of accounts.

use super::*;

#[test]
fn a_url_belongs_to_its_account() {
    for url in [
        "https://depot.blob.core.windows.net",
        "https://depot.blob.core.windows.net/",
        "https://depot.blob.core.windows.net:443/",
        "https://DEPOT.blob.core.usgovcloudapi.net",
        "https://depot.z01.blob.storage.azure.net/",
        "http://127.0.0.1:10000/depot",
        "http://127.0.0.1:10000/depot/",
        "https://azurite:10000/depot",
        "http://[::1]:10000/depot",
    ] {
        assert!(account::is_url_of(url, "depot"), "{url}");
    }
    for url in [
        "",
        "depot",
        "depot.blob.core.windows.net",
        "https://",
        "https://depot",
        "https://other.blob.core.windows.net",
        "https://depot2.blob.core.windows.net",
        "https://evil.example",
        "https://evil.example/?depot",
        "https://blob.core.windows.net/other/depot",
        "https://depot.blob.core.windows.net/other",
        "https://depot.blob.core.windows.net//",
        "http://depot.blob.core.windows.net",
        "https://depot@evil.example",
        "https://depot.blob.core.windows.net@evil.example/",
        "https://depot.blob.core.windows.net:443@evil.example/",
        "https://depot.blob.core.windows.net?sv=1&sig=s3cret",
        "https://depot.blob.core.windows.net/?sv=1&sig=s3cret",
        "https://depot.blob.core.windows.net/#depot",
        "https://depot.evil example/",
        "https://evil.example\\depot",
        "http://127.0.0.1:10000/depot/x",
        "http://127.0.0.1:10000/depot?x",
        "http://127.0.0.1:10000/../depot",
        "http:///depot",
        "ftp://127.0.0.1:10000/depot",
        "HTTPS://depot.blob.core.windows.net\r\nx",
    ] {
        assert!(!account::is_url_of(url, "depot"), "{url}");
        let block = format!(r#"{{"accountUrl": {url:?}}}"#);
        let found = problems::<Azure>(&configuration(DEPOT, Some(&block)));
        let [(path, message)] = &found[..] else {
            panic!("{url}: {found:?}");
        };
        assert_eq!(path, "backend.accountUrl");
        assert!(!message.contains("s3cret"), "{message}");
    }
}

proptest! {
    #[test]
    fn no_url_of_another_host_is_the_accounts(
        host in "(depot|evil|\\.|@|:|/|\\?|#|-){0,5}",
        tail in "(depot|/|\\.|@|\\?|#){0,3}",
    ) {
        let url = format!("https://{host}.example/{tail}");
        if account::is_url_of(&url, "depot") {
            let is_own = host == "depot" || host.starts_with("depot.");
            prop_assert!(is_own || tail == "depot" || tail == "depot/", "{}", url);
        }
    }
}

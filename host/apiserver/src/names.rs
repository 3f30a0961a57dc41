//! The grammars of names, label keys and label values.

/// A label value: at most 63 characters.
const MAX_LABEL: usize = 63;
/// A DNS subdomain: at most 253 characters.
const MAX_SUBDOMAIN: usize = 253;

/// A DNS label: lower-case letters, digits and `-`, a letter or digit at both ends.
pub(crate) fn is_label(text: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    (1..=MAX_LABEL).contains(&text.len())
        && text.bytes().all(|byte| inner(byte) || byte == b'-')
        && text.bytes().next().is_some_and(inner)
        && text.bytes().next_back().is_some_and(inner)
}

/// A DNS subdomain: labels joined by dots. A part may be longer than a label, as in a cluster.
pub(crate) fn is_subdomain(text: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    (1..=MAX_SUBDOMAIN).contains(&text.len())
        && text.split('.').all(|part| {
            part.bytes().all(|byte| inner(byte) || byte == b'-')
                && part.bytes().next().is_some_and(inner)
                && part.bytes().next_back().is_some_and(inner)
        })
}

fn is_qualified_part(text: &str) -> bool {
    (1..=MAX_LABEL).contains(&text.len())
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'))
        && text
            .bytes()
            .next()
            .is_some_and(|b| b.is_ascii_alphanumeric())
        && text
            .bytes()
            .next_back()
            .is_some_and(|b| b.is_ascii_alphanumeric())
}

/// A label or annotation key or a finalizer: an optional subdomain, a slash, and a name.
pub(crate) fn is_qualified(text: &str) -> bool {
    match text.split_once('/') {
        Some((prefix, name)) => is_subdomain(prefix) && is_qualified_part(name),
        None => is_qualified_part(text),
    }
}

/// A label value: empty, or like the name part of a key.
pub(crate) fn is_label_value(text: &str) -> bool {
    text.is_empty() || is_qualified_part(text)
}

/// The letters of generated names: no vowels, so that no words arise, and none easily confused.
const ALPHABET: &[u8; 27] = b"bcdfghjklmnpqrstvwxz2456789";
const SUFFIX: usize = 5;

/// `base` and five random characters; `base` is cut so that the whole fits a label.
pub(crate) fn generate(base: &str) -> String {
    let mut name: String = base.chars().take(MAX_LABEL - SUFFIX).collect();
    let random = uuid::Uuid::new_v4();
    for byte in random.as_bytes().iter().take(SUFFIX) {
        let index = usize::from(*byte) % ALPHABET.len();
        name.push(char::from(ALPHABET.get(index).copied().unwrap_or(b'x')));
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hostile_names_are_refused() {
        for text in [
            "",
            ".",
            "..",
            "a..b",
            "-a",
            "a-",
            "A",
            "a_b",
            "a/b",
            "a%2fb",
            "x?watch=true",
            "x#y",
            "a\0b",
            "ä",
            "a b",
            ".a",
            "a.",
            "..;",
            "x/status",
        ] {
            assert!(!is_subdomain(text), "{text:?}");
        }
        assert!(!is_subdomain(&"a".repeat(254)));
        for text in ["a", "a.b", "a-1.b", "0", "terraform-aws-eks-21-10-1"] {
            assert!(is_subdomain(text), "{text}");
        }
    }

    #[test]
    fn labels_and_keys() {
        assert!(is_label("a-b") && !is_label("a.b") && !is_label(&"a".repeat(64)));
        assert!(is_qualified("opendepot.defdev.io/finalizer") && is_qualified("Name_1.x"));
        assert!(!is_qualified("a/b/c") && !is_qualified("/a") && !is_qualified("a/"));
        assert!(is_label_value("") && is_label_value("v1.2") && !is_label_value("-"));
    }

    #[test]
    fn generated_names_fit() {
        let name = generate(&"a".repeat(200));
        assert_eq!(name.len(), MAX_LABEL);
        assert!(is_label(&name));
        assert!(generate("x-").starts_with("x-"));
    }
}

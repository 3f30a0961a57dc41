//! Unambiguous byte strings to hash, sign or MAC.

/// Length-prefixed, domain-separated fields: no two different field lists give the same bytes
/// (Gitea CVE-2026-58426 is the lesson).
#[derive(Clone, Debug)]
pub struct Canonical(Vec<u8>);

impl Canonical {
    /// Starts with a domain separator such as `capability-v1`.
    #[must_use]
    pub fn new(domain: &str) -> Self {
        let mut canonical = Self(Vec::with_capacity(256));
        canonical.field(domain);
        canonical
    }

    /// Appends one field: its length as eight big-endian bytes, then its bytes.
    pub fn field(&mut self, value: &str) -> &mut Self {
        self.0
            .extend_from_slice(&(value.len() as u64).to_be_bytes());
        self.0.extend_from_slice(value.as_bytes());
        self
    }

    /// The bytes so far.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shifted_boundary_is_another_string() {
        let (mut one, mut two) = (Canonical::new("t"), Canonical::new("t"));
        one.field("ab").field("c");
        two.field("a").field("bc");
        assert_ne!(one.as_bytes(), two.as_bytes());
    }
}

//! Reading a SHA256SUMS as the clients do, and stricter (Z13, Z14).

use crate::answer::excerpt;
use crate::error::Error;
use opendepot_domain::Sha256;

/// The longest SHA256SUMS that is read.
pub(crate) const MAX_SUMS_BYTES: u64 = 1 << 20;

/// The digest that `text` lists for `file_name`: one line `<64 hex digits>  <name>`.
///
/// # Errors
/// [`Error::Digest`] when the text is not UTF-8 or has carriage returns; when the file is listed
/// never or twice, in whatever form; when its line has another form or no SHA-256.
pub fn listed_digest(text: &[u8], file_name: &str) -> Result<Sha256, Error> {
    let refuse = |reason: &str| Error::Digest {
        file: excerpt(file_name),
        reason: format!("SHA256SUMS {reason}"),
    };
    let text = std::str::from_utf8(text).map_err(|_| refuse("is not UTF-8"))?;
    if text.contains('\r') {
        return Err(refuse("has carriage returns, which clients do not read"));
    }
    // Any line that could be read as one about the file counts as one.
    let mut lines = text.lines().filter(|line| {
        line.split_once([' ', '\t'])
            .is_some_and(|(_, rest)| rest.trim_start_matches([' ', '\t', '*']) == file_name)
    });
    let line = lines.next().ok_or_else(|| refuse("does not list it"))?;
    if lines.next().is_some() {
        return Err(refuse("lists it twice"));
    }
    let (digest, name) = line
        .split_once("  ")
        .ok_or_else(|| refuse("lists it on a line of another form"))?;
    if name != file_name {
        return Err(refuse("lists it on a line of another form"));
    }
    Sha256::from_hex(digest).map_err(|_| refuse("lists something that is no SHA-256 for it"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const NAME: &str = "terraform-provider-null_3.2.3_linux_amd64.zip";

    #[test]
    fn one_line_of_the_right_form() {
        let digest = Sha256::of(b"x");
        let other = Sha256::of(b"y");
        let text = format!("{other}  other.zip\n{digest}  {NAME}\n");
        assert_eq!(listed_digest(text.as_bytes(), NAME).unwrap(), digest);
        let upper = format!("{}  {NAME}", digest.to_string().to_uppercase());
        assert_eq!(listed_digest(upper.as_bytes(), NAME).unwrap(), digest);
    }

    #[test]
    fn everything_else_is_refused() {
        let digest = Sha256::of(b"x").to_string();
        let short = &digest[1..];
        for (case, text) in [
            ("empty", String::new()),
            ("absent", format!("{digest}  other.zip\n")),
            ("63 digits", format!("{short}  {NAME}\n")),
            ("not hex", format!("g{short}  {NAME}\n")),
            ("no digest", format!("  {NAME}\n")),
            ("twice", format!("{digest}  {NAME}\n{digest}  {NAME}\n")),
            (
                "twice, binary mark",
                format!("{digest}  {NAME}\n{digest} *{NAME}\n"),
            ),
            (
                "twice, tab",
                format!("{digest}\t{NAME}\n{digest}  {NAME}\n"),
            ),
            ("binary mark", format!("{digest} *{NAME}\n")),
            ("one space", format!("{digest} {NAME}\n")),
            ("three spaces", format!("{digest}   {NAME}\n")),
            ("carriage returns", format!("{digest}  {NAME}\r\n")),
            ("trailing space", format!("{digest}  {NAME} \n")),
            ("prefix of another", format!("{digest}  x{NAME}\n")),
            ("suffix", format!("{digest}  {NAME}.sig\n")),
        ] {
            let error = listed_digest(text.as_bytes(), NAME).unwrap_err();
            assert!(matches!(error, Error::Digest { .. }), "{case}");
        }
        assert!(listed_digest(b"\xff\xfe", NAME).is_err());
    }

    proptest! {
        #[test]
        fn never_panics(text in proptest::collection::vec(any::<u8>(), 0..300), name in ".{0,20}") {
            let _ = listed_digest(&text, &name);
        }
    }
}

//! The README of a module.

use crate::error::Error;
use crate::limits::{Limits, Watch};
use crate::spool::Spooled;
use crate::tree::PackagedFile;

/// The text of the README: the file at the root or one folder below whose name without
/// extension is `readme` in any case (reference/opendepot.md 3.6). The root comes first, then
/// Markdown, then the alphabet. Bytes that are not UTF-8 are replaced; the text is data, not
/// markup that may be trusted, and is cut to [`Limits::readme_bytes`].
pub(crate) fn read(
    files: &[PackagedFile],
    spooled: &Spooled,
    limits: &Limits,
    watch: &Watch,
) -> Result<Option<String>, Error> {
    let chosen = files
        .iter()
        .filter_map(|file| Some((rank(&file.path)?, file)))
        .min_by(|one, two| (one.0, &one.1.path).cmp(&(two.0, &two.1.path)));
    let Some((_, file)) = chosen else {
        return Ok(None);
    };
    let mut bytes = Vec::new();
    spooled.copy(
        &file.content,
        limits.readme_bytes as u64,
        watch,
        &mut |chunk| {
            bytes.extend_from_slice(chunk);
            Ok(())
        },
    )?;
    let is_cut = file.content.length > bytes.len() as u64;
    Ok(Some(text(&bytes, is_cut, limits.readme_bytes)))
}

/// Lower is better; `None` for what is no README.
fn rank(path: &str) -> Option<(usize, bool)> {
    let depth = path.matches('/').count();
    let name = path.rsplit('/').next().unwrap_or(path);
    let (base, extension) = name.rsplit_once('.').unwrap_or((name, ""));
    (depth <= 1 && base.eq_ignore_ascii_case("readme"))
        .then(|| (depth, !extension.eq_ignore_ascii_case("md")))
}

/// `is_cut` tells that `bytes` are the start of something longer, so that a character that is
/// incomplete at their end is our doing and is left out.
fn text(mut bytes: &[u8], is_cut: bool, limit: usize) -> String {
    if is_cut
        && let Err(error) = std::str::from_utf8(bytes)
        && error.error_len().is_none()
    {
        bytes = bytes.get(..error.valid_up_to()).unwrap_or(bytes);
    }
    let mut text = String::from_utf8_lossy(bytes).into_owned();
    // A replacement character is longer than the byte it replaces.
    let end = (0..=limit)
        .rev()
        .find(|end| text.is_char_boundary(*end))
        .unwrap_or(0);
    text.truncate(end);
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn root_then_markdown_then_alphabet() {
        let best = |paths: &[&'static str]| {
            paths
                .iter()
                .filter_map(|path| Some((rank(path)?, *path)))
                .min()
                .map(|(_, path)| path)
        };
        assert_eq!(best(&["docs/README.md", "readme"]), Some("readme"));
        assert_eq!(best(&["README.rst", "ReadMe.MD"]), Some("ReadMe.MD"));
        assert_eq!(best(&["b/README.md", "a/README.md"]), Some("a/README.md"));
        assert_eq!(best(&["a/b/README.md", "README.md.tf", "readme2"]), None);
    }

    #[test]
    fn text_is_cut_at_a_character_and_never_longer_than_the_limit() {
        assert_eq!(text("aä".as_bytes(), false, 8), "aä");
        assert_eq!(text(&"aä".as_bytes()[..2], true, 2), "a");
        assert_eq!(text(&"aä".as_bytes()[..2], false, 8), "a\u{fffd}");
        let replaced = text(&[0xff; 10], false, 10);
        assert_eq!(replaced, "\u{fffd}".repeat(3));
    }
}

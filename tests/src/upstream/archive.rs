//! Archives as `git archive` writes them.

use super::Files;
use crate::sha256;
use std::io::Write as _;

/// A commit id that depends on the files.
pub fn commit_of(files: Files<'_>) -> String {
    let mut text = Vec::new();
    for (name, bytes) in files {
        text.extend_from_slice(name.as_bytes());
        text.push(0);
        text.extend_from_slice(bytes);
    }
    sha256(&text)[..40].to_owned()
}

/// A gzipped tar as `git archive` writes it: a `pax_global_header` with the commit as comment,
/// then everything in a wrapper folder.
pub fn git_archive(wrapper: &str, commit: &str, files: Files<'_>) -> Vec<u8> {
    let mut tar = tar::Builder::new(flate2::write::GzEncoder::new(
        Vec::new(),
        flate2::Compression::default(),
    ));
    let comment = format!("52 comment={commit}\n");
    let mut header = tar::Header::new_ustar();
    header.set_entry_type(tar::EntryType::XGlobalHeader);
    header.set_size(comment.len() as u64);
    header.set_mode(0o666);
    tar.append_data(&mut header, "pax_global_header", comment.as_bytes())
        .unwrap();

    let mut append = |path: &str, kind: tar::EntryType, mode: u32, bytes: &[u8]| {
        let mut header = tar::Header::new_ustar();
        header.set_entry_type(kind);
        header.set_size(bytes.len() as u64);
        header.set_mode(mode);
        header.set_mtime(1_700_000_000);
        tar.append_data(&mut header, path, bytes).unwrap();
    };
    append(
        &format!("{wrapper}/"),
        tar::EntryType::Directory,
        0o775,
        b"",
    );
    let mut folders = Vec::new();
    for (name, bytes) in files {
        for (at, _) in name.match_indices('/') {
            let folder = &name[..=at];
            if !folders.contains(&folder) {
                append(
                    &format!("{wrapper}/{folder}"),
                    tar::EntryType::Directory,
                    0o775,
                    b"",
                );
                folders.push(folder);
            }
        }
        append(
            &format!("{wrapper}/{name}"),
            tar::EntryType::Regular,
            0o664,
            bytes,
        );
    }
    let mut gzip = tar.into_inner().unwrap();
    gzip.flush().unwrap();
    gzip.finish().unwrap()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read as _;

    #[test]
    fn archives_look_like_git_archive() {
        let commit = commit_of(&[("main.tf", b"x")]);
        let bytes = git_archive(
            "o-r-1234567",
            &commit,
            &[("main.tf", b"x"), ("sub/a.tf", b"y")],
        );
        let mut plain = Vec::new();
        flate2::read::GzDecoder::new(&bytes[..])
            .read_to_end(&mut plain)
            .unwrap();
        // The record says its own length, which readers check.
        assert_eq!(format!("52 comment={commit}\n").len(), 52);
        assert_eq!(plain[156], b'g');
        let names: Vec<_> = tar::Archive::new(&plain[..])
            .entries()
            .unwrap()
            .map(|entry| entry.unwrap().path().unwrap().display().to_string())
            .collect();
        assert!(
            names.iter().any(|name| name == "o-r-1234567/sub/a.tf"),
            "{names:?}"
        );
    }
}

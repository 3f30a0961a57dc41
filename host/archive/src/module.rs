//! Repackaging of modules.

use crate::error::{Error, shown};
use crate::limits::{CHUNK_BYTES, Cancel, Limits, Watch};
use crate::name;
use crate::sniff::{Sniffed, sniffed};
use crate::spool::{Sink, Spool};
use crate::tarfile::{self, TarFile};
use crate::tree::{Leaf, PackagedFile, Tree};
use crate::zipfile::{self, ZipFile};
use crate::{folder, readme, write};
use opendepot_domain::Sha256;
use opendepot_domain::canonical::Canonical;
use sha2::Digest as _;
use std::fs::File;
use std::io::{Read as _, Seek as _};
use std::path::Path;

/// Names that are never packaged, wherever they are: what git and clients keep for themselves.
const LEFT_OUT: [&str; 2] = [".git", ".terraform"];

/// Whether an entry named `segment`, and all beneath it, stays out of modules.
pub(crate) fn is_left_out(segment: &str) -> bool {
    LEFT_OUT.contains(&segment)
}

/// Whether an archive has a folder around its content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wrapper {
    /// There is exactly one folder at the top, as GitHub and `git archive --prefix` write it;
    /// it is stripped.
    Strip,
    /// The content is at the top.
    Keep,
}

/// Where a module comes from.
#[derive(Clone, Copy, Debug)]
pub enum ModuleInput<'a> {
    /// A zip, a tar or a tar in gzip; which one is found out by its first bytes.
    Archive {
        /// The archive.
        file: &'a Path,
        /// Whether to strip a folder.
        wrapper: Wrapper,
    },
    /// A folder on this machine. Links beneath it are not followed; a link that is the folder
    /// itself is.
    Folder(&'a Path),
}

/// How a module is packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Format {
    /// Zip.
    Zip,
    /// Tar in gzip.
    TarGz,
}

impl Format {
    /// The format that `fileFormat` names; none given means zip. Both tars are in gzip, as in
    /// the original.
    #[must_use]
    pub fn of_file_format(file_format: Option<&str>) -> Option<Self> {
        match file_format {
            None | Some("" | "zip") => Some(Self::Zip),
            Some("tar" | "tar.gz") => Some(Self::TarGz),
            Some(_) => None,
        }
    }

    /// The extension of a stored file, which is also what clients are told in `archive=`.
    #[must_use]
    pub const fn extension(self) -> &'static str {
        match self {
            Self::Zip => "zip",
            Self::TarGz => "tar.gz",
        }
    }

    /// The media type that is recorded and answered.
    #[must_use]
    pub const fn media_type(self) -> &'static str {
        match self {
            Self::Zip => opendepot_domain::artifact::MEDIA_TYPE_ZIP,
            Self::TarGz => opendepot_domain::artifact::MEDIA_TYPE_TAR,
        }
    }
}

/// A module as it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModulePackage {
    /// Digest of the archive that was written.
    pub sha256: Sha256,
    /// Its size in bytes.
    pub size: u64,
    /// Digest of the packaged files' modes, paths and contents: equal for equal trees, however
    /// they came packed and however they are packed now.
    pub tree_digest: Sha256,
    /// The README, as text of at most [`Limits::readme_bytes`].
    pub readme: Option<String>,
    /// How many files it has.
    pub files: usize,
    /// The commit that `git archive` and GitHub note in the archive: 40 or 64 hex digits. A
    /// claim of the source, nothing more.
    pub commit: Option<String>,
}

/// Reads a module strictly and writes it anew into `output`: no wrapper folder, only the files
/// beneath `subdirectory` when one is given, sorted, without times and owners, links replaced by
/// copies of what they lead to.
///
/// `output` must be open for reading and writing; what it holds is replaced. `scratch` is a
/// folder for one anonymous temporary file of the module's unpacked size.
///
/// # Errors
/// Any [`Error`] but those about executables. After an error `output` holds nothing of use.
pub fn package_module(
    input: &ModuleInput<'_>,
    subdirectory: Option<&str>,
    format: Format,
    output: &mut File,
    scratch: &Path,
    limits: &Limits,
    cancel: &Cancel,
) -> Result<ModulePackage, Error> {
    let watch = Watch::start(limits, cancel);
    let subdirectory = match subdirectory {
        None | Some("" | ".") => None,
        Some(path) => Some(name::checked(path.as_bytes(), limits)?),
    };
    let mut intake = Intake {
        tree: Tree::default(),
        spool: Spool::new(scratch, limits)?,
        limits,
        wrapper: match input {
            ModuleInput::Archive { wrapper, .. } => *wrapper,
            ModuleInput::Folder(_) => Wrapper::Keep,
        },
        top: None,
    };
    let comment = match input {
        ModuleInput::Folder(path) => {
            folder::read(path, &mut intake, limits, &watch)?;
            None
        }
        ModuleInput::Archive { file, .. } => match sniffed(file)? {
            Sniffed::Zip => take_zip(file, &mut intake, limits, &watch)?,
            Sniffed::Gzip => take_tar(file, true, &mut intake, limits, &watch)?,
            Sniffed::Tar => take_tar(file, false, &mut intake, limits, &watch)?,
        },
    };
    let Intake { tree, spool, .. } = intake;
    let spooled = spool.finish()?;
    let files = tree.files(subdirectory, limits, &watch)?;
    if files.is_empty() {
        return Err(Error::EmptyModule);
    }
    output
        .set_len(0)
        .and_then(|()| output.rewind())
        .map_err(Error::io("write the package"))?;
    match format {
        Format::Zip => write::zip(&files, &spooled, output, &watch)?,
        Format::TarGz => write::tar_gz(&files, &spooled, output, &watch)?,
    }
    let (sha256, size) = digest(output, limits, &watch)?;
    Ok(ModulePackage {
        sha256,
        size,
        tree_digest: tree_digest(&files),
        readme: readme::read(&files, &spooled, limits, &watch)?,
        files: files.len(),
        commit: comment.and_then(|comment| commit(&comment)),
    })
}

fn take_zip(
    path: &Path,
    intake: &mut Intake<'_>,
    limits: &Limits,
    watch: &Watch,
) -> Result<Option<Vec<u8>>, Error> {
    let archive = ZipFile::open(path, limits, watch)?;
    for entry in &archive.entries {
        let name = entry.name.as_bytes();
        match entry.kind {
            zipfile::EntryKind::Folder => intake.folder(name)?,
            zipfile::EntryKind::File => {
                intake.file(name, entry.mode, |sink| archive.copy(entry, watch, sink))?;
            }
            zipfile::EntryKind::Link => {
                let target = link_target(entry.unpacked_bytes, limits, |sink| {
                    archive.copy(entry, watch, sink)
                })?;
                intake.link(name, &target)?;
            }
        }
    }
    Ok(Some(archive.comment))
}

fn link_target(
    length: u64,
    limits: &Limits,
    fill: impl FnOnce(&mut Sink<'_>) -> Result<(), Error>,
) -> Result<Vec<u8>, Error> {
    if length > limits.name_bytes as u64 {
        return Err(Error::TooLarge {
            what: "a link's target, in bytes,",
            limit: limits.name_bytes as u64,
        });
    }
    let mut target = Vec::new();
    fill(&mut |chunk| {
        target.extend_from_slice(chunk);
        Ok(())
    })?;
    Ok(target)
}

fn take_tar(
    path: &Path,
    is_gzip: bool,
    intake: &mut Intake<'_>,
    limits: &Limits,
    watch: &Watch,
) -> Result<Option<Vec<u8>>, Error> {
    let mut archive = TarFile::open(path, is_gzip, limits, watch)?;
    while let Some(entry) = archive.next()? {
        // `tar -C folder -c .` names everything from `./`.
        let name = match entry.name.as_slice() {
            b"." | b"./" if entry.kind == tarfile::EntryKind::Folder => continue,
            name => name.strip_prefix(b"./").unwrap_or(name),
        };
        match entry.kind {
            tarfile::EntryKind::Folder => intake.folder(name)?,
            tarfile::EntryKind::File => {
                intake.file(name, entry.mode, |sink| archive.copy(sink))?;
            }
            tarfile::EntryKind::Link(target) => intake.link(name, &target)?,
        }
    }
    Ok(archive.comment)
}

/// Takes entries from any input into the tree.
pub(crate) struct Intake<'a> {
    tree: Tree,
    spool: Spool,
    limits: &'a Limits,
    wrapper: Wrapper,
    /// The wrapper folder, once an entry has named it.
    top: Option<String>,
}

impl Intake<'_> {
    pub(crate) fn folder(&mut self, raw: &[u8]) -> Result<(), Error> {
        match self.admit(raw, true)? {
            Some(path) => self.tree.insert(&path, Leaf::Folder),
            None => Ok(()),
        }
    }

    pub(crate) fn link(&mut self, raw: &[u8], target: &[u8]) -> Result<(), Error> {
        let Some(path) = self.admit(raw, false)? else {
            return Ok(());
        };
        let target = name::checked_target(&path, target, self.limits)?.to_owned();
        self.tree.insert(&path, Leaf::Link(target))
    }

    /// `fill` is called exactly once unless the file is left out.
    pub(crate) fn file(
        &mut self,
        raw: &[u8],
        mode: u32,
        fill: impl FnOnce(&mut Sink<'_>) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let Some(path) = self.admit(raw, false)? else {
            return Ok(());
        };
        let content = self.spool.append(fill)?;
        let is_executable = mode & 0o111 != 0;
        self.tree.insert(
            &path,
            Leaf::File {
                content,
                is_executable,
            },
        )
    }

    /// The name within the module, or `None` for what is not part of it.
    fn admit(&mut self, raw: &[u8], is_folder: bool) -> Result<Option<String>, Error> {
        let mut path = name::checked(raw, self.limits)?;
        if self.wrapper == Wrapper::Strip {
            let outside = || Error::UnexpectedLayout { path: shown(raw) };
            let (top, rest) = path.split_once('/').unwrap_or((path, ""));
            if rest.is_empty() && !is_folder {
                return Err(outside());
            }
            if self.top.get_or_insert_with(|| top.to_owned()) != top {
                return Err(outside());
            }
            if rest.is_empty() {
                return Ok(None);
            }
            // What is first now must be fit to be first.
            path = name::checked(rest.as_bytes(), self.limits)?;
        }
        if path.split('/').any(is_left_out) {
            return Ok(None);
        }
        Ok(Some(path.to_owned()))
    }
}

fn tree_digest(files: &[PackagedFile]) -> Sha256 {
    let mut hasher = sha2::Sha256::new();
    for file in files {
        let mut line = Canonical::new("module-file");
        line.field(&format!("{:o}", file.mode()))
            .field(&file.path)
            .field(&file.content.sha256.to_string());
        hasher.update(line.as_bytes());
    }
    Sha256::finish(hasher)
}

fn digest(output: &mut File, limits: &Limits, watch: &Watch) -> Result<(Sha256, u64), Error> {
    output.rewind().map_err(Error::io("read the package"))?;
    let mut hasher = sha2::Sha256::new();
    let mut size = 0_u64;
    let mut buffer = vec![0; CHUNK_BYTES];
    loop {
        watch.check()?;
        let read = output
            .read(&mut buffer)
            .map_err(Error::io("read the package"))?;
        if read == 0 {
            break;
        }
        hasher.update(buffer.get(..read).unwrap_or_default());
        size = size.saturating_add(read as u64);
    }
    if size > limits.packed_bytes {
        return Err(Error::TooLarge {
            what: "the packed size in bytes",
            limit: limits.packed_bytes,
        });
    }
    Ok((Sha256::finish(hasher), size))
}

fn commit(comment: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(comment).ok()?;
    (matches!(text.len(), 40 | 64) && text.bytes().all(|byte| byte.is_ascii_hexdigit()))
        .then(|| text.to_ascii_lowercase())
}

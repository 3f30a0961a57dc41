//! A provider release as goreleaser writes it into a folder.

use super::beneath::{failed, open_file, open_folder, read_file};
use crate::answer::excerpt;
use crate::error::Error;
use crate::sums::{MAX_SUMS_BYTES, listed_digest};
use opendepot_domain::artifact::provider_file_name;
use opendepot_domain::{Platform, ResourceName, Sha256, Version};
use rustix::fs::Dir;
use serde::Deserialize;
use std::fs::File;
use std::os::fd::OwnedFd;
use std::path::Path;

/// More names than any release has.
const MAX_NAMES: usize = 10_000;
const MAX_MANIFEST_BYTES: u64 = 64 << 10;

/// A release folder, held open.
#[derive(Debug)]
pub struct ReleaseFolder {
    folder: OwnedFd,
    path: String,
}

/// One platform's package of a release folder.
#[derive(Debug)]
pub struct LocalPackage {
    /// The package, open for reading. Whoever writes into it meanwhile changes what is read, so
    /// hash what you copy and compare with `sha256`.
    pub file: File,
    /// Its conventional name.
    pub file_name: String,
    /// The digest that SHA256SUMS lists; `None` when there is no SHA256SUMS.
    pub sha256: Option<Sha256>,
    /// The protocols that the manifest states; empty when there is no manifest.
    pub protocols: Vec<String>,
    /// SHA256SUMS.
    pub sums_text: Option<String>,
    /// The detached signature over SHA256SUMS, as found: no key says whether it is right.
    pub signature: Option<Vec<u8>>,
}

impl LocalPackage {
    /// Compares the digest of what was copied with the one that SHA256SUMS lists, if any.
    ///
    /// # Errors
    /// [`Error::Digest`] when they differ.
    pub fn verify(&self, copied: &Sha256) -> Result<(), Error> {
        match &self.sha256 {
            Some(listed) if listed != copied => Err(Error::Digest {
                file: self.file_name.clone(),
                reason: format!("its digest is {copied}, SHA256SUMS says {listed}"),
            }),
            _ => Ok(()),
        }
    }
}

#[derive(Deserialize)]
struct Manifest {
    metadata: ManifestMetadata,
}

#[derive(Deserialize)]
struct ManifestMetadata {
    protocol_versions: Vec<String>,
}

impl ReleaseFolder {
    /// Opens `path` beneath `root`. Blocks, as everything here.
    ///
    /// # Errors
    /// [`Error::PathNotFound`]; [`Error::Path`] when the path climbs, or a link or a file is in
    /// its way; [`Error::Io`].
    pub fn open(root: &Path, path: &str) -> Result<Self, Error> {
        Ok(Self {
            folder: open_folder(root, path)?,
            path: path.to_owned(),
        })
    }

    /// The platforms that have a package of this version, sorted.
    ///
    /// # Errors
    /// [`Error::Io`]; [`Error::Path`] for a folder with too many names.
    pub fn platforms(
        &self,
        provider_type: &ResourceName,
        version: &Version,
    ) -> Result<Vec<Platform>, Error> {
        let prefix = format!("terraform-provider-{provider_type}_{version}_");
        let mut platforms = Vec::new();
        let entries = Dir::read_from(&self.folder).map_err(|error| failed(&self.path, error))?;
        for (index, entry) in entries.enumerate() {
            if index >= MAX_NAMES {
                return Err(Error::Path {
                    path: excerpt(&self.path),
                    reason: format!("it holds more than {MAX_NAMES} names"),
                });
            }
            let entry = entry.map_err(|error| failed(&self.path, error))?;
            let platform = entry
                .file_name()
                .to_str()
                .ok()
                .and_then(|name| name.strip_prefix(&prefix)?.strip_suffix(".zip"))
                .and_then(|rest| rest.split_once('_'))
                .and_then(|(os, arch)| Platform::new(os, arch).ok());
            platforms.extend(platform);
        }
        platforms.sort();
        platforms.dedup();
        Ok(platforms)
    }

    /// Opens one platform's package. A SHA256SUMS that is there must list it exactly once, and
    /// the manifest too when it mentions that.
    ///
    /// # Errors
    /// [`Error::PlatformUnavailable`]; [`Error::Digest`] for an unusable SHA256SUMS or a
    /// manifest that does not fit it; [`Error::Path`] for a link, a folder or an unreadable
    /// manifest; [`Error::Io`].
    pub fn package(
        &self,
        provider_type: &ResourceName,
        version: &Version,
        platform: &Platform,
    ) -> Result<LocalPackage, Error> {
        let file_name = provider_file_name(provider_type, version, platform);
        let file =
            open_file(&self.folder, &file_name)?.ok_or_else(|| Error::PlatformUnavailable {
                provider: provider_type.to_string(),
                version: version.to_string(),
                platform: platform.to_string(),
            })?;
        let stem = format!("terraform-provider-{provider_type}_{version}");
        let sums = read_file(&self.folder, &format!("{stem}_SHA256SUMS"), MAX_SUMS_BYTES)?;
        let sha256 = sums
            .as_deref()
            .map(|sums| listed_digest(sums, &file_name))
            .transpose()?;
        let signature = read_file(
            &self.folder,
            &format!("{stem}_SHA256SUMS.sig"),
            opendepot_signing::MAX_SIGNATURE_BYTES as u64,
        )?;
        let protocols = self.protocols(&format!("{stem}_manifest.json"), sums.as_deref())?;
        Ok(LocalPackage {
            file,
            file_name,
            sha256,
            protocols,
            sums_text: sums.map(|sums| String::from_utf8_lossy(&sums).into_owned()),
            signature,
        })
    }

    fn protocols(&self, name: &str, sums: Option<&[u8]>) -> Result<Vec<String>, Error> {
        let Some(bytes) = read_file(&self.folder, name, MAX_MANIFEST_BYTES)? else {
            return Ok(Vec::new());
        };
        let is_listed = sums.is_some_and(|sums| String::from_utf8_lossy(sums).contains(name));
        if let (true, Some(sums)) = (is_listed, sums)
            && listed_digest(sums, name)? != Sha256::of(&bytes)
        {
            return Err(Error::Digest {
                file: name.to_owned(),
                reason: "SHA256SUMS says another digest".to_owned(),
            });
        }
        let refuse = |reason: String| Error::Path {
            path: name.to_owned(),
            reason,
        };
        let manifest: Manifest = serde_json::from_slice(&bytes)
            .map_err(|error| refuse(format!("it is not a release manifest: {error}")))?;
        let stated = manifest.metadata.protocol_versions;
        let protocols = crate::registry::protocols(&stated);
        if protocols.is_empty() || protocols.len() != stated.len() {
            return Err(refuse(
                "its `protocol_versions` are not of the form `6.0`".to_owned(),
            ));
        }
        Ok(protocols)
    }
}

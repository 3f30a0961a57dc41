//! Tags of GitHub repositories, through the documented REST API.

#[cfg(test)]
mod tests;

use crate::answer::{excerpt, json, shown};
use crate::container::ArchiveFormat;
use crate::error::Error;
use crate::name::{Repository, tags};
use opendepot_domain::Version;
use opendepot_domain::error::InvalidValue;
use opendepot_transfer::{Credential, FetchRequest, Fetcher, HostClass, Secret};
use serde::Deserialize;
use url::Url;

const ACCEPT: &str = "application/vnd.github+json";
/// A tag object may point to another; git itself makes such chains only when asked to.
const MAX_TAG_HOPS: usize = 4;

/// A module version found: what to fetch, and the identity to pin (T27, T28).
#[derive(Clone, Debug)]
pub struct ModuleOrigin {
    /// The archive of exactly `commit`; a token is bound to the API's origin.
    pub download: FetchRequest,
    /// The commit that the tag names, lower-case hex.
    pub commit: String,
    /// The tag that was found.
    pub tag: String,
    /// The repository's number, which another repository of the same name does not have.
    pub repository_id: u64,
    /// What was asked for; what comes is told by its first bytes.
    pub archive_format: ArchiveFormat,
}

impl ModuleOrigin {
    /// Where the archive comes from, without query: for status and logs.
    #[must_use]
    pub fn url(&self) -> String {
        shown(&self.download.url)
    }
}

/// A GitHub API: github.com's or an enterprise server's.
#[derive(Clone, Debug)]
pub struct Github {
    fetcher: Fetcher,
    api: Url,
    token: Option<Secret>,
}

#[derive(Deserialize)]
struct RepositoryAnswer {
    id: u64,
}

#[derive(Deserialize)]
struct RefAnswer {
    #[serde(rename = "ref")]
    name: String,
    object: ObjectAnswer,
}

#[derive(Deserialize)]
struct TagAnswer {
    object: ObjectAnswer,
}

#[derive(Deserialize)]
struct ObjectAnswer {
    #[serde(rename = "type")]
    type_: String,
    sha: String,
}

impl Github {
    /// Speaks to the API at `api`, such as `https://api.github.com` or
    /// `https://github.example.com/api/v3`. The token, if any, goes to that origin only.
    ///
    /// # Errors
    /// [`Error::Value`] when `api` cannot have a path.
    pub fn new(fetcher: Fetcher, api: &Url, token: Option<Secret>) -> Result<Self, Error> {
        if api.cannot_be_a_base() || api.host().is_none() {
            return Err(
                InvalidValue::new("GitHub API address", api.as_str(), "an https address").into(),
            );
        }
        let mut api = api.clone();
        api.set_query(None);
        api.set_fragment(None);
        Ok(Self {
            fetcher,
            api,
            token,
        })
    }

    /// Finds the tag of a version: `{prefix}v{version}`, then `{prefix}{version}`.
    ///
    /// # Errors
    /// [`Error::RepositoryNotFound`], [`Error::TagNotFound`] when both are absent (nothing is
    /// ever guessed), [`Error::Value`] for a prefix that is no part of a ref, [`Error::Answer`],
    /// [`Error::Fetch`].
    pub async fn resolve(
        &self,
        repository: &Repository,
        tag_prefix: &str,
        version: &Version,
        archive_format: ArchiveFormat,
    ) -> Result<ModuleOrigin, Error> {
        let candidates = tags(tag_prefix, version)?;
        let repository_id = self.repository_id(repository).await?;
        for tag in &candidates {
            if let Some(commit) = self.commit_of_tag(repository, tag).await? {
                let kind = match archive_format {
                    ArchiveFormat::Zip => "zipball",
                    ArchiveFormat::TarGz => "tarball",
                };
                // By commit: the tag may move between this and the download.
                let url = self.url(repository, &[kind, &commit])?;
                return Ok(ModuleOrigin {
                    download: self.request(url, None),
                    commit,
                    tag: tag.clone(),
                    repository_id,
                    archive_format,
                });
            }
        }
        Err(Error::TagNotFound {
            repository: repository.to_string(),
            tags: candidates.map(|tag| format!("`{tag}`")).join(" or "),
        })
    }

    /// The repository's number.
    ///
    /// # Errors
    /// [`Error::RepositoryNotFound`], [`Error::Answer`], [`Error::Fetch`].
    pub async fn repository_id(&self, repository: &Repository) -> Result<u64, Error> {
        let url = self.url(repository, &[])?;
        json::<RepositoryAnswer>(&self.fetcher, &self.request(url, Some(ACCEPT)))
            .await?
            .map(|(answer, _)| answer.id)
            .ok_or_else(|| Error::RepositoryNotFound {
                repository: repository.to_string(),
            })
    }

    /// The commit of a tag, through annotated tags; `None` when there is no such tag.
    async fn commit_of_tag(
        &self,
        repository: &Repository,
        tag: &str,
    ) -> Result<Option<String>, Error> {
        let mut path = vec!["git", "ref", "tags"];
        path.extend(tag.split('/'));
        let url = self.url(repository, &path)?;
        let request = self.request(url, Some(ACCEPT));
        let Some((answer, from)) = json::<RefAnswer>(&self.fetcher, &request).await? else {
            return Ok(None);
        };
        if answer.name != format!("refs/tags/{tag}") {
            return Err(Error::Answer {
                url: shown(&from),
                reason: format!("it is about `{}`", excerpt(&answer.name)),
            });
        }
        let (mut object, mut from) = (answer.object, from);
        for _ in 0..MAX_TAG_HOPS {
            let sha = sha(&object.sha, &from)?;
            match object.type_.as_str() {
                "commit" => return Ok(Some(sha)),
                "tag" => {}
                other => {
                    return Err(Error::Answer {
                        url: shown(&from),
                        reason: format!("the tag names a `{}`, not a commit", excerpt(other)),
                    });
                }
            }
            let url = self.url(repository, &["git", "tags", &sha])?;
            let request = self.request(url, Some(ACCEPT));
            let answer = json::<TagAnswer>(&self.fetcher, &request).await?;
            let (answer, next) = answer.ok_or_else(|| Error::Answer {
                url: shown(&from),
                reason: "the tag names an object that does not exist".to_owned(),
            })?;
            (object, from) = (answer.object, next);
        }
        Err(Error::Answer {
            url: shown(&from),
            reason: "the tag names a tag that names a tag, and so on".to_owned(),
        })
    }

    fn url(&self, repository: &Repository, path: &[&str]) -> Result<Url, Error> {
        let mut url = self.api.clone();
        url.path_segments_mut()
            .map_err(|()| {
                InvalidValue::new("GitHub API address", self.api.as_str(), "an https address")
            })?
            .pop_if_empty()
            .extend(["repos", repository.owner(), repository.name()])
            .extend(path);
        Ok(url)
    }

    fn request(&self, url: Url, accept: Option<&str>) -> FetchRequest {
        FetchRequest {
            credential: self
                .token
                .as_ref()
                .map(|token| Credential::bearer(&self.api, token)),
            accept: accept.map(str::to_owned),
            host_class: HostClass::Github,
            url,
        }
    }
}

/// An object id: 40 or 64 hex digits, in lower case.
fn sha(text: &str, from: &Url) -> Result<String, Error> {
    if matches!(text.len(), 40 | 64) && text.bytes().all(|b| b.is_ascii_hexdigit()) {
        Ok(text.to_ascii_lowercase())
    } else {
        Err(Error::Answer {
            url: shown(from),
            reason: format!("`{}` is no object id", excerpt(text)),
        })
    }
}

//! Where modules and providers may be fetched from.

use crate::config::Config;
use crate::limits;
use anyhow::Context as _;
use opendepot_actors::reconciler::{Progress, SourceOptions};
use opendepot_transfer::{Fetcher, Secret};
use url::Url;

/// Hosts that sources may come from when the operator names none: GitHub's and the OpenTofu
/// registry's (contract.md 2).
const SOURCE_HOSTS: &[&str] = &[
    "github.com",
    "api.github.com",
    "codeload.github.com",
    "objects.githubusercontent.com",
    "release-assets.githubusercontent.com",
    "registry.opentofu.org",
];

/// What fetches, from the configuration's `sources` and `egress.sources`.
pub(crate) fn options(config: &Config, progress: Progress) -> anyhow::Result<SourceOptions> {
    let sources = &config.file.sources;
    let mut egress = config.file.egress.sources.clone();
    if egress.allow.is_empty() {
        egress.allow = SOURCE_HOSTS.iter().map(|host| (*host).to_owned()).collect();
    }
    let github_api: Url = sources
        .github
        .api_url
        .parse()
        .context("`sources.github.apiUrl` is no URL")?;
    let registry: Url = sources
        .provider_registry
        .url
        .parse()
        .context("`sources.providerRegistry.url` is no URL")?;
    // What is configured as an endpoint may be reached for that purpose, also when private.
    let policy = egress
        .policy()?
        .endpoint(&github_api)?
        .endpoint(&registry)?;
    let fetcher = Fetcher::new(policy, limits::upstream(config))?;
    let token = match &sources.github.token_file {
        None => None,
        Some(path) => {
            let text = std::fs::read_to_string(path)
                .with_context(|| format!("cannot read `{}`", path.display()))?;
            Some(Secret::new(text.trim()))
        }
    };
    Ok(SourceOptions {
        fetcher,
        github_api,
        github_token: token,
        progress,
    })
}

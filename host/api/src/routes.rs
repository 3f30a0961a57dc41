//! The route table: every public route, what answers it and what it checks. A route that is not in
//! the table does not exist (T16).

use crate::artifacts;
use crate::documents;
use crate::error::ApiError;
use crate::grammar::Address;
use crate::state::ApiState;
use crate::{modules, providers};
use axum::response::Response;
use http::{HeaderMap, Method, Uri};
use matchit::Params;
use opendepot_domain::{Action, Purpose, Subject, Target};
use std::net::IpAddr;
use std::sync::Arc;

/// What a route asks of its caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Checks {
    /// Nothing: discovery.
    Nothing,
    /// A credential with these grants.
    Grants(&'static [Action]),
    /// A capability, or a credential with `download`.
    CapabilityOrDownload,
}

/// One route.
pub struct Route {
    /// The template, as metrics label it.
    pub path: &'static str,
    /// What it asks of its caller.
    pub checks: Checks,
    pub(crate) endpoint: Endpoint,
}

const LIST: Checks = Checks::Grants(&[Action::ListVersions]);
const READ: Checks = Checks::Grants(&[Action::ReadPackage, Action::Download]);
const BYTES: Checks = Checks::CapabilityOrDownload;

/// Every public route (contract.md 4).
pub static TABLE: &[Route] = &[
    Route {
        path: "/.well-known/terraform.json",
        checks: Checks::Nothing,
        endpoint: Endpoint::Discovery,
    },
    Route {
        path: "/opendepot/modules/v1/{namespace}/{name}/{system}/versions",
        checks: LIST,
        endpoint: Endpoint::ModuleVersions,
    },
    Route {
        path: "/opendepot/modules/v1/{namespace}/{name}/{system}/{version}/download",
        checks: READ,
        endpoint: Endpoint::ModuleDownload,
    },
    Route {
        path: "/opendepot/modules/v1/download/azure/{*path}",
        checks: BYTES,
        endpoint: Endpoint::ModuleArchive,
    },
    Route {
        path: "/opendepot/modules/v1/download/fileSystem/{*path}",
        checks: BYTES,
        endpoint: Endpoint::ModuleArchive,
    },
    Route {
        path: "/opendepot/modules/v1/download/gcs/{*path}",
        checks: BYTES,
        endpoint: Endpoint::ModuleArchive,
    },
    Route {
        path: "/opendepot/modules/v1/download/plugin/{*path}",
        checks: BYTES,
        endpoint: Endpoint::ModuleArchive,
    },
    Route {
        path: "/opendepot/modules/v1/download/s3/{*path}",
        checks: BYTES,
        endpoint: Endpoint::ModuleArchive,
    },
    Route {
        path: "/opendepot/providers/v1/{namespace}/{type}/versions",
        checks: LIST,
        endpoint: Endpoint::ProviderVersions,
    },
    Route {
        path: "/opendepot/providers/v1/{namespace}/{type}/{version}/download/{os}/{arch}",
        checks: READ,
        endpoint: Endpoint::ProviderPackage,
    },
    Route {
        path: "/opendepot/providers/v1/{namespace}/{type}/{version}/SHA256SUMS/{os}/{arch}",
        checks: BYTES,
        endpoint: Endpoint::Sums,
    },
    Route {
        path: "/opendepot/providers/v1/{namespace}/{type}/{version}/SHA256SUMS.sig/{os}/{arch}",
        checks: BYTES,
        endpoint: Endpoint::Signature,
    },
    Route {
        path: "/opendepot/providers/v1/download/{namespace}/{type}/{version}",
        checks: BYTES,
        endpoint: Endpoint::ProviderArchive,
    },
];

/// What answers a route.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Endpoint {
    Discovery,
    ModuleVersions,
    ModuleDownload,
    ModuleArchive,
    ProviderVersions,
    ProviderPackage,
    Sums,
    Signature,
    ProviderArchive,
}

impl Endpoint {
    /// Answers one GET or HEAD; `params` are what the path has for the names in the template.
    pub(crate) async fn answer(
        self,
        call: &Call<'_>,
        params: &Params<'_, '_>,
    ) -> Result<Response, ApiError> {
        let address = || Address::from_params(params);
        match self {
            Self::Discovery => Ok(documents::discovery()),
            Self::ModuleVersions => modules::versions(call, address()?).await,
            Self::ModuleDownload => modules::download(call, address()?).await,
            Self::ProviderVersions => providers::versions(call, address()?).await,
            Self::ProviderPackage => providers::package(call, address()?).await,
            // Rarer and larger: in a box, so that the other answers' state stays small.
            Self::Sums => Box::pin(providers::release(call, address()?, Purpose::Sums)).await,
            Self::Signature => {
                Box::pin(providers::release(call, address()?, Purpose::Signature)).await
            }
            Self::ModuleArchive => Box::pin(artifacts::module(call)).await,
            Self::ProviderArchive => Box::pin(artifacts::package(call, address()?)).await,
        }
    }
}

/// The table as paths are looked up in it.
pub(crate) struct Paths(matchit::Router<usize>);

impl Paths {
    /// # Errors
    /// When two templates contradict each other: a mistake in the table, which a test finds.
    pub(crate) fn new() -> Result<Self, matchit::InsertError> {
        let mut paths = matchit::Router::new();
        for (place, route) in TABLE.iter().enumerate() {
            paths.insert(route.path, place)?;
        }
        Ok(Self(paths))
    }

    /// The place in the table of the route that has this path, with what the path has for the
    /// names in its template.
    pub(crate) fn find<'p>(&self, path: &'p str) -> Option<(usize, Params<'_, 'p>)> {
        let found = self.0.at(path).ok()?;
        Some((*found.value, found.params))
    }
}

/// The peer's address, without port.
#[derive(Clone, Copy, Debug)]
pub struct Peer(pub IpAddr);

/// One request, as what answers it sees it.
pub(crate) struct Call<'a> {
    pub(crate) state: &'a ApiState,
    pub(crate) peer: IpAddr,
    pub(crate) method: &'a Method,
    pub(crate) uri: &'a Uri,
    pub(crate) headers: &'a HeaderMap,
}

impl Call<'_> {
    /// Who asks.
    pub(crate) async fn caller(&self) -> Result<Caller<'_>, ApiError> {
        let access = self.state.access();
        let subject = access.subject(self.headers, self.peer).await?;
        Ok(Caller {
            state: self.state,
            subject,
        })
    }
}

/// A verified caller, ready to be asked about.
pub(crate) struct Caller<'a> {
    state: &'a ApiState,
    subject: Arc<Subject>,
}

impl Caller<'_> {
    pub(crate) async fn check(
        &self,
        actions: &'static [Action],
        target: &Target,
    ) -> Result<(), ApiError> {
        self.state
            .access()
            .check(&self.subject, actions, target)
            .await
    }
}

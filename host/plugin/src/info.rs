//! What operators see of each plugin.

use crate::breaker::BreakerState;
use crate::manifest::Needs;
use crate::world::World;
use opendepot_domain::{PluginId, Sha256, Version};
use serde::Serialize;

/// One plugin, serving or not.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct PluginInfo {
    /// Its name in this host.
    pub name: PluginId,
    /// The author's version; absent when `plugin.yaml` could not be read.
    pub version: Option<Version>,
    /// Its world; absent when unknown.
    pub world: Option<World>,
    /// The component's digest; absent when it could not be read.
    pub digest: Option<Sha256>,
    /// Its component's size; absent when it could not be read.
    pub size_bytes: Option<u64>,
    /// The interfaces that its component imports.
    pub imports: Vec<String>,
    /// `builtin NAME`, `folder PATH`, `unlisted folder PATH` or `oci REFERENCE`.
    pub source: String,
    /// Place in its chain.
    pub order: i64,
    /// What its author asks for.
    pub needs: Needs,
    /// What it may do, one line a grant.
    pub grants: Vec<String>,
    /// Whether it was loaded.
    pub state: PluginState,
    /// Why a newer folder or configuration of it is not in force; what is described here serves
    /// instead.
    pub refused: Option<String>,
    /// Whether it is called at this moment.
    pub breaker: BreakerState,
}

/// Whether a plugin is called.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase", tag = "state", content = "reason")]
#[non_exhaustive]
pub enum PluginState {
    /// Loaded, validated and called.
    Serving,
    /// Not called. Reads that need it are refused.
    Failed(String),
}

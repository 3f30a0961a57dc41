//! The immutable snapshot that every call works on. A reload builds another one and swaps it in.

use crate::auth::AuthGuest;
use crate::call::Identity;
use crate::info::PluginInfo;
use crate::scan::ScanGuest;
use crate::storage::StorageGuest;
use opendepot_domain::PluginId;
use std::collections::BTreeMap;
use std::sync::Arc;

/// A plugin's place in its world: the guest, or why there is none.
pub(crate) struct Link<G> {
    pub(crate) id: PluginId,
    pub(crate) order: i64,
    pub(crate) guest: Result<Arc<G>, String>,
}

impl<G> Clone for Link<G> {
    fn clone(&self) -> Self {
        Self {
            id: self.id.clone(),
            order: self.order,
            guest: self.guest.clone(),
        }
    }
}

/// All plugins of one configuration.
#[derive(Default)]
pub(crate) struct Loaded {
    pub(crate) generation: u64,
    pub(crate) storage: BTreeMap<PluginId, Link<StorageGuest>>,
    /// By order, then name. A listed plugin that failed keeps its place and denies.
    pub(crate) auth: Vec<Link<AuthGuest>>,
    /// By order, then name. A listed plugin that failed keeps its place and judges nothing.
    pub(crate) scan: Vec<Link<ScanGuest>>,
    pub(crate) infos: Vec<PluginInfo>,
}

impl Loaded {
    pub(crate) fn sort(&mut self) {
        self.auth
            .sort_by(|a, b| (a.order, &a.id).cmp(&(b.order, &b.id)));
        self.scan
            .sort_by(|a, b| (a.order, &a.id).cmp(&(b.order, &b.id)));
        self.infos.sort_by(|a, b| a.name.cmp(&b.name));
    }

    /// The loaded plugins.
    pub(crate) fn identities(&self) -> impl Iterator<Item = &Arc<Identity>> {
        let storage = self
            .storage
            .values()
            .filter_map(|link| link.guest.as_ref().ok());
        let auth = self.auth.iter().filter_map(|link| link.guest.as_ref().ok());
        let scan = self.scan.iter().filter_map(|link| link.guest.as_ref().ok());
        storage
            .map(|guest| &guest.identity)
            .chain(auth.map(|guest| &guest.identity))
            .chain(scan.map(|guest| &guest.identity))
    }

    pub(crate) fn has(&self, name: &PluginId) -> bool {
        self.infos.iter().any(|info| info.name == *name)
    }
}

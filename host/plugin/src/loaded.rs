//! The immutable snapshot that every call works on. A reload builds another one and swaps it in.

use crate::auth::AuthGuest;
use crate::call::Identity;
use crate::candidate::Origin;
use crate::info::{PluginInfo, PluginState};
use crate::scan::ScanGuest;
use crate::storage::StorageGuest;
use crate::world::World;
use opendepot_domain::PluginId;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

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

/// A plugin that has a place, in its world.
#[derive(Clone)]
pub(crate) enum Place {
    Storage(Link<StorageGuest>),
    Auth(Link<AuthGuest>),
    Scan(Link<ScanGuest>),
}

impl Place {
    /// The place of a plugin that did not load: a policy denies from it, a store is unavailable.
    pub(crate) fn failed(world: World, info: &PluginInfo, reason: &str) -> Self {
        fn link<G>(info: &PluginInfo, reason: &str) -> Link<G> {
            Link {
                id: info.name.clone(),
                order: info.order,
                guest: Err(reason.to_owned()),
            }
        }
        match world {
            World::Storage => Self::Storage(link(info, reason)),
            World::Auth => Self::Auth(link(info, reason)),
            World::Scan => Self::Scan(link(info, reason)),
        }
    }

    fn identity(&self) -> Option<&Arc<Identity>> {
        match self {
            Self::Storage(link) => link.guest.as_ref().ok().map(|guest| &guest.identity),
            Self::Auth(link) => link.guest.as_ref().ok().map(|guest| &guest.identity),
            Self::Scan(link) => link.guest.as_ref().ok().map(|guest| &guest.identity),
        }
    }
}

/// One plugin of a snapshot.
#[derive(Clone)]
pub(crate) struct Member {
    pub(crate) info: PluginInfo,
    /// None for what nobody asked for: it is shown, and has no place in a chain.
    pub(crate) place: Option<Place>,
    /// What it was last loaded from, or could not be.
    pub(crate) origin: Origin,
    /// When to try again although nothing changed.
    pub(crate) retry: Option<Instant>,
}

impl Member {
    /// Whether there is a guest to call.
    pub(crate) fn serves(&self) -> bool {
        self.identity().is_some()
    }

    pub(crate) fn identity(&self) -> Option<&Arc<Identity>> {
        self.place.as_ref()?.identity()
    }

    /// Notes whether a policy could prepare.
    pub(crate) fn note_prepared(&mut self) {
        if let Some(Place::Auth(link)) = &self.place
            && let Ok(guest) = &link.guest
        {
            self.info.state = match &guest.state {
                Ok(_) => PluginState::Serving,
                Err(reason) => PluginState::Failed(reason.clone()),
            };
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
    /// By name.
    pub(crate) members: Vec<Member>,
}

impl Loaded {
    pub(crate) fn new(generation: u64, mut members: Vec<Member>) -> Self {
        members.sort_by(|a, b| a.info.name.cmp(&b.info.name));
        let mut loaded = Self {
            generation,
            ..Self::default()
        };
        for place in members.iter().filter_map(|member| member.place.clone()) {
            match place {
                Place::Storage(link) => {
                    loaded.storage.insert(link.id.clone(), link);
                }
                Place::Auth(link) => loaded.auth.push(link),
                Place::Scan(link) => loaded.scan.push(link),
            }
        }
        loaded
            .auth
            .sort_by(|a, b| (a.order, &a.id).cmp(&(b.order, &b.id)));
        loaded
            .scan
            .sort_by(|a, b| (a.order, &a.id).cmp(&(b.order, &b.id)));
        loaded.members = members;
        loaded
    }
}

//! Changes while the process runs: what changed is loaded beside what serves, and swapped in when
//! it is good. A version that cannot be loaded leaves the old one serving, and says so.

use crate::candidate::{self, Candidate, Origin, Place as Where};
use crate::compile::{NUM_COMPILATIONS, blocking};
use crate::config::HostConfig;
use crate::error::{Error, LoadError};
use crate::host::{PluginHost, Reloading};
use crate::info::{PluginInfo, PluginState};
use crate::load::{Loader, Outcome};
use crate::loaded::{Loaded, Member, Place};
use crate::metric;
use crate::stamp::Stamp;
use crate::world::World;
use opendepot_domain::seam::Binding;
use opendepot_domain::{PluginId, Sha256};
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

/// What a look at folders and configuration brought about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Changed {
    /// The plugin.
    pub plugin: PluginId,
    /// What became of it.
    pub change: Change,
}

/// What became of a plugin that changed.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Change {
    /// It is new, or another version serves from now on.
    Loaded,
    /// The change cannot be loaded, and what served before serves on.
    Refused(String),
    /// It cannot be loaded, and nothing served before, or what did must not any more.
    Failed(String),
    /// It is gone.
    Removed,
}

/// What is remembered of folders from one look to the next.
#[derive(Default)]
pub(crate) struct Watched {
    /// Folders that are no plugins.
    ignored: Vec<Origin>,
    /// Folders that have changed: loaded when the next look finds them the same, so that one
    /// that is being written is left alone.
    unsettled: BTreeMap<PathBuf, Stamp>,
    /// The keys that signatures are checked with.
    keys: Stamp,
}

impl PluginHost {
    /// Takes this configuration over the one in force, and looks at every folder again: what is
    /// new or changed is loaded, what is gone goes. Calls under way end with what they began with.
    ///
    /// A changed folder is loaded at the second look that finds it the same. To be called now
    /// and then; with nothing to do it costs a few system calls a plugin. Limits, the folder of
    /// built-ins, how to compile and the folder of secrets stay as they were at the start.
    ///
    /// # Errors
    /// [`Error::DuplicateEntry`]; everything then stays as it is.
    pub async fn reload(&self, config: HostConfig) -> Result<Vec<Changed>, Error> {
        let mut reloading = self.inner.reloading.lock().await;
        self.renew(&mut reloading, config, false).await
    }

    pub(crate) async fn load_all(&self, config: HostConfig) -> Result<(), Error> {
        let mut reloading = self.inner.reloading.lock().await;
        self.renew(&mut reloading, config, true).await.map(drop)
    }

    async fn renew(
        &self,
        reloading: &mut Reloading,
        config: HostConfig,
        is_first: bool,
    ) -> Result<Vec<Changed>, Error> {
        let loader = Loader::new(&self.inner.caller, &self.inner.services, &config)?;
        let old = self.inner.loaded.load_full();
        let own = config.clone();
        let looked = blocking(move || {
            let candidates = candidate::all(&own).into_iter();
            let origins: Vec<Origin> = candidates.map(look).collect();
            Ok((origins, Stamp::of_files(&own.policy.public_keys)))
        });
        let Ok((origins, keys)) = looked.await else {
            return Ok(Vec::new());
        };
        let is_same_policy =
            reloading.config.policy == config.policy && reloading.watched.keys == keys;
        let mut next = Next {
            old: &old,
            watched: &reloading.watched,
            is_same_policy,
            is_first,
            kept: Vec::new(),
            stale: Vec::new(),
            ignored: Vec::new(),
            unsettled: BTreeMap::new(),
        };
        for origin in origins {
            next.sort(origin);
        }
        let Next {
            mut kept,
            stale,
            ignored,
            unsettled,
            ..
        } = next;
        reloading.watched = Watched {
            ignored,
            unsettled,
            keys,
        };
        let bindings = self.inner.bindings.lock().await.clone();
        let mut batch = Batch {
            loader: &loader,
            bindings: &bindings,
            old: &old,
            kept: &kept,
            ignored: &mut reloading.watched.ignored,
        };
        let mut fresh = batch.load(stale).await;
        // From here on nothing takes long. Bindings may have changed while plugins were loaded:
        // what stays has them already, what is new does not.
        let in_force = self.inner.bindings.lock().await;
        let old = self.inner.loaded.load_full();
        for member in &mut kept {
            let mut members = old.members.iter();
            if let Some(now) = members.find(|now| is_of(now, &member.origin.candidate)) {
                *member = now.clone();
            }
        }
        if *in_force != bindings {
            for member in &mut fresh {
                self.bind_again(member, &in_force).await;
            }
        }
        let denied = &config.policy.denied_digests;
        let mut changes = Vec::new();
        for member in &mut fresh {
            let mut members = old.members.iter();
            let previous = members.find(|old| is_of(old, &member.origin.candidate));
            changes.push(settle(member, previous, denied));
        }
        kept.extend(fresh);
        reloading.config = config;
        let gone = old.members.iter().filter(|member| {
            let candidate = &member.origin.candidate;
            !kept.iter().any(|kept| is_of(kept, candidate))
        });
        changes.extend(gone.map(|member| Changed {
            plugin: member.info.name.clone(),
            change: Change::Removed,
        }));
        if changes.is_empty() && !is_first {
            return Ok(changes);
        }
        let loaded = Loaded::new(old.generation + 1, kept);
        tell(&old, &loaded, &changes);
        self.inner.loaded.store(Arc::new(loaded));
        Ok(changes)
    }

    async fn bind_again(&self, member: &mut Member, bindings: &[Binding]) {
        if let Some(Place::Auth(link)) = &mut member.place {
            // The bindings' owner is told of the change, gives them again, and hears of problems.
            let caller = &self.inner.caller;
            *link = caller.rebind(link, bindings, &mut Vec::new()).await;
            member.note_prepared();
        }
    }
}

/// What is new or changed, on its way to being loaded.
struct Batch<'a> {
    loader: &'a Loader<'a>,
    bindings: &'a [Binding],
    old: &'a Loaded,
    kept: &'a [Member],
    ignored: &'a mut Vec<Origin>,
}

impl Batch<'_> {
    /// Listed plugins side by side, then folders that nobody listed, whose names must not be
    /// taken.
    async fn load(&mut self, stale: Vec<Origin>) -> Vec<Member> {
        let (listed, unlisted): (Vec<_>, Vec<_>) = stale
            .into_iter()
            .partition(|origin| origin.candidate.name.is_some());
        let nobody = BTreeSet::new();
        let mut fresh = Vec::new();
        let mut waiting = listed.into_iter();
        loop {
            let few: Vec<_> = waiting.by_ref().take(2 * NUM_COMPILATIONS).collect();
            if few.is_empty() {
                break;
            }
            let loads = few
                .into_iter()
                .map(|origin| self.loader.load(origin, self.bindings, &nobody));
            for outcome in futures::future::join_all(loads).await {
                if let Outcome::Member(member) = outcome {
                    fresh.push(*member);
                }
            }
        }
        for origin in unlisted {
            let others = self.kept.iter().chain(&fresh);
            let others = others.filter(|m| m.origin.candidate.source != origin.candidate.source);
            let taken: BTreeSet<PluginId> = others.map(|m| m.info.name.clone()).collect();
            match self.loader.load(origin, self.bindings, &taken).await {
                Outcome::Member(member) => fresh.push(*member),
                Outcome::NoPlugin(origin, error) => fresh.extend(self.no_plugin(*origin, &error)),
            }
        }
        fresh
    }

    /// A mistake in its manifest must not take a policy out of the chain.
    fn no_plugin(&mut self, origin: Origin, error: &LoadError) -> Option<Member> {
        let mut members = self.old.members.iter();
        let previous = members.find(|m| is_of(m, &origin.candidate) && m.place.is_some());
        let Some(previous) = previous.filter(|_| self.loader.allows_unlisted()) else {
            let source = &origin.candidate.source;
            tracing::warn!("ignored the {source}, it is not a plugin: {error}");
            self.ignored.push(origin);
            return None;
        };
        let reason = error.to_string();
        let world = previous.info.world.unwrap_or(World::Auth);
        let info = PluginInfo {
            state: PluginState::Failed(reason.clone()),
            ..previous.info.clone()
        };
        Some(Member {
            place: Some(Place::failed(world, &info, &reason)),
            info,
            origin,
            retry: None,
        })
    }
}

/// Sorts what there is into what stays and what is to be loaded.
struct Next<'a> {
    old: &'a Loaded,
    watched: &'a Watched,
    is_same_policy: bool,
    is_first: bool,
    kept: Vec<Member>,
    stale: Vec<Origin>,
    ignored: Vec<Origin>,
    unsettled: BTreeMap<PathBuf, Stamp>,
}

impl Next<'_> {
    fn sort(&mut self, origin: Origin) {
        let previous = self
            .old
            .members
            .iter()
            .find(|m| is_of(m, &origin.candidate));
        if self.is_same_policy && self.watched.ignored.contains(&origin) {
            self.ignored.push(origin);
            return;
        }
        if let Some(member) = previous
            && self.is_same_policy
            && member.origin == origin
            && member.retry.is_none_or(|at| Instant::now() < at)
        {
            self.kept.push(member.clone());
            return;
        }
        // Only files are waited for: what the operator changes counts at once, also where somebody
        // keeps the folder changing.
        let is_moved = previous.is_none_or(|member| {
            let own = &member.origin;
            own.stamp != origin.stamp && own.candidate == origin.candidate
        });
        if let Where::Folder(folder) = &origin.candidate.place
            && !self.is_first
            && self.is_same_policy
            && is_moved
            && self.watched.unsettled.get(folder) != Some(&origin.stamp)
        {
            self.unsettled.insert(folder.clone(), origin.stamp);
            self.kept.extend(previous.cloned());
            return;
        }
        self.stale.push(origin);
    }
}

fn look(candidate: Candidate) -> Origin {
    let stamp = match &candidate.place {
        Where::Folder(folder) => Stamp::of(folder),
        // Its digest is in its name.
        Where::Oci(_) => Stamp::default(),
    };
    Origin { candidate, stamp }
}

/// Whether a plugin is what an earlier look made of this candidate.
fn is_of(member: &Member, candidate: &Candidate) -> bool {
    let own = &member.origin.candidate;
    match &candidate.name {
        Some(name) => own.name.as_ref() == Some(name),
        None => own.name.is_none() && own.source == candidate.source,
    }
}

/// Decides between what was loaded and what it would replace.
fn settle(member: &mut Member, previous: Option<&Member>, denied: &[Sha256]) -> Changed {
    let plugin = member.info.name.clone();
    let PluginState::Failed(reason) = &member.info.state else {
        let change = Change::Loaded;
        return Changed { plugin, change };
    };
    let reason = reason.clone();
    // What nobody may load any more does not serve on.
    let previous = previous.filter(|previous| {
        let is_denied = previous.info.digest.is_some_and(|d| denied.contains(&d));
        previous.serves() && member.place.is_some() && !is_denied
    });
    let Some(previous) = previous else {
        let change = Change::Failed(reason);
        return Changed { plugin, change };
    };
    member.place = previous.place.clone();
    member.info = previous.info.clone();
    member.info.refused = Some(reason.clone());
    Changed {
        // Its manifest may have given it another name.
        plugin: previous.info.name.clone(),
        change: Change::Refused(reason),
    }
}

/// Says what changed, in log and metrics.
fn tell(old: &Loaded, new: &Loaded, changes: &[Changed]) {
    let digest = |info: &PluginInfo| info.digest.map(|d| d.to_string()).unwrap_or_default();
    for Changed { plugin, change } in changes {
        let info = |loaded: &Loaded| {
            let mut members = loaded.members.iter().map(|member| &member.info);
            members.find(|info| info.name == *plugin).cloned()
        };
        let Some(info) = info(new).or_else(|| info(old)) else {
            continue;
        };
        let (name, digest, source) = (plugin.as_str(), digest(&info), &info.source);
        match change {
            Change::Loaded => {
                metric::reloaded("loaded");
                let world = info.world.map(World::as_str).unwrap_or_default();
                tracing::info!(
                    plugin.name = name,
                    plugin.digest = digest,
                    plugin.world = world,
                    "loaded {world} plugin `{name}` from {source}"
                );
            }
            Change::Refused(reason) => {
                metric::reloaded("refused");
                tracing::error!(
                    plugin.name = name,
                    plugin.digest = digest,
                    "cannot load the change of plugin `{name}` from {source}, what served before serves on: {reason}"
                );
            }
            Change::Failed(reason) => {
                metric::reloaded("failed");
                tracing::error!(
                    plugin.name = name,
                    "cannot load plugin `{name}` from {source}: {reason}"
                );
            }
            Change::Removed => {
                metric::reloaded("removed");
                tracing::warn!(
                    plugin.name = name,
                    plugin.digest = digest,
                    "plugin `{name}` is gone, it was loaded from {source}"
                );
            }
        }
    }
    let running = |loaded: &Loaded| -> BTreeSet<(Arc<str>, String, &'static str)> {
        let members = loaded.members.iter();
        let running = members.filter_map(|member| {
            let identity = member.identity()?;
            let world = match member.place.as_ref()? {
                Place::Storage(_) => World::Storage,
                Place::Auth(_) => World::Auth,
                Place::Scan(_) => World::Scan,
            };
            let name = Arc::clone(&identity.name);
            Some((name, identity.digest.clone(), world.as_str()))
        });
        running.collect()
    };
    let (before, after) = (running(old), running(new));
    for (name, digest, world) in before.difference(&after) {
        metric::unloaded(name, digest, world);
    }
    for (name, digest, world) in after.difference(&before) {
        metric::loaded(name, digest, world);
        metric::breaker(name, false);
    }
}

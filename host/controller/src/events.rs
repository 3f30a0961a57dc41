//! Events for people who look at an object (`events.k8s.io/v1`, reliability.md 11.3). What they say
//! is in conditions too, so one that cannot be written is no failure.
//!
//! What bounds it: one event an object and reason in five minutes, 1 024 bytes of text; reasons are
//! those of conditions. Said only when a status changed, so a settled world says nothing.

use k8s_openapi::api::events::v1::Event;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use k8s_openapi::jiff::Timestamp;
use kube::api::PostParams;
use kube::{Api, Client, Resource};
use opendepot_crds::Reason;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher as _;
use std::time::{Duration, Instant};

/// The same is not said again before.
const PAUSE: Duration = Duration::from_secs(300);
/// What is older than the pause is forgotten once so many are remembered.
const NUM_REMEMBERED: usize = 4_096;
const MAX_NOTE_BYTES: usize = 1_024;
/// An event's name is the object's, cut to this, and a number.
const MAX_NAME_BYTES: usize = 200;

/// Whether somebody should look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tone {
    Normal,
    Warning,
}

/// Says what happened to objects.
pub(crate) struct Events {
    client: Client,
    said: Said,
}

impl Events {
    pub(crate) fn new(client: Client) -> Self {
        Self {
            client,
            said: Said::default(),
        }
    }

    /// Says that `action` on `object` came to `reason`.
    pub(crate) async fn say<K>(
        &self,
        object: &K,
        tone: Tone,
        action: &'static str,
        reason: Reason,
        note: &str,
    ) where
        K: Resource<DynamicType = ()>,
    {
        let uid = object.meta().uid.clone().unwrap_or_default();
        if !self.said.is_due(&uid, reason, Instant::now()) {
            return;
        }
        let event = event(object, tone, action, reason, note);
        let namespace = event.metadata.namespace.clone().unwrap_or_default();
        let api: Api<Event> = Api::namespaced(self.client.clone(), &namespace);
        opendepot_transfer::fault::point("api.create-event");
        let answer = api.create(&PostParams::default(), &event).await;
        opendepot_transfer::fault::point("api.create-event.done");
        if let Err(error) = answer {
            let reason = reason.as_str();
            tracing::debug!("cannot write event `{reason}` of `{namespace}`: {error}");
        }
    }
}

fn event<K>(object: &K, tone: Tone, action: &str, reason: Reason, note: &str) -> Event
where
    K: Resource<DynamicType = ()>,
{
    let now = Timestamp::now();
    let regarding = object.object_ref(&());
    let cut = |text: &str, bytes: usize| {
        let end = text.floor_char_boundary(bytes);
        text.get(..end).unwrap_or_default().to_owned()
    };
    let name = cut(
        regarding.name.as_deref().unwrap_or_default(),
        MAX_NAME_BYTES,
    );
    let kind = K::kind(&()).to_lowercase();
    Event {
        metadata: ObjectMeta {
            name: Some(format!("{name}.{:x}", now.as_nanosecond())),
            namespace: regarding.namespace.clone(),
            ..ObjectMeta::default()
        },
        action: Some(action.to_owned()),
        event_time: Some(MicroTime(now)),
        note: Some(cut(note, MAX_NOTE_BYTES)),
        reason: Some(reason.as_str().to_owned()),
        regarding: Some(regarding),
        reporting_controller: Some(format!("{}/{kind}-controller", opendepot_crds::GROUP)),
        reporting_instance: Some(format!("opendepot-{}", std::process::id())),
        type_: Some(format!("{tone:?}")),
        ..Event::default()
    }
}

/// When which reason was said of which object, by hash.
#[derive(Default)]
struct Said {
    at: Mutex<HashMap<u64, Instant>>,
    random: RandomState,
}

impl Said {
    /// Whether it has not been said for a while; it is said by this.
    fn is_due(&self, uid: &str, reason: Reason, now: Instant) -> bool {
        let is_recent = |at: &Instant| now.saturating_duration_since(*at) < PAUSE;
        let key = self.random.hash_one((uid, reason));
        let mut said = self.at.lock();
        if said.get(&key).is_some_and(is_recent) {
            return false;
        }
        if said.len() >= NUM_REMEMBERED {
            said.retain(|_, at| is_recent(at));
            if said.len() >= NUM_REMEMBERED {
                // Nobody reads that many.
                return false;
            }
        }
        said.insert(key, now);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use opendepot_crds::Module;

    #[test]
    fn the_same_is_said_once_in_five_minutes() {
        let (said, start) = (Said::default(), Instant::now());
        let is_due =
            |uid, reason, after| said.is_due(uid, reason, start + Duration::from_secs(after));
        assert!(is_due("a", Reason::Busy, 0));
        assert!(!is_due("a", Reason::Busy, 299));
        assert!(is_due("a", Reason::InvalidSpec, 1) && is_due("b", Reason::Busy, 1));
        assert!(is_due("a", Reason::Busy, 300));
        for number in 0..NUM_REMEMBERED * 2 {
            said.is_due(&number.to_string(), Reason::Busy, start + PAUSE);
        }
        assert!(said.at.lock().len() <= NUM_REMEMBERED);
        assert!(is_due("late", Reason::Busy, 900), "what is old makes room");
    }

    #[test]
    fn an_event_fits_what_the_api_takes() {
        let mut module = Module::new(&"n".repeat(253), opendepot_crds::ModuleSpec::default());
        module.metadata.namespace = Some("team".to_owned());
        let note = "ä".repeat(2_000);
        let event = event(&module, Tone::Warning, "Sync", Reason::InvalidSpec, &note);
        let name = event.metadata.name.unwrap();
        assert!(name.len() <= 253 && name.contains('.'), "{name}");
        assert_eq!(event.note.unwrap().len(), 1_024);
        assert_eq!(event.type_.as_deref(), Some("Warning"));
        assert_eq!(event.metadata.namespace.as_deref(), Some("team"));
        assert_eq!(
            event.reporting_controller.as_deref(),
            Some("opendepot.defdev.io/module-controller")
        );
    }
}

//! Versions on their way out: who fetches for one is told to stop, so that its removal does not
//! wait for a slow source (C04).

use parking_lot::Mutex;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use tokio::sync::Notify;

/// By `namespace/name`. Bounded by the Versions being deleted and those being fetched.
#[derive(Debug, Default)]
pub(crate) struct Doomed(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    deleting: HashSet<String>,
    waiting: HashMap<String, Arc<Notify>>,
}

impl Doomed {
    /// Notes an object as it is now.
    pub(crate) fn set(&self, object: &str, is_deleting: bool) {
        let mut inner = self.0.lock();
        if !is_deleting {
            inner.deleting.remove(object);
        } else if inner.deleting.insert(object.to_owned()) {
            inner.tell(object);
        }
    }

    /// The object is gone.
    pub(crate) fn gone(&self, object: &str) {
        let mut inner = self.0.lock();
        inner.deleting.remove(object);
        inner.tell(object);
    }

    /// Only these objects are left.
    pub(crate) fn retain(&self, is_known: impl Fn(&str) -> bool) {
        let mut inner = self.0.lock();
        inner.deleting.retain(|object| is_known(object));
        for (object, waiting) in &inner.waiting {
            if !is_known(object) {
                waiting.notify_one();
            }
        }
    }

    /// Resolves once the object is being deleted or gone. One waits for an object at a time: its
    /// reconciles do not overlap.
    pub(crate) async fn wait(&self, object: &str) {
        let told = {
            let mut inner = self.0.lock();
            if inner.deleting.contains(object) {
                return;
            }
            let told = inner.waiting.entry(object.to_owned()).or_default();
            Arc::clone(told)
        };
        let _leave = Leave {
            doomed: self,
            object,
        };
        told.notified().await;
    }
}

impl Inner {
    fn tell(&self, object: &str) {
        if let Some(waiting) = self.waiting.get(object) {
            waiting.notify_one();
        }
    }
}

/// Ends a wait, however it ended.
struct Leave<'a> {
    doomed: &'a Doomed,
    object: &'a str,
}

impl Drop for Leave<'_> {
    fn drop(&mut self) {
        self.doomed.0.lock().waiting.remove(self.object);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::FutureExt as _;

    #[test]
    fn who_waits_is_told_of_its_own_object_and_leaves_nothing() {
        let doomed = Doomed::default();
        let mut wait = Box::pin(doomed.wait("a/one"));
        assert!(wait.as_mut().now_or_never().is_none());
        doomed.set("a/two", true);
        doomed.set("a/one", false);
        assert!(wait.as_mut().now_or_never().is_none());
        doomed.set("a/one", true);
        assert!(wait.as_mut().now_or_never().is_some());
        drop(wait);
        // It is known before anybody waits, too.
        assert!(doomed.wait("a/one").now_or_never().is_some());
        // A successor of the same name is another object.
        doomed.gone("a/one");
        let mut wait = Box::pin(doomed.wait("a/one"));
        assert!(wait.as_mut().now_or_never().is_none());
        doomed.gone("a/one");
        assert!(wait.as_mut().now_or_never().is_some());
        drop(wait);
        let mut wait = Box::pin(doomed.wait("a/one"));
        assert!(wait.as_mut().now_or_never().is_none());
        doomed.retain(|object| object == "a/two");
        assert!(wait.as_mut().now_or_never().is_some());
        drop(wait);
        doomed.gone("a/two");
        let inner = doomed.0.lock();
        assert!(inner.deleting.is_empty() && inner.waiting.is_empty());
    }
}

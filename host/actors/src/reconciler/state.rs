//! Who may work next: permits shared fairly among namespaces. No actix, no clock.

use opendepot_domain::Namespace;
use std::collections::{HashMap, VecDeque};

/// What a request for a permit gets.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Admitted<J> {
    /// Work now.
    Now(J),
    /// Queued; [`Admission::release`] hands it out later.
    Queued,
    /// This namespace has enough queued: the caller comes back.
    Busy,
}

/// A bounded number of running jobs and, a namespace, of waiting ones; freed permits go round
/// the namespaces in turn, so that one tenant's ten thousand cannot starve another's one (C15).
#[derive(Debug)]
pub(super) struct Admission<J> {
    num_free: usize,
    num_waiting_per_namespace: usize,
    waiting: HashMap<Namespace, VecDeque<J>>,
    turns: VecDeque<Namespace>,
}

impl<J> Admission<J> {
    pub(super) fn new(num_permits: usize, num_waiting_per_namespace: usize) -> Self {
        Self {
            num_free: num_permits,
            num_waiting_per_namespace,
            waiting: HashMap::new(),
            turns: VecDeque::new(),
        }
    }

    pub(super) fn request(&mut self, namespace: &Namespace, job: J) -> Admitted<J> {
        if self.num_free > 0 {
            self.num_free -= 1;
            return Admitted::Now(job);
        }
        let queue = self.waiting.entry(namespace.clone()).or_default();
        if queue.len() >= self.num_waiting_per_namespace {
            return Admitted::Busy;
        }
        if queue.is_empty() {
            self.turns.push_back(namespace.clone());
        }
        queue.push_back(job);
        Admitted::Queued
    }

    /// Returns a permit; the next job in turn, if any, holds it from now on.
    pub(super) fn release(&mut self) -> Option<J> {
        while let Some(namespace) = self.turns.pop_front() {
            let Some(queue) = self.waiting.get_mut(&namespace) else {
                continue;
            };
            let job = queue.pop_front();
            if queue.is_empty() {
                self.waiting.remove(&namespace);
            } else {
                self.turns.push_back(namespace);
            }
            if job.is_some() {
                return job;
            }
        }
        self.num_free += 1;
        None
    }

    #[cfg(test)]
    fn num_waiting(&self) -> usize {
        self.waiting.values().map(VecDeque::len).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn namespace(name: &str) -> Namespace {
        Namespace::new(name).unwrap()
    }

    #[test]
    fn a_small_tenant_is_served_next_in_turn() {
        let (many, one) = (namespace("many"), namespace("one"));
        let mut admission = Admission::new(1, 4);
        assert_eq!(admission.request(&many, "m0"), Admitted::Now("m0"));
        for job in ["m1", "m2", "m3", "m4"] {
            assert_eq!(admission.request(&many, job), Admitted::Queued);
        }
        assert_eq!(admission.request(&many, "m5"), Admitted::Busy);
        assert_eq!(admission.request(&one, "o1"), Admitted::Queued);
        let order: Vec<_> = std::iter::from_fn(|| admission.release()).collect();
        assert_eq!(order, ["m1", "o1", "m2", "m3", "m4"]);
        assert_eq!(admission.num_waiting(), 0);
    }

    #[test]
    fn permits_are_never_lost_nor_doubled() {
        let tenant = namespace("t");
        let mut admission = Admission::new(2, 1);
        assert!(matches!(admission.request(&tenant, 1), Admitted::Now(1)));
        assert!(matches!(admission.request(&tenant, 2), Admitted::Now(2)));
        assert!(matches!(admission.request(&tenant, 3), Admitted::Queued));
        assert_eq!(admission.release(), Some(3));
        assert_eq!(admission.release(), None);
        assert_eq!(admission.release(), None);
        assert!(matches!(admission.request(&tenant, 4), Admitted::Now(4)));
        assert!(matches!(admission.request(&tenant, 5), Admitted::Now(5)));
        assert!(matches!(admission.request(&tenant, 6), Admitted::Queued));
    }
}

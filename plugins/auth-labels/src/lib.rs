//! Allows and denies by the labels of Namespaces, Modules and Providers.
//!
//! ```yaml
//! settings:
//!   rules:
//!     - name: restricted                   # 1 to 40 bytes, for the audit log
//!       effect: deny                       # or allow
//!       actions: ["*"]
//!       namespace:                         # a Kubernetes label selector; this, `resource`, or both
//!         matchLabels: { data: restricted }
//!       exemptGroups: [security]           # deny only: whom the rule does not concern
//!     - name: shared
//!       effect: allow
//!       groups: [developers]               # `*`: whoever has a credential
//!       actions: [list-versions, read-package, download]
//!       resource:
//!         matchExpressions:
//!           - { key: visibility, operator: In, values: [shared, public] }
//!           - { key: retired, operator: DoesNotExist }
//! ```
//!
//! A target that a deny rule matches is denied, else one that an allow rule matches is allowed, else
//! it abstains. Within a rule everything must match. A deny rule without `groups` concerns
//! everybody, anonymous callers included; an allow rule needs `groups` and never allows an action
//! that this version does not know.
//!
//! **Where labels come from.** The host puts them into the target's attributes: `namespace-label/KEY`
//! and `label/KEY`, and it says with `namespace-labels: known` and `labels: known` that these are
//! all. A host knows them when it may read Namespaces and the resource exists.
//!
//! **What bounds it.** 200 rules, 50 requirements a selector, 100 values a requirement, 1000 entries
//! of any other list. A target costs, for each rule that concerns the caller and the action, its
//! requirements times the target's attributes.
//!
//! **What it refuses.** Unknown keys, operators and actions, with the nearest known one; keys and
//! values that Kubernetes would not accept as a label's; selectors without a requirement; `values`
//! with `Exists`, and `In` without. All problems are reported at once.
//!
//! **What may surprise.** Labels that the host did not pass are unknown, not absent: an allow rule
//! about them never matches and a deny rule about them always does. Otherwise `NotIn` and
//! `DoesNotExist` match what has no such label, as in Kubernetes. Whoever may label a resource
//! decides what these rules say about it: prefer labels of namespaces where that matters.

mod rule;
mod selector;
mod state;

use opendepot_plugin_sdk::auth::{
    Action, AuthPlugin, Binding, Decision, Error, Prepared, Subject, Target,
};
use opendepot_plugin_sdk::register_auth;

/// The plugin.
pub struct Labels;

impl AuthPlugin for Labels {
    fn prepare(settings: &str, _bindings: &[Binding]) -> Result<Prepared, Error> {
        let rules = rule::read(settings)?;
        Ok(Prepared {
            state: state::compile(&rules)?,
            problems: Vec::new(),
        })
    }

    fn authorize(
        _settings: &str,
        state: &[u8],
        subject: &Subject,
        action: &Action,
        targets: &[Target],
        _now: u64,
    ) -> Result<Vec<Decision>, Error> {
        let state = state::State::read(state)?;
        let rules = state.concerning(subject, action);
        Ok(targets.iter().map(|target| rules.decide(target)).collect())
    }
}

register_auth!(Labels);

#[cfg(test)]
mod tests;

//! Grants actions to groups: rules of groups, actions, and globs of namespaces and names.
//!
//! ```yaml
//! settings:
//!   rules:
//!     - groups: [platform]                  # whose members; `*`: whoever has a credential
//!       actions: ["*"]                      # or list-versions, read-package, download, …
//!       namespaces: [team-*]                # absent: every namespace
//!       modules: [terraform-aws-*]          # absent, with `providers` absent too: every name
//!       providers: ["null", aws]
//! ```
//!
//! It allows or abstains, never denies: what no rule allows is left to the next plugin and to the
//! mode's base. An anonymous caller has no groups, whatever the subject says, and `*` does not
//! mean it. An action or kind that this version does not know is never allowed, not by `*` either.
//!
//! **What bounds it.** 1000 rules, 1000 entries a list, 65,535 distinct groups and patterns; one
//! match costs at most the name's length times the pattern's (63 × 63), whatever the pattern. The
//! compiled state is read once per call; then each target costs the rules that concern the
//! caller's groups and the action.
//!
//! **What it refuses.** Unknown keys and actions, with the nearest known one; patterns that no
//! name could match; an empty list of groups or actions; a rule that can never match. All problems
//! are reported at once.
//!
//! **What may surprise.** Namespaces and names are matched apart, so `*` in a name never reaches
//! into another namespace. A rule with `modules` alone grants no providers, and the other way
//! round. Bindings are another plugin's subject and ignored here.

mod rule;
mod state;

use opendepot_plugin_sdk::auth::{
    Action, AuthPlugin, Binding, Decision, Error, Prepared, Subject, Target,
};
use opendepot_plugin_sdk::register_auth;

/// The plugin.
pub struct Groups;

impl AuthPlugin for Groups {
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
        let grants = state.grants(subject, action);
        Ok(targets
            .iter()
            .map(|target| {
                if grants.allow(target) {
                    Decision::Allow
                } else {
                    Decision::Abstain
                }
            })
            .collect())
    }
}

register_auth!(Groups);

#[cfg(test)]
mod tests;

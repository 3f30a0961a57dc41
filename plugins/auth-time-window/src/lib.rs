//! Denies by the clock: weekly windows, working hours and change freezes.
//!
//! ```yaml
//! settings:
//!   zone: Europe/Berlin                    # of every rule without its own; default UTC
//!   rules:
//!     - name: no-friday-deploys            # 1 to 40 bytes, for the audit log
//!       deny: inside                       # inside of these times, or outside of them
//!       weekly:
//!         - { days: [friday], from: "12:00", to: "24:00" }
//!         - { days: [sat, sun] }           # absent `from` and `to`: all day
//!       dates:                             # whole days, both included: a freeze
//!         - { from: "2026-12-19", to: "2027-01-06" }
//!       actions: [publish]                 # `*`: every one
//!       namespaces: [prod-*]               # as in auth-groups: absent, all of them
//!       exemptGroups: [on-call]            # whom the rule does not concern
//!       zone: "+05:30"                     # a name of the IANA database, or a fixed offset
//! ```
//!
//! It denies with the rule's name and the local time, or abstains; it never allows. A rule concerns
//! everybody who is not exempt, anonymous callers included, and `actions: ["*"]` means actions that
//! this version does not know as well.
//!
//! **What bounds it.** 200 rules, 100 windows and 100 date ranges a rule, 1000 entries of any other
//! list. A call computes the local time once a rule; then each target costs the rules that deny now.
//!
//! **What it refuses.** Unknown keys, days, zones and actions, with the nearest known one; times and
//! dates that do not exist; a window or range that ends before it starts, or in the same minute; a
//! rule without times. All problems are reported at once. A clock after the year 9999 is an error,
//! which the host takes as a deny.
//!
//! **What may surprise.** The host keeps decisions for up to 5 seconds, so a window begins and ends
//! that much late. `from` later than `to` runs past midnight, and `days` says when it starts. Local
//! times follow the wall clock: what is skipped in spring never comes, what is repeated in autumn
//! comes twice. The zones are built in (`zones.txt` says of which release): a later change of law
//! needs a later plugin, and a few zones that no yearly rule describes are missing.

mod rule;
mod state;
mod window;
mod zone;

use opendepot_plugin_sdk::auth::{
    Action, AuthPlugin, Binding, Decision, Error, Prepared, Subject, Target,
};
use opendepot_plugin_sdk::register_auth;

/// The plugin.
pub struct TimeWindow;

impl AuthPlugin for TimeWindow {
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
        now: u64,
    ) -> Result<Vec<Decision>, Error> {
        let state = state::State::read(state)?;
        let denials = state.denials(subject, action, now)?;
        Ok(targets
            .iter()
            .map(|target| match denials.reason(target) {
                Some(reason) => Decision::Deny(reason.to_owned()),
                None => Decision::Abstain,
            })
            .collect())
    }
}

register_auth!(TimeWindow);

#[cfg(test)]
mod tests;

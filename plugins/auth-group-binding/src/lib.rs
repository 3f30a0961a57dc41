//! Lets groups read what GroupBindings list: an expression over the caller's groups, and globs.
//!
//! ```yaml
//! kind: GroupBinding
//! spec:
//!   expression: '"platform" in groups || any(groups, # startsWith "team-")'
//!   moduleResources: [vpc, "net-[a-c]*"]     # globs as Go's path.Match
//!   providerResources: [aws]                 # exact names, or `*`
//!   namespaces: [shared]                     # globs; absent: all of them
//! ---
//! settings:
//!   merge: first                             # or union
//! ```
//!
//! With `merge: first` the first binding by name whose expression is true for the caller decides
//! alone, as in the original; with `union` all of them together. What it lists may be read:
//! `list-versions`, `read-package`, `download` and `browse` are allowed, all else abstains. It never
//! denies. A caller without a credential has no groups and is granted nothing.
//!
//! **The language** is expr-lang's, as far as truths, whole numbers, texts and lists of texts go:
//! `in`, `not in`, `contains`, `startsWith`, `endsWith`, `matches`, `and`, `or`, `not`, comparisons,
//! `+`, `-`, `?:`, `let`, pipes, places in lists; `any`, `all`, `none`, `one`, `count`, `filter`,
//! `map` with `#` in the predicate; `len`, `lower`, `upper`, `trim`, `trimPrefix`, `trimSuffix`,
//! `hasPrefix`, `hasSuffix`, `split`, `join`, `replace`, `indexOf`. As in the original types are
//! checked before anything runs, so an unknown name or `groups != "x"` never grants. That, a bound on
//! the cost and code that is compiled once are why this is no wrapper of the crate `expr-lang`; the
//! tests compare the two.
//!
//! **What bounds it.** 1000 bindings, 1 MiB of compiled ones, 4096 characters an expression, 256
//! names or globs a list. Evaluating takes at most 100,000 steps a binding, and 1,000,000 shared
//! evenly by all of them; nothing recurses with the expression. A caller with more than 1000 groups
//! is granted nothing.
//!
//! **What it refuses.** A binding with a mistake in its expression or in a glob grants nothing, is
//! reported in its condition, and changes nothing about the others.
//!
//! **What may surprise.** In the original a wrong binding locks out everybody whom none before it
//! matched, and a wrong glob is ignored. With `merge: first` a binding whose expression is true hides
//! later ones also where its lists or `namespaces` do not reach. An expression that fails for a
//! caller (a place that the list does not have, too many steps) grants that caller nothing, and the
//! next binding is asked; the log says so. Patterns of `matches` know no Unicode classes.

mod binding;
mod code;
mod compile;
mod glob;
mod machine;
mod operand;
mod pattern;
mod state;
mod text;
mod token;

use opendepot_plugin_sdk::auth::{
    Action, AuthPlugin, Binding, Decision, Error, Prepared, Subject, Target,
};
use opendepot_plugin_sdk::{log, register_auth};

/// The most groups of a caller.
const MAX_GROUPS: usize = 1000;

/// The plugin.
pub struct GroupBinding;

impl AuthPlugin for GroupBinding {
    fn prepare(settings: &str, bindings: &[Binding]) -> Result<Prepared, Error> {
        let merge = binding::read_merge(settings)?;
        let (compiled, problems) = binding::compile(bindings);
        Ok(Prepared {
            state: state::write(merge, &compiled)?,
            problems,
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
        let reads = matches!(
            action,
            Action::ListVersions | Action::ReadPackage | Action::Download | Action::Browse
        );
        // Ignoring some groups could make a negated expression true.
        let has_too_many = subject.groups.len() > MAX_GROUPS;
        if has_too_many {
            let count = subject.groups.len().to_string();
            log::warn(
                "a caller has too many groups for any binding",
                &[("count", &count)],
            );
        }
        if !reads || has_too_many || subject.is_anonymous() {
            return Ok(vec![Decision::Abstain; targets.len()]);
        }
        let granted = state.granted_to(&subject.groups);
        Ok(targets
            .iter()
            .map(|target| {
                if granted.allow(target) {
                    Decision::Allow
                } else {
                    Decision::Abstain
                }
            })
            .collect())
    }
}

register_auth!(GroupBinding);

#[cfg(test)]
mod tests;

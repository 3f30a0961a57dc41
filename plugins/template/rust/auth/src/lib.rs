//! Keeps namespaces for groups: a caller who is in none of `groups` is denied everything in the
//! namespaces that match one of `namespaces`. It has no opinion about all else.
//!
//! ```yaml
//! settings:
//!   namespaces: [secret-*]      # `*` is any run of characters, `?` is one
//!   groups: [platform]
//! ```

use opendepot_plugin_sdk::auth::{
    Action, AuthPlugin, Binding, Decision, Error, Prepared, Subject, Target,
};
use opendepot_plugin_sdk::{glob, register_auth, settings};

/// The plugin. It keeps nothing: a fresh instance may serve each call.
pub struct Plugin;

struct Settings {
    namespaces: Vec<String>,
    groups: Vec<String>,
}

impl Settings {
    /// Reads them so that the operator sees every mistake at once, each with its path.
    fn read(text: &str) -> Result<Self, Error> {
        Ok(settings::read(text, |root| {
            root.deny_unknown(&["namespaces", "groups"]);
            let namespaces = root.texts("namespaces").unwrap_or_default();
            for (path, pattern) in &namespaces {
                if let Err(reason) = glob::check(pattern) {
                    root.problem_at(path, reason);
                }
            }
            let groups = root.texts("groups").unwrap_or_default();
            let words = |texts: Vec<(String, &str)>| -> Vec<String> {
                texts.into_iter().map(|(_, text)| text.to_owned()).collect()
            };
            Self {
                namespaces: words(namespaces),
                groups: words(groups),
            }
        })?)
    }
}

impl AuthPlugin for Plugin {
    /// Called when settings change. What is slow to make belongs into `state`, which every
    /// `authorize` gets; these settings are quick to read, so they are only checked here.
    fn prepare(settings: &str, _bindings: &[Binding]) -> Result<Prepared, Error> {
        Settings::read(settings).map(|_| Prepared {
            state: Vec::new(),
            problems: Vec::new(),
        })
    }

    fn authorize(
        settings: &str,
        _state: &[u8],
        subject: &Subject,
        _action: &Action,
        targets: &[Target],
        _now: u64,
    ) -> Result<Vec<Decision>, Error> {
        let Settings { namespaces, groups } = Settings::read(settings)?;
        let is_member = subject.groups.iter().any(|group| groups.contains(group));
        let decide = |target: &Target| {
            let is_kept = |pattern: &String| glob::matches(pattern, &target.namespace);
            if !is_member && namespaces.iter().any(is_kept) {
                // For the audit log; callers never see it.
                Decision::Deny(format!("only {} may have it", groups.join(", ")))
            } else {
                Decision::Abstain
            }
        };
        Ok(targets.iter().map(decide).collect())
    }
}

register_auth!(Plugin);

#[cfg(test)]
mod tests {
    use super::*;
    use opendepot_plugin_sdk::fixture::auth::{anonymous, module, problems, subject};

    const SETTINGS: &str = r#"{"namespaces": ["secret-*"], "groups": ["platform"]}"#;

    #[test]
    fn only_members_have_what_is_kept() {
        for (caller, namespace, is_denied) in [
            (subject(&["platform"]), "secret-a", false),
            (subject(&["dev", "platform"]), "secret-a", false),
            (subject(&["dev"]), "secret-a", true),
            (subject(&[]), "secret-a", true),
            (anonymous(&[]), "secret-a", true),
            (subject(&["dev"]), "demo", false),
            (subject(&["dev"]), "not-secret-a", false),
        ] {
            let target = module(namespace, "vpc");
            let answer = Plugin::authorize(SETTINGS, &[], &caller, &Action::Download, &[target], 0);
            let denied = matches!(answer.unwrap().as_slice(), [Decision::Deny(_)]);
            assert_eq!(denied, is_denied, "{:?} in {namespace}", caller.groups);
        }
    }

    #[test]
    fn every_mistake_is_reported_with_its_path() {
        assert_eq!(problems::<Plugin>(SETTINGS), []);
        assert_eq!(problems::<Plugin>("{}"), []);
        for (settings, path) in [
            ("[]", ""),
            (r#"{"group": []}"#, "group"),
            (r#"{"groups": "platform"}"#, "groups"),
            (r#"{"namespaces": ["a", "B"]}"#, "namespaces[1]"),
        ] {
            let found = problems::<Plugin>(settings);
            assert_eq!(found.first().map(|(path, _)| path.as_str()), Some(path));
        }
    }
}

//! The functions of the auth world.

use super::Component;
use super::json::{FromJson, ToJson, case, field, text_case, unexpected};
use crate::auth::{
    Action, Authentication, Binding, BindingProblem, Decision, Error, Prepared, Subject, Target,
};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

impl Component {
    /// Calls `prepare` of an auth plugin.
    ///
    /// # Errors
    /// What the plugin answers.
    ///
    /// # Panics
    /// When there is no answer.
    #[track_caller]
    pub fn prepare(&self, bindings: &[Binding]) -> Result<Prepared, Error> {
        let mut arguments = self.arguments(false);
        arguments.insert("bindings".to_owned(), bindings.to_json());
        self.call("prepare", arguments)
    }

    /// Calls `authorize` of an auth plugin, with the state that its `prepare` makes of the
    /// settings and no bindings.
    ///
    /// # Errors
    /// What the plugin answers.
    ///
    /// # Panics
    /// When there is no answer.
    #[track_caller]
    pub fn authorize(
        &self,
        subject: &Subject,
        action: &Action,
        targets: &[Target],
    ) -> Result<Vec<Decision>, Error> {
        // Without `state` the command asks `prepare` for it.
        let mut arguments = self.arguments(true);
        arguments.insert("subject".to_owned(), subject.to_json());
        arguments.insert("action".to_owned(), action.to_json());
        arguments.insert("targets".to_owned(), targets.to_json());
        self.call("authorize", arguments)
    }

    /// Calls `validate` of an auth plugin.
    ///
    /// # Errors
    /// What the plugin answers.
    ///
    /// # Panics
    /// When there is no answer.
    #[track_caller]
    pub fn validate_auth(&self) -> Result<(), Error> {
        self.call("validate", self.arguments(false))
    }
}

impl ToJson for Authentication {
    fn to_json(&self) -> Value {
        let name = match self {
            Self::Anonymous => "anonymous",
            Self::TokenFile => "token-file",
            Self::TokenReview => "token-review",
            Self::Oidc => "oidc",
            Self::Machine => "machine",
            Self::Web => "web",
            Self::Other(name) => return text_case("other", name),
        };
        name.into()
    }
}

impl ToJson for Subject {
    fn to_json(&self) -> Value {
        json!({
            "authentication": self.authentication.to_json(),
            "issuer": self.issuer,
            "name": self.name,
            "groups": self.groups,
            "claims": self.claims,
            "client-address": self.client_address,
            "attributes": self.attributes.to_json(),
        })
    }
}

impl ToJson for Action {
    fn to_json(&self) -> Value {
        match self {
            Self::Other(name) => text_case("other", name),
            known => known.as_str().into(),
        }
    }
}

impl ToJson for Target {
    fn to_json(&self) -> Value {
        json!({
            "namespace": self.namespace,
            "kind": self.kind.to_json(),
            "name": self.name,
            "version": self.version,
            "os": self.os,
            "arch": self.arch,
            "attributes": self.attributes.to_json(),
        })
    }
}

impl ToJson for Binding {
    fn to_json(&self) -> Value {
        json!({
            "name": self.name,
            "expression": self.expression,
            "modules": self.modules,
            "providers": self.providers,
            "namespaces": self.namespaces,
            "attributes": self.attributes.to_json(),
        })
    }
}

impl FromJson for BindingProblem {
    fn from_json(value: &Value) -> Result<Self, String> {
        Ok(Self {
            binding: field(value, "binding")?,
            message: field(value, "message")?,
        })
    }
}

impl FromJson for Prepared {
    fn from_json(value: &Value) -> Result<Self, String> {
        let state: String = field(value, "state")?;
        Ok(Self {
            state: STANDARD
                .decode(state)
                .map_err(|error| format!("`state`: {error}"))?,
            problems: field(value, "problems")?,
        })
    }
}

impl FromJson for Decision {
    fn from_json(value: &Value) -> Result<Self, String> {
        match case(value)? {
            ("allow", _) => Ok(Self::Allow),
            ("deny", reason) => String::from_json(reason).map(Self::Deny),
            ("abstain", _) => Ok(Self::Abstain),
            _ => Err(unexpected("a decision", value)),
        }
    }
}

impl FromJson for Error {
    fn from_json(value: &Value) -> Result<Self, String> {
        match case(value)? {
            ("invalid-settings", problems) => Vec::from_json(problems).map(Self::InvalidSettings),
            ("other", message) => String::from_json(message).map(Self::Other),
            _ => Err(unexpected("an error", value)),
        }
    }
}

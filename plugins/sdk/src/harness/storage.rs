//! The functions of the storage world.

use super::Component;
use super::json::{FromJson, ToJson, case, field, text_case, unexpected};
use crate::artifact::Artifact;
use crate::http::{Basic, Header, HeaderValue, Prefixed};
use crate::storage::{
    Error, Operation, OptionValue, Placement, SignedRequest, StoreOption, Transfer,
};
use serde_json::{Map, Value, json};

impl Component {
    /// Calls `validate` of a storage plugin, with a resource's block when there is one, which
    /// then needs [`Component::settings`] beside it.
    ///
    /// # Errors
    /// What the plugin answers.
    ///
    /// # Panics
    /// When there is no answer.
    #[track_caller]
    pub fn validate_storage(&self, backend: Option<&str>) -> Result<(), Error> {
        self.call("validate", self.configured(backend))
    }

    /// Calls `locate` of a storage plugin; `backend` is the resource's block, as JSON text,
    /// which needs [`Component::settings`] beside it.
    ///
    /// # Errors
    /// What the plugin answers.
    ///
    /// # Panics
    /// When there is no answer.
    #[track_caller]
    pub fn locate(&self, backend: Option<&str>, artifact: &Artifact) -> Result<Placement, Error> {
        let mut arguments = self.configured(backend);
        arguments.insert("artifact".to_owned(), artifact.to_json());
        self.call("locate", arguments)
    }

    /// Calls `plan` of a storage plugin, as for a recorded artifact: without the resource's block,
    /// and with the placement's store and key alone.
    ///
    /// # Errors
    /// What the plugin answers.
    ///
    /// # Panics
    /// When there is no answer.
    #[track_caller]
    pub fn plan(
        &self,
        artifact: &Artifact,
        placement: &Placement,
        operation: &Operation,
    ) -> Result<Transfer, Error> {
        let mut arguments = self.configured(None);
        let recorded = Placement::new(placement.store.as_str(), placement.key.as_str());
        arguments.insert("artifact".to_owned(), artifact.to_json());
        arguments.insert("placement".to_owned(), recorded.to_json());
        arguments.insert("operation".to_owned(), operation.to_json());
        if let Some(now) = self.now {
            arguments.insert("now".to_owned(), now.into());
        }
        self.call("plan", arguments)
    }

    fn configured(&self, backend: Option<&str>) -> Map<String, Value> {
        let mut configuration = Map::new();
        if let Some(settings) = &self.settings {
            configuration.insert("operator".to_owned(), settings.as_str().into());
        }
        if let Some(backend) = backend {
            configuration.insert("backend".to_owned(), backend.into());
        }
        let mut arguments = Map::new();
        if !configuration.is_empty() {
            arguments.insert("configuration".to_owned(), configuration.into());
        }
        arguments
    }
}

impl ToJson for Operation {
    fn to_json(&self) -> Value {
        match self {
            Self::Presign(seconds) => json!({ "presign": seconds }),
            Self::Other(name) => text_case("other", name),
            known => known.as_str().into(),
        }
    }
}

impl ToJson for OptionValue {
    fn to_json(&self) -> Value {
        match self {
            Self::Plain(value) => text_case("plain", value),
            Self::Secret(name) => text_case("secret", name),
        }
    }
}

impl ToJson for StoreOption {
    fn to_json(&self) -> Value {
        json!({ "name": self.name, "value": self.value.to_json() })
    }
}

impl ToJson for Placement {
    fn to_json(&self) -> Value {
        json!({
            "store": self.store,
            "key": self.key,
            "attributes": self.attributes.to_json(),
            "options": self.options.to_json(),
            "credentials": self.credentials,
        })
    }
}

impl FromJson for OptionValue {
    fn from_json(value: &Value) -> Result<Self, String> {
        match case(value)? {
            ("plain", text) => String::from_json(text).map(Self::Plain),
            ("secret", name) => String::from_json(name).map(Self::Secret),
            _ => Err(unexpected("an option's value", value)),
        }
    }
}

impl FromJson for StoreOption {
    fn from_json(value: &Value) -> Result<Self, String> {
        Ok(Self {
            name: field(value, "name")?,
            value: field(value, "value")?,
        })
    }
}

impl FromJson for Placement {
    fn from_json(value: &Value) -> Result<Self, String> {
        Ok(Self {
            store: field(value, "store")?,
            key: field(value, "key")?,
            attributes: field(value, "attributes")?,
            options: field(value, "options")?,
            credentials: field(value, "credentials")?,
        })
    }
}

impl FromJson for HeaderValue {
    fn from_json(value: &Value) -> Result<Self, String> {
        match case(value)? {
            ("plain", text) => String::from_json(text).map(Self::Plain),
            ("secret", of) => Ok(Self::Secret(Prefixed {
                prefix: field(of, "prefix")?,
                secret: field(of, "secret")?,
            })),
            ("basic", of) => Ok(Self::Basic(Basic {
                user: field(of, "user")?,
                secret: field(of, "secret")?,
            })),
            _ => Err(unexpected("a header's value", value)),
        }
    }
}

impl FromJson for Header {
    fn from_json(value: &Value) -> Result<Self, String> {
        Ok(Self {
            name: field(value, "name")?,
            value: field(value, "value")?,
        })
    }
}

impl FromJson for SignedRequest {
    fn from_json(value: &Value) -> Result<Self, String> {
        Ok(Self {
            method: field(value, "method")?,
            url: field(value, "url")?,
            headers: field(value, "headers")?,
            expires_at: field(value, "expires-at")?,
            success: field(value, "success")?,
            exists: field(value, "exists")?,
            missing: field(value, "missing")?,
            attributes: field(value, "attributes")?,
        })
    }
}

impl FromJson for Transfer {
    fn from_json(value: &Value) -> Result<Self, String> {
        match case(value)? {
            ("native", placement) => Placement::from_json(placement).map(Self::Native),
            ("signed", request) => SignedRequest::from_json(request).map(Self::Signed),
            ("nothing", _) => Ok(Self::Nothing),
            _ => Err(unexpected("a transfer", value)),
        }
    }
}

impl FromJson for Error {
    fn from_json(value: &Value) -> Result<Self, String> {
        match case(value)? {
            ("invalid-settings", problems) => Vec::from_json(problems).map(Self::InvalidSettings),
            ("unsupported", message) => String::from_json(message).map(Self::Unsupported),
            ("denied", message) => String::from_json(message).map(Self::Denied),
            ("unavailable", message) => String::from_json(message).map(Self::Unavailable),
            ("other", message) => String::from_json(message).map(Self::Other),
            _ => Err(unexpected("an error", value)),
        }
    }
}

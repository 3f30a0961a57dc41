//! The storage world: [`StorageDecisions`] over guests whose answers are checked.

use crate::auth::problems_text;
use crate::call::{CallState, Caller, Function, Identity};
use crate::denial::Denial;
use crate::error::{Error, Fault, LoadError};
use crate::host::PluginHost;
use crate::plan::{self, PlanError};
use crate::text;
use crate::v0_1::host::types::{Artifact as WitArtifact, Attribute};
use crate::v0_1::storage::StoragePluginPre;
use crate::v0_1::storage::opendepot::storage::types as wit;
use opendepot_domain::placement::{NativePlan, OptionValue, SignedRequest};
use opendepot_domain::seam::{BoxFuture, SeamError, StorageDecisions};
use opendepot_domain::{Artifact, ArtifactRecord, Kind, Operation, Placement, PluginId, Transfer};
use std::sync::Arc;

impl wit::Host for CallState {}

/// The attribute of an artifact that carries the `name` of its config: by convention the first
/// segment of the key.
pub(crate) const CONFIG_NAME: &str = "config-name";

/// A loaded storage plugin.
pub(crate) struct StorageGuest {
    pub(crate) identity: Arc<Identity>,
    pub(crate) settings: Arc<str>,
    pub(crate) pre: StoragePluginPre<CallState>,
}

type Answer<T> = Result<T, wit::Error>;

impl Caller {
    /// Validates the operator's settings alone.
    pub(crate) async fn load_storage(
        &self,
        identity: Arc<Identity>,
        settings: Arc<str>,
        pre: StoragePluginPre<CallState>,
    ) -> Result<StorageGuest, LoadError> {
        let guest = StorageGuest {
            identity,
            settings,
            pre,
        };
        let function = Function::Validate.label();
        self.validate(&guest, None)
            .await
            .map_err(|fault| LoadError::Call { function, fault })?
            .map_err(|error| LoadError::Guest {
                function,
                message: error_of(error).1,
            })?;
        Ok(guest)
    }

    async fn validate(
        &self,
        guest: &StorageGuest,
        backend: Option<&str>,
    ) -> Result<Answer<()>, Fault> {
        let configuration = guest.configuration(backend);
        let pre = guest.pre.clone();
        self.call(&guest.identity, Function::Validate, move |mut store| {
            Box::pin(async move {
                let guest = pre.instantiate_async(&mut store).await?;
                let backend = guest.opendepot_storage_backend();
                backend.call_validate(&mut store, &configuration).await
            })
        })
        .await
    }
}

impl StorageGuest {
    fn configuration(&self, backend: Option<&str>) -> wit::Configuration {
        wit::Configuration {
            operator: self.settings.to_string(),
            backend: backend.map(str::to_owned),
            attributes: Vec::new(),
        }
    }
}

impl StorageDecisions for PluginHost {
    fn validate<'a>(
        &'a self,
        plugin: &'a PluginId,
        backend: Option<&'a str>,
    ) -> BoxFuture<'a, Result<(), SeamError>> {
        Box::pin(async move {
            let guest = self.storage_guest(plugin)?;
            let answer = self.inner.caller.validate(&guest, backend).await;
            settle(plugin, Function::Validate, answer)?;
            Ok(())
        })
    }

    fn locate<'a>(
        &'a self,
        plugin: &'a PluginId,
        backend: Option<&'a str>,
        artifact: &'a Artifact,
    ) -> BoxFuture<'a, Result<Placement, SeamError>> {
        Box::pin(async move {
            let guest = self.storage_guest(plugin)?;
            let (configuration, artifact) = (guest.configuration(backend), artifact.into());
            let pre = guest.pre.clone();
            let answer = self
                .inner
                .caller
                .call(&guest.identity, Function::Locate, move |mut store| {
                    Box::pin(async move {
                        let guest = pre.instantiate_async(&mut store).await?;
                        let backend = guest.opendepot_storage_backend();
                        backend
                            .call_locate(&mut store, &configuration, &artifact)
                            .await
                    })
                })
                .await;
            let placement: Placement = settle(plugin, Function::Locate, answer)?.into();
            plan::check_placement(&guest.identity.grants, &placement)
                .map_err(|reason| refused(&guest, Function::Locate, reason))?;
            Ok(placement)
        })
    }

    fn plan<'a>(
        &'a self,
        record: &'a ArtifactRecord,
        artifact: &'a Artifact,
        operation: Operation,
        now: u64,
    ) -> BoxFuture<'a, Result<Transfer, SeamError>> {
        Box::pin(async move {
            let plugin = &record.plugin;
            // Recorded bytes whose plugin is gone are unreachable, not absent.
            let guest = self.storage_guest(plugin).map_err(|error| SeamError {
                kind: Kind::Unavailable,
                message: error.to_string(),
            })?;
            let configuration = guest.configuration(None);
            let (artifact, given) = (artifact.into(), recorded(record));
            let (pre, wit_operation) = (guest.pre.clone(), operation.into());
            let answer = self
                .inner
                .caller
                .call(&guest.identity, Function::Plan, move |mut store| {
                    Box::pin(async move {
                        let guest = pre.instantiate_async(&mut store).await?;
                        let backend = guest.opendepot_storage_backend();
                        backend
                            .call_plan(
                                &mut store,
                                &configuration,
                                &artifact,
                                &given,
                                &wit_operation,
                                now,
                            )
                            .await
                    })
                })
                .await;
            let transfer = settle(plugin, Function::Plan, answer)?;
            let transfer = check(&guest, record, transfer, operation, now)
                .map_err(|reason| refused(&guest, Function::Plan, reason))?;
            Ok(transfer)
        })
    }
}

impl PluginHost {
    pub(crate) fn storage_guest(&self, plugin: &PluginId) -> Result<Arc<StorageGuest>, Error> {
        let loaded = self.inner.loaded.load();
        match loaded.storage.get(plugin).map(|link| &link.guest) {
            Some(Ok(guest)) => Ok(Arc::clone(guest)),
            Some(Err(reason)) => Err(Error::NotServing {
                plugin: plugin.clone(),
                reason: reason.clone(),
            }),
            None => Err(Error::Unknown {
                plugin: plugin.clone(),
                world: "storage",
            }),
        }
    }
}

/// Holds a plan against the grants, the record and what was asked.
fn check(
    guest: &StorageGuest,
    record: &ArtifactRecord,
    transfer: wit::Transfer,
    operation: Operation,
    now: u64,
) -> Result<Transfer, PlanError> {
    let grants = &guest.identity.grants;
    match transfer {
        wit::Transfer::Native(placement) => {
            let placement: Placement = placement.into();
            plan::check_recorded(&placement, &record.store, &record.key)?;
            plan::check_native(grants, &placement)?;
            if operation == Operation::Prepare && !grants.may_create_containers {
                // The operator creates containers; what is missing shows at the first put.
                return Ok(Transfer::Nothing);
            }
            Ok(Transfer::Native(NativePlan {
                plugin: guest.identity.id.clone(),
                placement,
            }))
        }
        wit::Transfer::Signed(request) => {
            // The recorded store and key stay the host's; the request only says how to get there.
            plan::check_key(&record.key)?;
            let mut request = signed_request(&guest.identity.id, request);
            plan::check_signed(grants, &mut request, operation, now)?;
            Ok(Transfer::Signed(request))
        }
        wit::Transfer::Nothing if operation == Operation::Prepare => Ok(Transfer::Nothing),
        wit::Transfer::Nothing => Err(PlanError::Nothing(operation.label())),
    }
}

fn refused(guest: &StorageGuest, function: Function, reason: PlanError) -> Error {
    guest.identity.deny(Denial::Plan, &reason);
    Error::Refused {
        plugin: guest.identity.id.clone(),
        function: function.label(),
        reason: Box::new(reason),
    }
}

fn settle<T>(
    plugin: &PluginId,
    function: Function,
    answer: Result<Answer<T>, Fault>,
) -> Result<T, Error> {
    match answer {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error)) => {
            let (kind, message) = error_of(error);
            Err(Error::Guest {
                plugin: plugin.clone(),
                function: function.label(),
                kind,
                message,
            })
        }
        Err(fault) => Err(Error::Call {
            plugin: plugin.clone(),
            function: function.label(),
            fault,
        }),
    }
}

fn error_of(error: wit::Error) -> (Kind, String) {
    match error {
        wit::Error::InvalidSettings(problems) => (Kind::Invalid, problems_text(&problems)),
        wit::Error::Unsupported(message) => (
            Kind::Invalid,
            format!("unsupported: {}", text::shown(&message)),
        ),
        wit::Error::Denied(message) => (Kind::Denied, format!("denied: {}", text::shown(&message))),
        wit::Error::Unavailable(message) => (
            Kind::Unavailable,
            format!("unavailable: {}", text::shown(&message)),
        ),
        wit::Error::Other(message) => (Kind::Unavailable, text::shown(&message)),
    }
}

fn recorded(record: &ArtifactRecord) -> wit::Placement {
    wit::Placement {
        store: record.store.clone(),
        key: record.key.clone(),
        attributes: Vec::new(),
        options: Vec::new(),
        credentials: None,
    }
}

impl From<&Artifact> for WitArtifact {
    fn from(artifact: &Artifact) -> Self {
        let platform = artifact.id.platform.as_ref();
        Self {
            namespace: artifact.id.namespace.to_string(),
            kind: artifact.id.kind.into(),
            name: artifact.id.name.to_string(),
            version: artifact.id.version.to_string(),
            os: platform.map(|p| p.os().to_owned()),
            arch: platform.map(|p| p.arch().to_owned()),
            file_name: artifact.file_name.to_string(),
            media_type: artifact.media_type.clone(),
            size: artifact.size,
            sha256: artifact.sha256.to_string(),
            attributes: vec![Attribute {
                name: CONFIG_NAME.to_owned(),
                value: artifact.config_name.to_string(),
            }],
        }
    }
}

impl From<wit::Placement> for Placement {
    fn from(placement: wit::Placement) -> Self {
        Self {
            store: placement.store,
            key: placement.key,
            attributes: placement
                .attributes
                .into_iter()
                .map(|a| (a.name, a.value))
                .collect(),
            options: placement
                .options
                .into_iter()
                .map(|option| {
                    let value = match option.value {
                        wit::OptionValue::Plain(value) => OptionValue::Plain(value),
                        wit::OptionValue::Secret(name) => OptionValue::Secret(name),
                    };
                    (option.name, value)
                })
                .collect(),
            credentials: placement.credentials,
        }
    }
}

fn signed_request(plugin: &PluginId, request: wit::SignedRequest) -> SignedRequest {
    SignedRequest {
        plugin: plugin.clone(),
        method: request.method,
        url: request.url,
        headers: request
            .headers
            .into_iter()
            .map(crate::call::header)
            .collect(),
        expires_at: request.expires_at,
        success: request.success,
        exists: request.exists,
        missing: request.missing,
    }
}

impl From<Operation> for wit::Operation {
    fn from(operation: Operation) -> Self {
        match operation {
            Operation::Prepare => Self::Prepare,
            Operation::Put => Self::Put,
            Operation::Get => Self::Get,
            Operation::Head => Self::Head,
            Operation::Delete => Self::Delete,
            Operation::Presign(seconds) => Self::Presign(seconds),
        }
    }
}

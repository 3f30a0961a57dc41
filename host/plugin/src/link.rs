//! What each world may import, and nothing else.

use crate::call::CallState;
use crate::error::LoadError;
use crate::v0_1::auth::AuthPlugin;
use crate::v0_1::scan::ScanPlugin;
use crate::v0_1::storage::StoragePlugin;
use wasmtime::component::{Component, HasSelf, InstancePre, Linker};

/// One linker a world: what is not in it cannot be imported.
pub(crate) struct Linkers {
    pub(crate) storage: Linker<CallState>,
    pub(crate) auth: Linker<CallState>,
    pub(crate) scan: Linker<CallState>,
}

impl Linkers {
    pub(crate) fn new(engine: &wasmtime::Engine) -> wasmtime::Result<Self> {
        let mut linkers = Self {
            storage: Linker::new(engine),
            auth: Linker::new(engine),
            scan: Linker::new(engine),
        };
        let Self {
            storage,
            auth,
            scan,
        } = &mut linkers;
        StoragePlugin::add_to_linker::<_, HasSelf<CallState>>(storage, |state| state)?;
        AuthPlugin::add_to_linker::<_, HasSelf<CallState>>(auth, |state| state)?;
        ScanPlugin::add_to_linker::<_, HasSelf<CallState>>(scan, |state| state)?;
        Ok(linkers)
    }
}

/// Checks a component against its world's linker.
pub(crate) fn pre(
    linker: &Linker<CallState>,
    component: &Component,
) -> Result<InstancePre<CallState>, LoadError> {
    linker.instantiate_pre(component).map_err(mismatch)
}

#[expect(clippy::needless_pass_by_value, reason = "it is a `map_err` argument")]
pub(crate) fn mismatch(error: wasmtime::Error) -> LoadError {
    LoadError::Compile(crate::text::shown(&format!(
        "it does not fit its world: {error:#}"
    )))
}

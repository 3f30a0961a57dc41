//! The ConfigMap with a module version's README, in the original's shape (OD-2.7): base64 text
//! under one data key.

use crate::context::Context;
use crate::error::Error;
use crate::module::label_value;
use crate::version::intent::Intent;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{ObjectMeta, Patch, PatchParams, PostParams};
use kube::{Api, ResourceExt as _};
use opendepot_crds::{
    LABEL_MODULE, LABEL_NAMESPACE, LABEL_VERSION, MANAGER_VERSION, README_KEY, ReadmeConfigMapRef,
    Version, readme_config_map_name,
};
use serde_json::json;
use std::collections::BTreeMap;

/// Creates or updates the ConfigMap; nothing when its name is somebody else's.
pub(crate) async fn write(
    context: &Context,
    version: &Version,
    intent: &Intent,
    text: &str,
) -> Result<Option<ReadmeConfigMapRef>, Error> {
    let id = &intent.id;
    let api: Api<ConfigMap> = context.api(id.namespace.as_str());
    let name = readme_config_map_name(&version.name_any());
    let data = BTreeMap::from([(README_KEY.to_owned(), STANDARD.encode(text))]);
    let owner = crate::owned::reference(version)?;
    let existing = api
        .get_opt(&name)
        .await
        .map_err(Error::api("read the readme"))?;
    match existing {
        None => {
            let labels = [
                (LABEL_VERSION, version.name_any()),
                (LABEL_NAMESPACE, id.namespace.to_string()),
                (LABEL_MODULE, label_value(&intent.config_name, &id.name)),
            ];
            // Label values end at 63 characters; names of Versions may be longer.
            let labels = labels.into_iter().filter(|(_, value)| value.len() <= 63);
            let map = ConfigMap {
                metadata: ObjectMeta {
                    name: Some(name.clone()),
                    labels: Some(labels.map(|(key, value)| (key.to_owned(), value)).collect()),
                    owner_references: Some(vec![owner]),
                    ..ObjectMeta::default()
                },
                data: Some(data),
                ..ConfigMap::default()
            };
            let params = PostParams {
                field_manager: Some(MANAGER_VERSION.to_owned()),
                ..PostParams::default()
            };
            opendepot_transfer::fault::point("api.create-readme");
            api.create(&params, &map)
                .await
                .map_err(Error::api("create the readme"))?;
            opendepot_transfer::fault::point("api.create-readme.done");
        }
        Some(existing)
            if existing
                .owner_references()
                .iter()
                .all(|other| other.uid != owner.uid) =>
        {
            tracing::warn!(k8s.name = %name, "config map `{name}` belongs to something else; the readme is not kept");
            return Ok(None);
        }
        Some(existing) if existing.data.as_ref() == Some(&data) => {}
        Some(existing) => {
            let patch = json!({ "metadata": { "resourceVersion": existing.resource_version() }, "data": data });
            let params = PatchParams {
                field_manager: Some(MANAGER_VERSION.to_owned()),
                ..PatchParams::default()
            };
            opendepot_transfer::fault::point("api.patch-readme");
            api.patch(&name, &params, &Patch::Merge(&patch))
                .await
                .map_err(Error::api("update the readme"))?;
            opendepot_transfer::fault::point("api.patch-readme.done");
        }
    }
    Ok(Some(ReadmeConfigMapRef {
        name,
        key: README_KEY.to_owned(),
    }))
}

//! A source that has other content than what is stored: what that means, what is said, and what
//! approves it.

use super::Turn;
use super::conditions::Report;
use super::intent::{self, Intent};
use crate::error::Error;
use kube::runtime::controller::Action;
use kube::{Api, Resource, ResourceExt as _};
use opendepot_actors::reconciler::Fetched;
use opendepot_crds::{
    ANNOTATION_ACCEPT_DIGEST, ConditionType, Module, Provider, Reason, Version, conditions,
};
use opendepot_domain::{ArtifactKind, ArtifactRecord, Sha256};
use serde::de::DeserializeOwned;
use std::collections::BTreeMap;
use std::fmt::Debug;

/// What a fetched source means for what is stored.
pub(super) enum Comparison {
    /// Nothing is stored yet, or the stored bytes went missing and these are the same.
    Store,
    /// The same content is stored.
    Same,
    /// Another content, which an administrator approved.
    Replace,
    /// Another content: old bytes stay.
    Drift,
    /// Another content of an immutable version: old bytes stay.
    Immutable,
    /// Another repository of the same name.
    OtherSource,
}

/// The digests that `accept-digest` names: one or more, with commas or spaces between them.
fn digests(annotations: &BTreeMap<String, String>) -> Vec<Sha256> {
    let Some(text) = annotations.get(ANNOTATION_ACCEPT_DIGEST) else {
        return Vec::new();
    };
    let parts = text.split(|c: char| c == ',' || c.is_whitespace());
    parts
        .filter_map(|part| Sha256::from_hex(part.strip_prefix("sha256:")?).ok())
        .collect()
}

/// Whether the object approves some digest: its drifted Versions look at it again.
pub(crate) fn approves_any<K: Resource>(object: &K) -> bool {
    object
        .meta()
        .annotations
        .as_ref()
        .is_some_and(|annotations| annotations.contains_key(ANNOTATION_ACCEPT_DIGEST))
}

/// What the object of that name and uid approves.
async fn approved_by<K>(api: Api<K>, name: &str, uid: &str) -> Result<Vec<Sha256>, Error>
where
    K: Resource<DynamicType = ()> + Clone + DeserializeOwned + Debug,
{
    let owner = api
        .get_opt(name)
        .await
        .map_err(Error::api("read the owner"))?;
    Ok(owner
        .filter(|owner| owner.meta().uid.as_deref() == Some(uid))
        .map(|owner| digests(owner.annotations()))
        .unwrap_or_default())
}

impl Turn<'_> {
    /// The contents that are approved: on the Version, or on the Module or Provider that owns it,
    /// where a folder of manifests can say it.
    async fn approvals(&self) -> Result<Vec<Sha256>, Error> {
        let mut approved = digests(self.version.annotations());
        let namespace = self.version.namespace().unwrap_or_default();
        match intent::owner(self.version) {
            Some((ArtifactKind::Module, name, uid)) => {
                let api: Api<Module> = self.context.api(&namespace);
                approved.extend(approved_by(api, &name, &uid).await?);
            }
            Some((ArtifactKind::Provider, name, uid)) => {
                let api: Api<Provider> = self.context.api(&namespace);
                approved.extend(approved_by(api, &name, &uid).await?);
            }
            None => {}
        }
        Ok(approved)
    }

    /// Whether the content that drifted is approved by now: only then is the source read again.
    pub(super) async fn has_unused_approval(
        &self,
        intent: &Intent,
        record: &ArtifactRecord,
    ) -> Result<bool, Error> {
        let status = self.status();
        let Some(drift) = conditions::find(&status.conditions, ConditionType::ContentDrift) else {
            return Ok(false);
        };
        // What an immutable version refused was not offered; it may have become mutable.
        let is_refusal = drift.reason == Reason::Immutable.as_str();
        if is_refusal && intent.is_immutable {
            return Ok(false);
        }
        let is_meant = |digest: &Sha256| is_refusal || drift.message.contains(&digest.to_string());
        let approved = self.approvals().await?;
        Ok(approved
            .iter()
            .any(|digest| *digest != record.sha256 && is_meant(digest)))
    }

    pub(super) async fn compare(
        &self,
        intent: &Intent,
        stored: Option<&ArtifactRecord>,
        fetched: &Fetched,
        is_missing: bool,
    ) -> Result<Comparison, Error> {
        let Some(stored) = stored else {
            return Ok(Comparison::Store);
        };
        let source = self.status().source.unwrap_or_default();
        if source.repository_id.is_some()
            && fetched.source.repository_id.is_some()
            && source.repository_id != fetched.source.repository_id
        {
            return Ok(Comparison::OtherSource);
        }
        // The same tree in other wrapping is the same content (Z22): stored bytes stay.
        let has_same_tree = fetched.tree_digest.is_some()
            && fetched.tree_digest.map(|digest| digest.to_string()) == source.tree_digest;
        if stored.sha256 == fetched.sha256 {
            return Ok(if is_missing {
                Comparison::Store
            } else {
                Comparison::Same
            });
        }
        if has_same_tree && !is_missing {
            return Ok(Comparison::Same);
        }
        if intent.is_immutable {
            return Ok(Comparison::Immutable);
        }
        Ok(if self.approvals().await?.contains(&fetched.sha256) {
            Comparison::Replace
        } else {
            Comparison::Drift
        })
    }

    /// The source has other content: say so once, keep what is stored.
    pub(super) async fn drifted(
        &self,
        intent: &Intent,
        report: &Report<'_>,
        fetched: &Fetched,
        token: &str,
    ) -> Result<Action, Error> {
        let message = offer(intent, self.version, &fetched.sha256);
        self.differs(report, Reason::ContentChanged, message, None, token)
            .await
    }

    pub(super) async fn differs(
        &self,
        report: &Report<'_>,
        reason: Reason,
        message: String,
        sync_status: Option<String>,
        token: &str,
    ) -> Result<Action, Error> {
        let mut after = self.status();
        after.last_handled_sync = Some(token.to_owned());
        if let Some(text) = sync_status {
            after.sync_status = text;
        }
        report.set(
            &mut after,
            ConditionType::ContentDrift,
            true,
            reason,
            &message,
        );
        conditions::remove(&mut after.conditions, ConditionType::Reconciling);
        if self.write(&after).await?.is_some() {
            tracing::warn!(
                target: "opendepot::audit",
                action = "drift",
                k8s.namespace = %self.version.namespace().unwrap_or_default(),
                k8s.name = %self.version.name_any(),
                reason = reason.as_str(),
                "{message}"
            );
            self.warn("Compare", reason, &message).await;
        }
        Ok(Action::await_change())
    }
}

/// Says exactly what to write to accept this content.
fn offer(intent: &Intent, version: &Version, digest: &Sha256) -> String {
    let place = match intent::owner(version) {
        Some((ArtifactKind::Module, name, _)) => format!("the Module `{name}` or this Version"),
        Some((ArtifactKind::Provider, name, _)) => {
            format!("the Provider `{name}` or this Version")
        }
        None => "this Version".to_owned(),
    };
    format!(
        "the source now has other content for this version; the stored bytes stay. To accept it, annotate {place} \
         with {ANNOTATION_ACCEPT_DIGEST}: sha256:{digest} \
         or run opendepot annotate version/{} -n {} {ANNOTATION_ACCEPT_DIGEST}=sha256:{digest}",
        version.name_any(),
        intent.id.namespace,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_approval_names_one_digest_or_several() {
        let (one, two) = (Sha256::of(b"one"), Sha256::of(b"two"));
        let read = |text: &str| {
            digests(&BTreeMap::from([(
                ANNOTATION_ACCEPT_DIGEST.to_owned(),
                text.to_owned(),
            )]))
        };
        assert_eq!(read(&format!("sha256:{one}")), [one]);
        for between in [",", ", ", " ", "\n"] {
            assert_eq!(
                read(&format!("sha256:{one}{between}sha256:{two}")),
                [one, two]
            );
        }
        for text in ["", "*", &one.to_string(), "sha256:", "sha256:abc"] {
            assert!(read(text).is_empty(), "{text}");
        }
    }
}

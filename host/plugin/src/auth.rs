//! The auth world: the chain of policies behind [`AccessPolicy`].

use crate::call::{CallState, Caller, Function, Identity};
use crate::error::{Fault, LoadError};
use crate::host::PluginHost;
use crate::loaded::Link;
use crate::text;
use crate::v0_1::auth::AuthPluginPre;
use crate::v0_1::auth::opendepot::auth::types as wit;
use crate::v0_1::host::types::{ArtifactKind as WitKind, Attribute, Problem};
use opendepot_domain::access::{Decider, Denial, Labels};
use opendepot_domain::seam::{AccessPolicy, Binding, BindingPolicies, BindingProblem, BoxFuture};
use opendepot_domain::{Action, ArtifactKind, Authentication, Decision, PluginId, Subject, Target};
use std::sync::Arc;

impl wit::Host for CallState {}

/// A loaded auth plugin with its compiled policies.
pub(crate) struct AuthGuest {
    pub(crate) identity: Arc<Identity>,
    pub(crate) settings: Arc<str>,
    pub(crate) pre: AuthPluginPre<CallState>,
    /// What `prepare` made of settings and bindings, opaque; or why it made nothing.
    pub(crate) state: Result<Arc<[u8]>, String>,
}

impl Caller {
    /// Validates settings and prepares with the bindings that are in force.
    pub(crate) async fn load_auth(
        &self,
        identity: Arc<Identity>,
        settings: Arc<str>,
        pre: AuthPluginPre<CallState>,
        bindings: &[Binding],
    ) -> Result<AuthGuest, LoadError> {
        let (own, text) = (pre.clone(), Arc::clone(&settings));
        let validated = self
            .call(&identity, Function::Validate, move |mut store| {
                Box::pin(async move {
                    let guest = own.instantiate_async(&mut store).await?;
                    let policy = guest.opendepot_auth_policy();
                    policy.call_validate(&mut store, &text).await
                })
            })
            .await
            .map_err(|fault| LoadError::Call {
                function: Function::Validate.label(),
                fault,
            })?;
        validated.map_err(|error| LoadError::Guest {
            function: Function::Validate.label(),
            message: error_text(&error),
        })?;
        let mut guest = AuthGuest {
            identity,
            settings,
            pre,
            state: Ok(Arc::from([])),
        };
        let bindings = bindings.iter().map(Into::into).collect();
        let prepared = self.prepare(&guest, bindings).await?;
        guest.state = Ok(prepared.state.into());
        Ok(guest)
    }

    async fn prepare(
        &self,
        guest: &AuthGuest,
        bindings: Vec<wit::Binding>,
    ) -> Result<wit::Prepared, LoadError> {
        let (own, settings) = (guest.pre.clone(), Arc::clone(&guest.settings));
        self.call(&guest.identity, Function::Prepare, move |mut store| {
            Box::pin(async move {
                let guest = own.instantiate_async(&mut store).await?;
                let policy = guest.opendepot_auth_policy();
                policy.call_prepare(&mut store, &settings, &bindings).await
            })
        })
        .await
        .map_err(|fault| LoadError::Call {
            function: Function::Prepare.label(),
            fault,
        })?
        .map_err(|error| LoadError::Guest {
            function: Function::Prepare.label(),
            message: error_text(&error),
        })
    }

    /// The link with its state prepared anew.
    pub(crate) async fn rebind(
        &self,
        link: &Link<AuthGuest>,
        bindings: &[Binding],
        problems: &mut Vec<BindingProblem>,
    ) -> Link<AuthGuest> {
        let Ok(guest) = &link.guest else {
            return link.clone();
        };
        let problem = |binding: &str, message: &str| BindingProblem {
            plugin: link.id.clone(),
            binding: text::cut(binding, 128),
            message: text::shown(message),
        };
        let bindings = bindings.iter().map(Into::into).collect();
        let state = match self.prepare(guest, bindings).await {
            Ok(prepared) => {
                problems.extend(
                    prepared
                        .problems
                        .iter()
                        .map(|p| problem(&p.binding, &p.message)),
                );
                Ok(prepared.state.into())
            }
            Err(error) => {
                problems.push(problem("", &error.to_string()));
                Err(error.to_string())
            }
        };
        Link {
            id: link.id.clone(),
            order: link.order,
            guest: Ok(Arc::new(AuthGuest {
                identity: Arc::clone(&guest.identity),
                settings: Arc::clone(&guest.settings),
                pre: guest.pre.clone(),
                state,
            })),
        }
    }

    /// One plugin's decisions, exactly one a target.
    async fn ask(
        &self,
        guest: &Arc<AuthGuest>,
        subject: wit::Subject,
        action: Action,
        targets: &Arc<Vec<wit::Target>>,
        now: u64,
    ) -> Result<Vec<wit::Decision>, Fault> {
        let (own, targets) = (Arc::clone(guest), Arc::clone(targets));
        let state = guest.state.clone().map_err(Fault::Malformed)?;
        let answer = self
            .call(&guest.identity, Function::Authorize, move |mut store| {
                Box::pin(async move {
                    let instance = own.pre.instantiate_async(&mut store).await?;
                    let policy = instance.opendepot_auth_policy();
                    let (settings, action) = (&own.settings, action.into());
                    let answer = policy
                        .call_authorize(
                            &mut store, settings, &state, &subject, &action, &targets, now,
                        )
                        .await?;
                    // Within the call, so that it counts as the guest's fault.
                    match &answer {
                        Ok(decisions) if decisions.len() != targets.len() => {
                            let (num, wanted) = (decisions.len(), targets.len());
                            let text = format!("{num} decisions for {wanted} targets");
                            Err(wasmtime::Error::msg(text))
                        }
                        _ => Ok(answer),
                    }
                })
            })
            .await?;
        let decisions = answer.map_err(|error| Fault::Malformed(error_text(&error)))?;
        Ok(decisions)
    }
}

impl BindingPolicies for PluginHost {
    fn names(&self) -> Vec<PluginId> {
        let loaded = self.inner.loaded.load();
        loaded.auth.iter().map(|link| link.id.clone()).collect()
    }

    fn set_bindings<'a>(&'a self, bindings: &'a [Binding]) -> BoxFuture<'a, Vec<BindingProblem>> {
        Box::pin(self.rebind(bindings))
    }
}

impl AccessPolicy for PluginHost {
    fn generation(&self) -> u64 {
        self.inner.loaded.load().generation
    }

    fn is_empty(&self) -> bool {
        self.inner.loaded.load().auth.is_empty()
    }

    fn authorize<'a>(
        &'a self,
        subject: &'a Subject,
        action: Action,
        targets: &'a [Target],
        now: u64,
    ) -> BoxFuture<'a, Vec<Decision>> {
        Box::pin(async move {
            let loaded = self.inner.loaded.load_full();
            let chunk = self.inner.caller.limits.num_targets.max(1);
            let mut combined = Vec::with_capacity(targets.len());
            for targets in targets.chunks(chunk) {
                let answers = self
                    .chain(&loaded.auth, subject, action, targets, now)
                    .await;
                combined.extend(answers);
            }
            combined
        })
    }
}

impl PluginHost {
    async fn chain(
        &self,
        chain: &[Link<AuthGuest>],
        subject: &Subject,
        action: Action,
        targets: &[Target],
        now: u64,
    ) -> Vec<Decision> {
        let mut combined = vec![Decision::Abstain; targets.len()];
        let wit_targets: Arc<Vec<wit::Target>> = Arc::new(targets.iter().map(Into::into).collect());
        for link in chain {
            let outcome = self.answers(link, subject, action, &wit_targets, now).await;
            match outcome {
                Ok(decisions) => {
                    if let ([target], [decision]) = (targets, decisions.as_slice())
                        && tracing::enabled!(target: "opendepot::audit", tracing::Level::DEBUG)
                    {
                        log_answer(link, subject, action, target, decision);
                    }
                    for (so_far, decision) in combined.iter_mut().zip(decisions) {
                        apply(so_far, decision, link);
                    }
                }
                // Anything but a well-formed answer denies, everything.
                Err(reason) => {
                    let denial = Denial {
                        by: Some(decider(link)),
                        reason: format!("policy `{}` is not available: {reason}", link.id),
                    };
                    for so_far in &mut combined {
                        if !matches!(so_far, Decision::Deny(_)) {
                            *so_far = Decision::Deny(denial.clone());
                        }
                    }
                }
            }
        }
        combined
    }
}

/// One policy's own answer to one question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explained {
    /// The policy.
    pub plugin: PluginId,
    /// Its component's digest; absent when it is not loaded.
    pub digest: Option<String>,
    /// What it says; a policy that fails denies.
    pub decision: Decision,
}

impl PluginHost {
    /// What each policy of the chain says by itself, in the chain's order.
    pub async fn explain(
        &self,
        subject: &Subject,
        action: Action,
        target: &Target,
        now: u64,
    ) -> Vec<Explained> {
        let loaded = self.inner.loaded.load_full();
        let mut explained = Vec::with_capacity(loaded.auth.len());
        for link in &loaded.auth {
            let one = std::slice::from_ref(link);
            let targets = std::slice::from_ref(target);
            let mut decisions = self.chain(one, subject, action, targets, now).await;
            explained.push(Explained {
                plugin: link.id.clone(),
                digest: link
                    .guest
                    .as_ref()
                    .ok()
                    .map(|guest| guest.identity.digest.clone()),
                decision: decisions.pop().unwrap_or(Decision::Abstain),
            });
        }
        explained
    }

    /// What one policy answers, or why it does not.
    async fn answers(
        &self,
        link: &Link<AuthGuest>,
        subject: &Subject,
        action: Action,
        targets: &Arc<Vec<wit::Target>>,
        now: u64,
    ) -> Result<Vec<wit::Decision>, String> {
        let guest = link.guest.as_ref().map_err(Clone::clone)?;
        let claims = guest.identity.grants.filter_claims(&subject.claims);
        let subject = wit_subject(subject, claims);
        let caller = &self.inner.caller;
        let asked = caller.ask(guest, subject, action, targets, now).await;
        asked.map_err(|fault| {
            // Said once, when the breaker opened.
            if !matches!(fault, Fault::Open(_)) {
                tracing::warn!(
                    plugin.name = link.id.as_str(),
                    plugin.digest = guest.identity.digest.as_str(),
                    "auth plugin `{}` denies because it failed: {fault}",
                    link.id
                );
            }
            fault.to_string()
        })
    }
}

/// Any deny denies; else any allow allows.
fn apply(so_far: &mut Decision, decision: wit::Decision, link: &Link<AuthGuest>) {
    match (&*so_far, decision) {
        (Decision::Deny(_), _) | (_, wit::Decision::Abstain) => {}
        (_, wit::Decision::Allow) => *so_far = Decision::Allow,
        (_, wit::Decision::Deny(reason)) => {
            *so_far = Decision::Deny(Denial {
                by: Some(decider(link)),
                reason: format!("policy `{}`: {}", link.id, text::shown(&reason)),
            });
        }
    }
}

fn decider(link: &Link<AuthGuest>) -> Decider {
    let guest = link.guest.as_ref().ok();
    Decider {
        plugin: link.id.clone(),
        digest: guest.map(|guest| guest.identity.digest.as_str().into()),
    }
}

/// One policy's answer about one target, for who follows decisions: at level debug, because only
/// denials are always kept.
fn log_answer(
    link: &Link<AuthGuest>,
    subject: &Subject,
    action: Action,
    target: &Target,
    answer: &wit::Decision,
) {
    let (answer, reason) = match answer {
        wit::Decision::Allow => ("allow", ""),
        wit::Decision::Abstain => ("abstain", ""),
        wit::Decision::Deny(reason) => ("deny", reason.as_str()),
    };
    let digest = link
        .guest
        .as_ref()
        .map(|guest| guest.identity.digest.as_str());
    tracing::debug!(
        target: "opendepot::audit",
        action = action.as_str(),
        subject.name = %subject.name,
        subject.authentication = subject.authentication.as_str(),
        subject.client_address = %subject.client_address,
        resource.namespace = %target.namespace,
        resource.kind = target.kind.as_str(),
        resource.name = %target.name,
        plugin.name = link.id.as_str(),
        plugin.digest = digest.unwrap_or_default(),
        reason = text::shown(reason),
        "policy `{}` answers {answer} to {} of {} `{}/{}`",
        link.id, action.as_str(), target.kind, target.namespace, target.name
    );
}

/// The problems that a guest reports, on one line.
pub(crate) fn problems_text(problems: &[Problem]) -> String {
    const MAX_PROBLEMS: usize = 20;
    let mut lines: Vec<String> = problems
        .iter()
        .take(MAX_PROBLEMS)
        .map(|p| format!("{}: {}", text::cut(&p.path, 120), text::shown(&p.message)))
        .collect();
    if problems.len() > MAX_PROBLEMS {
        lines.push(format!("and {} more", problems.len() - MAX_PROBLEMS));
    }
    format!("invalid settings: {}", lines.join("; "))
}

fn error_text(error: &wit::Error) -> String {
    match error {
        wit::Error::InvalidSettings(problems) => problems_text(problems),
        wit::Error::Other(message) => text::shown(message),
    }
}

fn wit_subject(subject: &Subject, claims: String) -> wit::Subject {
    wit::Subject {
        authentication: match subject.authentication {
            Authentication::Anonymous => wit::Authentication::Anonymous,
            Authentication::TokenFile => wit::Authentication::TokenFile,
            Authentication::TokenReview => wit::Authentication::TokenReview,
            Authentication::Oidc => wit::Authentication::Oidc,
            Authentication::Machine => wit::Authentication::Machine,
            Authentication::Web => wit::Authentication::Web,
        },
        issuer: subject.issuer.clone(),
        name: subject.name.clone(),
        groups: subject.groups.clone(),
        claims,
        client_address: subject.client_address.clone(),
        attributes: Vec::new(),
    }
}

impl From<Action> for wit::Action {
    fn from(action: Action) -> Self {
        match action {
            Action::ListVersions => Self::ListVersions,
            Action::ReadPackage => Self::ReadPackage,
            Action::Download => Self::Download,
            Action::Browse => Self::Browse,
            Action::Publish => Self::Publish,
            Action::Administer => Self::Administer,
        }
    }
}

impl From<&Target> for wit::Target {
    fn from(target: &Target) -> Self {
        let platform = target.platform.as_ref();
        Self {
            namespace: target.namespace.to_string(),
            kind: target.kind.into(),
            name: target.name.to_string(),
            version: target.version.as_ref().map(ToString::to_string),
            os: platform.map(|p| p.os().to_owned()),
            arch: platform.map(|p| p.arch().to_owned()),
            attributes: label_attributes(&target.labels),
        }
    }
}

/// Labels as a target's attributes: one a label, and one that says that these are all.
fn label_attributes(labels: &Labels) -> Vec<Attribute> {
    let mut attributes = Vec::new();
    for (all, prefix, labels) in [
        ("namespace-labels", "namespace-label/", &labels.namespace),
        ("labels", "label/", &labels.resource),
    ] {
        let Some(labels) = labels else { continue };
        attributes.push(Attribute {
            name: all.to_owned(),
            value: "known".to_owned(),
        });
        attributes.extend(labels.iter().map(|(key, value)| Attribute {
            name: format!("{prefix}{key}"),
            value: value.clone(),
        }));
    }
    attributes
}

impl From<&Binding> for wit::Binding {
    fn from(binding: &Binding) -> Self {
        Self {
            name: binding.name.clone(),
            expression: binding.expression.clone(),
            modules: binding.modules.clone(),
            providers: binding.providers.clone(),
            namespaces: binding.namespaces.clone(),
            attributes: Vec::new(),
        }
    }
}

impl From<ArtifactKind> for WitKind {
    fn from(kind: ArtifactKind) -> Self {
        match kind {
            ArtifactKind::Module => Self::Module,
            ArtifactKind::Provider => Self::Provider,
        }
    }
}

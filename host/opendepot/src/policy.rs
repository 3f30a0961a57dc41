//! `policy explain`: what each auth plugin answers to one question, without doing anything.

use crate::cli::ExplainArgs;
use crate::config::{AuthMode, Config};
use crate::data::DataDir;
use crate::egress::Egress;
use crate::oci::Puller;
use crate::resources;
use anyhow::{Context as _, bail};
use kube::api::ListParams;
use kube::{Api, Client, ResourceExt as _};
use opendepot_controller::bindings;
use opendepot_crds::{GroupBinding, Module, Provider};
use opendepot_domain::access::{Base, LabelMap, Labels, combine};
use opendepot_domain::seam::{Binding, BindingPolicies as _};
use opendepot_domain::{
    Action, ArtifactKind, Authentication, Decision, Namespace, Platform, ResourceName, Subject,
    Target, Version,
};
use opendepot_identity::TokenFile;
use opendepot_plugin::{HostConfig, PluginHost};
use std::fmt::Write as _;
use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

/// Prints every plugin's answer and what they come to; exit 0 when it is allowed, 1 when not.
pub(crate) fn explain(config: &Config, args: &ExplainArgs) -> anyhow::Result<ExitCode> {
    let subject = subject(config, args)?;
    let now = match args.at {
        Some(at) => u64::try_from(at.as_second()).context("--at is before 1970")?,
        None => SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs(),
    };
    let base = match config.auth {
        AuthMode::Anonymous { .. } => Base::Allow,
        AuthMode::TokenFile(_) => Base::Deny,
    };
    tokio::runtime::Runtime::new()?.block_on(async {
        let host = HostConfig {
            // Asking must not make a data directory.
            compile: crate::plugin::compile(),
            ..crate::plugins::host_config(config)?
        };
        let services = Puller::of_a_look(config)?.with(Egress::new(config)?.services());
        let plugins = PluginHost::load_with(host, services).await?;
        let (bindings, labels) = known(config, &args.target).await?;
        let target = Target {
            labels,
            ..args.target.clone()
        };
        let problems = plugins.set_bindings(&bindings).await;
        let mut text = question(&subject, args);
        writeln!(
            text,
            "bindings  {} of `{}`",
            bindings.len(),
            bindings::NAMESPACE
        )?;
        for problem in &problems {
            let (binding, plugin) = (&problem.binding, &problem.plugin);
            writeln!(text, "problem   {binding}: {plugin}: {}", problem.message)?;
        }
        text.push('\n');
        let answers = plugins.explain(&subject, args.action, &target, now).await;
        for answer in &answers {
            let digest = answer.digest.as_deref().unwrap_or("not loaded");
            let said = match &answer.decision {
                Decision::Allow => "allow".to_owned(),
                Decision::Abstain => "abstain".to_owned(),
                Decision::Deny(reason) => format!("deny: {reason}"),
            };
            writeln!(text, "{}  {digest}  {said}", answer.plugin)?;
        }
        if answers.is_empty() {
            writeln!(text, "no auth plugin is listed: the mode alone decides")?;
        }
        let decision = combine(answers.into_iter().map(|answer| answer.decision), base);
        let code = match decision {
            Decision::Allow => {
                writeln!(text, "\nallowed")?;
                ExitCode::SUCCESS
            }
            Decision::Deny(reason) => {
                writeln!(text, "\ndenied: {reason}")?;
                ExitCode::FAILURE
            }
            Decision::Abstain => bail!("the chain came to no decision"),
        };
        crate::say(&text)?;
        Ok(code)
    })
}

fn question(subject: &Subject, args: &ExplainArgs) -> String {
    let who = match subject.name.as_str() {
        "" => "nobody".to_owned(),
        name => format!("`{name}`"),
    };
    let groups = match subject.groups.as_slice() {
        [] => "no groups".to_owned(),
        groups => format!("groups {}", groups.join(", ")),
    };
    let Target {
        namespace,
        kind,
        name,
        version,
        platform,
        labels: _,
    } = &args.target;
    let mut what = format!("{kind} `{namespace}/{name}`");
    if let Some(version) = version {
        let _ = write!(what, " {version}");
    }
    if let Some(platform) = platform {
        let _ = write!(what, " for {platform}");
    }
    format!(
        "subject   {who} by {}, {groups}, from {}\naction    {}\ntarget    {what}\n",
        subject.authentication.as_str(),
        subject.client_address,
        args.action.as_str()
    )
}

/// Who asks: groups that are not given are those of the token with this name.
fn subject(config: &Config, args: &ExplainArgs) -> anyhow::Result<Subject> {
    let address = args.client_address.to_string();
    let (path, name) = match (&config.auth, &args.subject) {
        (AuthMode::Anonymous { .. }, None) if args.groups.is_empty() => {
            return Ok(Subject::anonymous(address));
        }
        (AuthMode::TokenFile(_), None) if args.groups.is_empty() => bail!(
            "this configuration refuses callers without a credential before any policy is asked (401): say who asks \
             with --subject, or with --group"
        ),
        (AuthMode::Anonymous { .. }, _) => bail!(
            "this configuration lets everybody in without a credential, so a caller has neither name nor groups: \
             leave --subject and --group out, or set `auth.tokensFile`"
        ),
        (AuthMode::TokenFile(path), name) => (path, name.clone().unwrap_or_default()),
    };
    let groups = if args.groups.is_empty() {
        let tokens = TokenFile::list(path)?;
        let token = tokens.into_iter().find(|token| token.name == name);
        token
            .with_context(|| {
                format!(
                    "`{}` has no token `{name}`; name one that `opendepot token list` shows, or give --group",
                    path.display()
                )
            })?
            .groups
    } else {
        args.groups.clone()
    };
    Ok(Subject {
        authentication: Authentication::TokenFile,
        issuer: String::new(),
        name,
        groups,
        claims: "{}".to_owned(),
        client_address: address,
    })
}

/// The GroupBindings and labels of the running registry, or of its store; none before its first
/// start.
async fn known(config: &Config, target: &Target) -> anyhow::Result<(Vec<Binding>, Labels)> {
    // Without a store there are none, and asking must not make one.
    if !DataDir::at(&config.data_dir).store().exists() {
        return Ok((Vec::new(), Labels::default()));
    }
    let client = resources::client(&config.data_dir).await?;
    let labels = labels_of(&client, target).await?;
    let api: Api<GroupBinding> = Api::namespaced(client, bindings::NAMESPACE);
    let objects = api
        .list(&ListParams::default())
        .await
        .context("cannot list the GroupBindings")?;
    Ok((bindings::in_force(&objects.items), labels))
}

/// What policies are told of the labels of Namespace and resource, where these exist.
async fn labels_of(client: &Client, target: &Target) -> anyhow::Result<Labels> {
    fn of<K: kube::Resource>(object: Option<K>) -> Option<LabelMap> {
        object.map(|object| object.labels().clone().into())
    }
    let (namespace, name) = (target.namespace.as_str(), target.name.as_str());
    let namespaces: Api<k8s_openapi::api::core::v1::Namespace> = Api::all(client.clone());
    let resource = match target.kind {
        ArtifactKind::Module => {
            let api: Api<Module> = Api::namespaced(client.clone(), namespace);
            of(api.get_opt(name).await?)
        }
        ArtifactKind::Provider => {
            let api: Api<Provider> = Api::namespaced(client.clone(), namespace);
            of(api.get_opt(name).await?)
        }
    };
    Ok(Labels {
        namespace: of(namespaces.get_opt(namespace).await?),
        resource,
    })
}

/// `--action`.
pub(crate) fn parse_action(text: &str) -> Result<Action, String> {
    let known = Action::ALL.into_iter().find(|a| a.as_str() == text);
    known.ok_or_else(|| {
        let names = Action::ALL.map(Action::as_str);
        format!("it is one of {}", names.join(", "))
    })
}

/// `--target`: KIND/NAMESPACE/NAME[@VERSION[/OS_ARCH]].
pub(crate) fn parse_target(text: &str) -> Result<Target, String> {
    let form = "it is KIND/NAMESPACE/NAME, then maybe @VERSION, and /OS_ARCH of a provider, as in \
                `module/demo/hello@1.0.0`";
    let (path, at) = match text.split_once('@') {
        Some((path, at)) => (path, Some(at)),
        None => (text, None),
    };
    let mut parts = path.split('/');
    let (Some(kind), Some(namespace), Some(name), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(form.to_owned());
    };
    let kind = match kind {
        "module" => ArtifactKind::Module,
        "provider" => ArtifactKind::Provider,
        _ => return Err("its kind is `module` or `provider`".to_owned()),
    };
    let (version, platform) = match at.map(|at| at.split_once('/').unwrap_or((at, ""))) {
        None => (None, None),
        Some((version, "")) => (Some(version), None),
        Some((version, platform)) => (Some(version), Some(platform)),
    };
    let platform = match platform.map(|platform| platform.split_once('_')) {
        None => None,
        Some(Some((os, arch))) if kind == ArtifactKind::Provider => {
            Some(Platform::new(os, arch).map_err(|error| error.to_string())?)
        }
        Some(_) => return Err(form.to_owned()),
    };
    Ok(Target {
        namespace: Namespace::new(namespace).map_err(|error| error.to_string())?,
        kind,
        name: ResourceName::new(name).map_err(|error| error.to_string())?,
        version: version
            .map(Version::parse)
            .transpose()
            .map_err(|error| error.to_string())?,
        platform,
        labels: Labels::default(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_read() {
        let list = parse_target("module/demo/hello").unwrap();
        assert_eq!((list.kind, list.version), (ArtifactKind::Module, None));
        let package = parse_target("provider/demo/aws@v1.2.3-rc.1/linux_amd64").unwrap();
        assert_eq!(package.version.unwrap().to_string(), "1.2.3-rc.1");
        assert_eq!(package.platform.unwrap().to_string(), "linux_amd64");
        for wrong in [
            "",
            "hello",
            "module/hello",
            "module/demo/hello/local",
            "depot/demo/hello",
            "module/demo/hello@",
            "module/demo/hello@x",
            "module/demo/hello@1.0.0/linux_amd64",
            "provider/demo/aws@1.0.0/linux",
            "module/../hello",
            "module/demo/He llo",
        ] {
            assert!(parse_target(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn actions_are_those_of_the_contract() {
        assert_eq!(parse_action("read-package").unwrap(), Action::ReadPackage);
        let error = parse_action("read").unwrap_err();
        assert!(error.contains("list-versions"), "{error}");
    }
}

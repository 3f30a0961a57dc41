use super::*;
use crate::context::ContextOptions;
use crate::feed::Feed;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use opendepot_actors::reconciler::{ReconcilerOptions, SourceOptions, Sources, Workshop};
use opendepot_actors::{Arbiters, ReconcilerHandle, ScannerHandle};
use opendepot_apiserver::{Embedded, Options};
use opendepot_domain::PluginId;
use opendepot_domain::seam::{
    Binding, BindingPolicies, BindingProblem, BoxFuture, SeamError, StorageDecisions,
};
use opendepot_domain::{Artifact, ArtifactRecord, Operation, Placement, Transfer};
use opendepot_identity::ArtifactKeys;
use opendepot_transfer::{EgressConfig, FetchLimits, Fetcher, Stores, StoresConfig};
use serde_json::{Value, json};
use std::sync::Arc;

/// Resolving asks no storage plugin.
struct Nothing;

impl BindingPolicies for Nothing {
    fn names(&self) -> Vec<PluginId> {
        Vec::new()
    }

    fn set_bindings<'a>(&'a self, _: &'a [Binding]) -> BoxFuture<'a, Vec<BindingProblem>> {
        Box::pin(std::future::ready(Vec::new()))
    }
}

impl StorageDecisions for Nothing {
    fn validate<'a>(
        &'a self,
        _: &'a PluginId,
        _: Option<&'a str>,
    ) -> BoxFuture<'a, Result<(), SeamError>> {
        unreachable!("resolving validates nothing")
    }

    fn locate<'a>(
        &'a self,
        _: &'a PluginId,
        _: Option<&'a str>,
        _: &'a Artifact,
    ) -> BoxFuture<'a, Result<Placement, SeamError>> {
        unreachable!("resolving places nothing")
    }

    fn plan<'a>(
        &'a self,
        _: &'a ArtifactRecord,
        _: &'a Artifact,
        _: Operation,
        _: u64,
    ) -> BoxFuture<'a, Result<Transfer, SeamError>> {
        unreachable!("resolving plans nothing")
    }
}

/// Runs `test` with a context whose options `edit` has changed.
fn with_context<T>(edit: impl FnOnce(&mut ContextOptions), test: impl FnOnce(&Context) -> T) -> T {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    let pool = Arc::new(builder.worker_threads(1).enable_all().build().unwrap());
    let result = opendepot_actors::runtime::block_on(&pool, async {
        let folder = tempfile::tempdir().unwrap();
        let arbiters = Arbiters::start(&pool);
        let policy = EgressConfig::default().policy().unwrap();
        let sources = Sources::new(SourceOptions {
            fetcher: Fetcher::new(policy, FetchLimits::default()).unwrap(),
            github_api: "https://github.invalid/".parse().unwrap(),
            github_token: None,
            progress: Arc::new(|_, _, _| {}),
        });
        let workshop = Workshop {
            sources: sources.unwrap(),
            storage: Arc::new(Nothing),
            stores: Stores::open(StoresConfig::new(folder.path().join("artifacts"))).unwrap(),
            temp_dir: folder.path().to_owned(),
            module_limits: opendepot_archive::Limits::module(),
            provider_limits: opendepot_archive::Limits::module(),
        };
        let keys = Arc::new(ArtifactKeys::load_or_generate(&folder.path().join("keys")).unwrap());
        let embedded = Embedded::open(Options::default()).unwrap();
        let jobs = ReconcilerOptions {
            workshop,
            num_fetches: 1,
            num_stores: 1,
        };
        let mut options = ContextOptions {
            client: embedded.client("team"),
            reconciler: ReconcilerHandle::start(arbiters.reconciler(), jobs),
            scanner: ScannerHandle::start(arbiters.scanner()),
            policies: Arc::new(Nothing),
            policies_changed: tokio::sync::watch::channel(0).1,
            artifact_keys: Arc::clone(&keys),
            signer: Err("none".to_owned()),
            default_storage: None,
            manifests: Some("/srv/manifests".into()),
            allowed_paths: vec!["/srv/modules".into(), "/srv/more".into()],
            provider_registry: "https://registry.invalid".to_owned(),
            require_signature: true,
            watch_namespace: None,
            grace: std::time::Duration::ZERO,
        };
        edit(&mut options);
        let context = Context::new(options, Feed::new(keys, None));
        let result = test(&context);
        arbiters.stop();
        result
    });
    // A runtime is not dropped on one of its own threads.
    std::mem::forget(pool);
    result
}

fn id() -> ArtifactId {
    ArtifactId {
        namespace: Namespace::new("team").unwrap(),
        kind: ArtifactKind::Module,
        name: ResourceName::new("network").unwrap(),
        version: "1.2.3".parse().unwrap(),
        platform: None,
    }
}

fn version(spec: Value) -> Version {
    serde_json::from_value(json!({
        "apiVersion": "opendepot.defdev.io/v1alpha1",
        "kind": "Version",
        "metadata": { "name": "network-1-2-3", "namespace": "team" },
        "spec": spec,
    }))
    .unwrap()
}

/// A Version of a module.
fn of_module(config: Value) -> Version {
    version(json!({ "type": "Module", "version": "1.2.3", "moduleConfigRef": config }))
}

#[test]
fn folders_are_beneath_a_root_that_bounds_them() {
    with_context(
        |_| {},
        |context| {
            for (path, root, beneath) in [
                ("src/{version}", "/srv/manifests", "src/1.2.3"),
                ("./src/./{version}/", "/srv/manifests", "src/1.2.3"),
                ("{namespace}/{version}", "/srv/manifests", "team/1.2.3"),
                (
                    "/srv/modules/{namespace}/{version}",
                    "/srv/modules",
                    "team/1.2.3",
                ),
                ("/srv/more/{namespace}-{version}", "/srv/more", "team-1.2.3"),
            ] {
                let (found, rest) = folder(path, &id(), context).unwrap();
                assert_eq!(
                    (found.to_str().unwrap(), rest.as_str()),
                    (root, beneath),
                    "{path}"
                );
            }
            let forbidden = Reason::SourceForbidden;
            for (name, path, reason) in [
                ("no version", "src/main", Reason::InvalidSpec),
                ("empty", "", Reason::InvalidSpec),
                ("climbs", "../{version}", forbidden),
                ("climbs later", "src/../../{version}", forbidden),
                (
                    "climbs from a root",
                    "/srv/modules/../{namespace}/{version}",
                    forbidden,
                ),
                ("not allowed", "/etc/{namespace}/{version}", forbidden),
                (
                    "a root's name as a prefix",
                    "/srv/modules-other/{namespace}/{version}",
                    forbidden,
                ),
                (
                    "another tenant's",
                    "/srv/modules/shared/{version}",
                    forbidden,
                ),
            ] {
                let refusal = folder(path, &id(), context).unwrap_err();
                assert_eq!(refusal.reason, reason, "{name}: {refusal}");
                assert!(
                    refusal.message.contains(&format!("`{path}`")),
                    "{name}: {refusal}"
                );
            }
        },
    );
    // One watched namespace needs no placeholder; without manifests nothing is relative.
    with_context(
        |options| {
            options.watch_namespace = Some("team".to_owned());
            options.manifests = None;
        },
        |context| {
            folder("/srv/modules/shared/{version}", &id(), context).unwrap();
            let refusal = folder("src/{version}", &id(), context).unwrap_err();
            assert_eq!(refusal.reason, Reason::SourceForbidden);
        },
    );
}

#[test]
fn a_spec_that_cannot_work_is_refused_with_its_reason() {
    with_context(
        |_| {},
        |context| {
            let source = json!({ "path": "src/{version}" });
            let module = |name: &str| json!({ "name": name, "source": source });
            for (name, spec, reason) in [
                (
                    "both references",
                    json!({
                        "type": "Module", "version": "1.2.3",
                        "moduleConfigRef": module("a"), "providerConfigRef": { "name": "a" },
                    }),
                    Reason::BothRefsSet,
                ),
                (
                    "no name",
                    json!({ "type": "Module", "version": "1.2.3", "moduleConfigRef": { "source": source } }),
                    Reason::InvalidSpec,
                ),
                (
                    "no version",
                    json!({ "type": "Module", "version": "latest", "moduleConfigRef": module("a") }),
                    Reason::InvalidVersion,
                ),
                (
                    "a name that no address can carry",
                    json!({ "type": "Module", "version": "1.2.3", "moduleConfigRef": module("A_B") }),
                    Reason::InvalidSpec,
                ),
                (
                    "a file name that climbs",
                    json!({
                        "type": "Module", "version": "1.2.3", "fileName": "../x.zip",
                        "moduleConfigRef": module("a"),
                    }),
                    Reason::InvalidSpec,
                ),
                (
                    "a provider without a platform",
                    json!({ "type": "Provider", "version": "1.2.3", "providerConfigRef": module("a") }),
                    Reason::InvalidSpec,
                ),
                (
                    "an app that is not built",
                    json!({
                        "type": "Module", "version": "1.2.3",
                        "moduleConfigRef": {
                            "name": "a", "source": source,
                            "githubClientConfig": { "useAuthenticatedClient": true },
                        },
                    }),
                    Reason::InvalidSpec,
                ),
            ] {
                let refusal = Intent::resolve(&version(spec), None, context).err();
                assert_eq!(
                    refusal.map(|refusal| refusal.reason),
                    Some(reason),
                    "{name}"
                );
            }
            let mut dotted = of_module(module("a"));
            dotted.metadata.name = Some("a-1.2.3".to_owned());
            let refusal = Intent::resolve(&dotted, None, context).unwrap_err();
            assert_eq!(refusal.reason, Reason::InvalidName);
        },
    );
}

#[test]
fn the_token_changes_with_what_a_sync_depends_on_and_nothing_else() {
    with_context(
        |_| {},
        |context| {
            let resolve = |key: &str, value: Value| {
                let mut config =
                    json!({ "name": "network", "source": { "path": "src/{version}" } });
                config[key] = value;
                Intent::resolve(&of_module(config), None, context).unwrap()
            };
            let base = resolve("name", json!("network"));
            assert_eq!(
                base.token(None),
                resolve("provider", json!("aws")).token(None)
            );
            // The owner copies the chosen name into the spec.
            let mut named =
                of_module(json!({ "name": "network", "source": { "path": "src/{version}" } }));
            named.spec.file_name = Some("named.zip".to_owned());
            let named = Intent::resolve(&named, None, context).unwrap();
            assert_eq!(base.token(None), named.token(None));
            for (key, value) in [
                ("source", json!({ "path": "other/{version}" })),
                ("fileFormat", json!("tar.gz")),
                (
                    "storageConfig",
                    json!({ "fileSystem": { "directoryPath": "/data" } }),
                ),
            ] {
                let other = resolve(key, value);
                assert_ne!(base.token(None), other.token(None), "{key}");
                assert!(!other.is_of(&base.token(None)), "{key}");
            }
            let asked = base.token(Some("at-1"));
            assert_ne!(asked, base.token(None));
            assert!(base.is_of(&asked) && base.is_of(&base.token(None)));
            assert!(!base.is_of("") && !base.is_of(&base.digest));
        },
    );
}

#[test]
fn a_version_is_its_owners_whatever_its_config_is_called() {
    let mut owned = of_module(json!({ "name": "terraform-aws-network" }));
    owned.metadata.owner_references = Some(vec![OwnerReference {
        api_version: crds::API_VERSION.to_owned(),
        kind: "Module".to_owned(),
        name: "network".to_owned(),
        uid: "u".to_owned(),
        controller: Some(true),
        block_owner_deletion: None,
    }]);
    let (found, config) = identity(&owned).unwrap();
    assert_eq!((found, config.as_str()), (id(), "terraform-aws-network"));
    // Somebody else's group or kind, or a mere owner, is no owner.
    let edits: [fn(&mut OwnerReference); 3] = [
        |owner| owner.api_version = "example.org/v1".to_owned(),
        |owner| owner.kind = "Depot".to_owned(),
        |owner| owner.controller = None,
    ];
    for edit in edits {
        let mut other = owned.clone();
        edit(&mut other.metadata.owner_references.as_mut().unwrap()[0]);
        assert!(owner(&other).is_none());
    }
}

//! GroupBindings reach the auth plugins as they are, and say what became of them.

use crate::support::{World, run};
use k8s_openapi::api::core::v1::Namespace;
use kube::api::{Api, DeleteParams, Patch, PatchParams, PostParams};
use kube::runtime::wait::await_condition;
use opendepot_controller::bindings::NAMESPACE;
use opendepot_crds::{ConditionType, GroupBinding, conditions::find};
use opendepot_domain::PluginId;
use opendepot_domain::seam::{Binding, BindingPolicies, BindingProblem, BoxFuture};
use serde_json::{Value, json};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::sync::watch;

const DEADLINE: Duration = Duration::from_secs(60);

/// Auth plugins that take every binding but one whose expression is `broken`, and that cannot
/// prepare with one whose expression is `fatal`.
pub(crate) struct Policies {
    names: Mutex<Vec<PluginId>>,
    /// Whether `fatal` still is.
    is_failing: AtomicBool,
    given: watch::Sender<Option<Vec<Binding>>>,
    /// Told when there are others.
    pub(crate) changed: watch::Sender<u64>,
}

impl Default for Policies {
    fn default() -> Self {
        Self {
            names: Mutex::new(vec![PluginId::new("policy").unwrap()]),
            is_failing: AtomicBool::new(true),
            given: watch::Sender::new(None),
            changed: watch::Sender::new(0),
        }
    }
}

impl Policies {
    /// Waits until the names of the bindings that were given last are these.
    async fn until_given(&self, names: &[&str]) -> Vec<Binding> {
        let mut given = self.given.subscribe();
        let is_met = |given: &Option<Vec<Binding>>| {
            given.as_ref().is_some_and(|list| {
                list.iter()
                    .map(|b| b.name.as_str())
                    .eq(names.iter().copied())
            })
        };
        let waited = tokio::time::timeout(DEADLINE, given.wait_for(is_met)).await;
        match waited {
            Ok(given) => given.unwrap().clone().unwrap(),
            Err(_) => panic!("waited for {names:?}, was given {:?}", *self.given.borrow()),
        }
    }
}

impl BindingPolicies for Policies {
    fn names(&self) -> Vec<PluginId> {
        self.names.lock().unwrap().clone()
    }

    fn set_bindings<'a>(&'a self, bindings: &'a [Binding]) -> BoxFuture<'a, Vec<BindingProblem>> {
        self.given.send_replace(Some(bindings.to_vec()));
        let problem = |binding: &str, message: &str| BindingProblem {
            plugin: PluginId::new("policy").unwrap(),
            binding: binding.to_owned(),
            message: message.to_owned(),
        };
        let problems = bindings
            .iter()
            .filter_map(|binding| match binding.expression.as_str() {
                "broken" => Some(problem(&binding.name, "unknown name `broken`")),
                "fatal" if self.is_failing.load(Ordering::Relaxed) => {
                    Some(problem("", "out of fuel"))
                }
                _ => None,
            });
        Box::pin(std::future::ready(problems.collect()))
    }
}

async fn create(world: &World, namespace: &str, name: &str, spec: Value) {
    let namespaces: Api<Namespace> = Api::all(world.client.clone());
    let body = json!({ "metadata": { "name": namespace } });
    let body = serde_json::from_value(body).unwrap();
    // There already after the first.
    let _ = namespaces.create(&PostParams::default(), &body).await;
    let object = json!({
        "apiVersion": "opendepot.defdev.io/v1alpha1",
        "kind": "GroupBinding",
        "metadata": { "name": name },
        "spec": spec,
    });
    let object = serde_json::from_value(object).unwrap();
    api(world, namespace)
        .create(&PostParams::default(), &object)
        .await
        .unwrap();
}

fn api(world: &World, namespace: &str) -> Api<GroupBinding> {
    Api::namespaced(world.client.clone(), namespace)
}

/// Waits until `Accepted` has this status and reason for the object's generation; its message.
async fn until(world: &World, namespace: &str, name: &str, status: &str, reason: &str) -> String {
    let is_met = |object: Option<&GroupBinding>| {
        let Some(object) = object else { return false };
        let list = object.status.as_ref().map(|status| &status.conditions);
        let condition = list.and_then(|list| find(list, ConditionType::Accepted));
        condition.is_some_and(|c| {
            c.status.as_str() == status
                && c.reason.as_str() == reason
                && c.observed_generation == object.metadata.generation
        })
    };
    let wait = await_condition(api(world, namespace), name, is_met);
    let Ok(object) = tokio::time::timeout(DEADLINE, wait).await else {
        panic!("{:#?}", api(world, namespace).get(name).await);
    };
    let list = object.unwrap().unwrap().status.unwrap().conditions;
    assert_eq!(
        find(&list, ConditionType::Stalled).is_some(),
        status == "False"
    );
    find(&list, ConditionType::Accepted)
        .unwrap()
        .message
        .clone()
}

#[test]
fn bindings_are_given_whole_and_told_what_became_of_them() {
    run(async |pool| {
        let mut world = World::start(&pool).await;
        // Also none is given, so that a policy knows that there is none.
        world.policies.until_given(&[]).await;
        create(
            &world,
            NAMESPACE,
            "b-broken",
            json!({ "expression": "broken", "moduleResources": ["*"] }),
        )
        .await;
        let spec = json!({
            "expression": "\"platform\" in groups",
            "moduleResources": ["net*"], "providerResources": ["*"], "namespaces": ["team"],
        });
        create(&world, NAMESPACE, "a-good", spec).await;
        let given = world.policies.until_given(&["a-good", "b-broken"]).await;
        assert_eq!(
            given[0],
            Binding {
                name: "a-good".to_owned(),
                expression: "\"platform\" in groups".to_owned(),
                modules: vec!["net*".to_owned()],
                providers: vec!["*".to_owned()],
                namespaces: vec!["team".to_owned()],
            }
        );
        let said = until(&world, NAMESPACE, "a-good", "True", "Succeeded").await;
        assert!(said.contains("`policy`"), "{said}");
        let said = until(&world, NAMESPACE, "b-broken", "False", "InvalidExpression").await;
        assert_eq!(said, "`policy`: unknown name `broken`");

        // Elsewhere it counts for nothing, and an empty list of namespaces opens nothing.
        let all = json!({ "expression": "true", "moduleResources": ["*"] });
        create(&world, "default", "elsewhere", all).await;
        let said = until(&world, "default", "elsewhere", "False", "NotInForce").await;
        assert!(said.contains(NAMESPACE), "{said}");
        let none = json!({ "expression": "true", "moduleResources": ["*"], "namespaces": [] });
        create(&world, NAMESPACE, "c-none", none).await;
        let said = until(&world, NAMESPACE, "c-none", "True", "Succeeded").await;
        assert!(said.contains("opens nothing"), "{said}");
        // It is given all the same: it may hide those behind it.
        let all = ["a-good", "b-broken", "c-none"];
        let given = world.policies.until_given(&all).await;
        assert!(given[2].modules.is_empty() && given[2].providers.is_empty());

        // Mended, revoked: both at once.
        let mended = json!({ "spec": { "expression": "true" } });
        api(&world, NAMESPACE)
            .patch("b-broken", &PatchParams::default(), &Patch::Merge(&mended))
            .await
            .unwrap();
        until(&world, NAMESPACE, "b-broken", "True", "Succeeded").await;
        api(&world, NAMESPACE)
            .delete("a-good", &DeleteParams::default())
            .await
            .unwrap();
        world.policies.until_given(&["b-broken", "c-none"]).await;

        // Another policy came: it has its own view of them.
        world.policies.given.send_replace(None);
        world.policies.changed.send_modify(|number| *number += 1);
        world.policies.until_given(&["b-broken", "c-none"]).await;

        // A process that starts anew gives them again and has nothing to write.
        let revision = world.settled(Duration::from_secs(1)).await;
        world.policies.given.send_replace(None);
        world.restart(&pool, None).await;
        world.policies.until_given(&["b-broken", "c-none"]).await;
        assert!(
            world
                .is_quiet_after(&revision, Duration::from_secs(2))
                .await
        );
    });
}

#[test]
fn without_a_policy_or_with_one_that_denies_all_every_binding_says_so() {
    run(async |pool| {
        let mut world = World::start(&pool).await;
        let good = json!({ "expression": "true", "moduleResources": ["*"] });
        create(&world, NAMESPACE, "good", good).await;
        let fatal = json!({ "expression": "fatal", "moduleResources": ["*"] });
        create(&world, NAMESPACE, "fatal", fatal).await;
        for name in ["good", "fatal"] {
            let said = until(&world, NAMESPACE, name, "False", "PluginFailed").await;
            assert!(said.contains("`policy`: out of fuel"), "{said}");
        }
        // It is asked again by itself, with nothing going on: the failure may be the moment's.
        world.settled(Duration::from_secs(1)).await;
        world.policies.is_failing.store(false, Ordering::Relaxed);
        for name in ["good", "fatal"] {
            until(&world, NAMESPACE, name, "True", "Succeeded").await;
        }
        world.policies.names.lock().unwrap().clear();
        world.restart(&pool, None).await;
        let said = until(&world, NAMESPACE, "good", "False", "NotInForce").await;
        assert!(said.contains("auth-group-binding"), "{said}");
    });
}

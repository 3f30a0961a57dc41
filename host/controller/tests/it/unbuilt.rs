//! Kinds that nobody acts on yet say so, once.

use crate::support::{World, run};
use opendepot_crds::{Condition, ConditionType, Depot, conditions::find};
use serde_json::json;
use std::time::Duration;

const QUIET: Duration = Duration::from_secs(1);

fn condition(list: &[Condition], type_: ConditionType) -> (&str, &str, Option<i64>) {
    let condition = find(list, type_).unwrap();
    (
        condition.status.as_str(),
        condition.reason.as_str(),
        condition.observed_generation,
    )
}

#[test]
fn depots_say_that_nobody_acts_on_them() {
    run(async |pool| {
        let mut world = World::start(&pool).await;
        world
            .create::<Depot>(json!({
                "apiVersion": "opendepot.defdev.io/v1alpha1",
                "kind": "Depot",
                "metadata": { "name": "all" },
                "spec": { "moduleConfigs": [{ "name": "network", "versionConstraints": ">= 1.0.0" }] },
            }))
            .await;
        let depot = world
            .until("all", "its condition", |depot: &Depot| {
                depot.status.is_some()
            })
            .await;
        let status = depot.status.unwrap();
        assert_eq!(status.observed_generation, Some(1));
        let list = &status.conditions;
        assert_eq!(
            condition(list, ConditionType::Ready),
            ("False", "NotBuilt", Some(1))
        );
        assert_eq!(
            condition(list, ConditionType::Stalled),
            ("True", "NotBuilt", Some(1))
        );
        // Once, also for controllers that start anew.
        let revision = world.settled(QUIET).await;
        world.restart(&pool, None).await;
        assert!(world.is_quiet_after(&revision, QUIET * 2).await);
        // The generation is followed, and nothing was done for the Depot.
        let spec = json!({ "spec": { "pollingIntervalMinutes": 5 } });
        world.patch::<Depot>("all", spec).await;
        world
            .until("all", "the new generation", |depot: &Depot| {
                depot.status.as_ref().unwrap().observed_generation == Some(2)
            })
            .await;
        let modules = world.api::<opendepot_crds::Module>();
        assert!(
            modules
                .list(&Default::default())
                .await
                .unwrap()
                .items
                .is_empty()
        );
    });
}

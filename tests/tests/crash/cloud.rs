//! kill -9 at every step of a put into a bucket (S13): what is visible is whole, what was begun is
//! begun anew, and what is left goes with the object.

use crate::run::{read_trace, spawn};
use opendepot_tests::fixture::noise;
use opendepot_tests::s3::{BUCKET, KEYS, S3};
use opendepot_tests::{Module, Setup, wait_until};
use std::collections::BTreeSet;
use std::fs;
use std::time::Duration;

/// The points of a put; each has to be the last thing that some run did.
pub(crate) const POINTS: [&str; 7] = [
    "storage.cloud.part",
    "storage.cloud.part.begin",
    "storage.cloud.part.complete",
    "storage.cloud.part.done",
    "storage.cloud.part.sent",
    "storage.cloud.put",
    "storage.cloud.put.done",
];

const SOON: Duration = Duration::from_secs(60);

/// One module in one part, or in three.
fn setup(server: &S3, is_large: bool) -> Setup {
    let setup = Setup::plain();
    let len = if is_large { 20 << 20 } else { 1_000 };
    Module::new("tool")
        .file("data.bin", noise(len, 5))
        .write(&setup.manifests());
    let secrets = setup.dir().join("secrets");
    fs::create_dir(&secrets).unwrap();
    let (id, secret) = KEYS[0];
    let pair = format!(r#"{{ "accessKeyId": "{id}", "secretAccessKey": "{secret}" }}"#);
    fs::write(secrets.join("key"), pair).unwrap();
    let url = server.url();
    setup.config(&format!(
        r#"plugins:
  - name: storage-s3
    source: {{ builtin: storage-s3 }}
    grants:
      stores: [{{ match: "s3://{BUCKET}", endpoint: "{url}", credentials: bucket }}]
      credentials: {{ bucket: {{ kind: aws-static, secret: key }} }}
pluginPolicy: {{ secretsDir: "{}" }}
egress: {{ storage: {{ allowPrivate: ["127.0.0.0/8"], allowHttp: ["127.0.0.1"] }} }}
storage: {{ default: {{ s3: {{ bucket: {BUCKET}, region: eu-central-1 }} }} }}
"#,
        secrets.display()
    ))
}

/// Runs to the end; the names of the points on the way.
async fn undisturbed(is_large: bool) -> Vec<String> {
    let server = S3::start().await;
    let setup = setup(&server, is_large);
    converges(&setup, &server).await;
    read_trace(&setup.dir().join("trace"))
}

/// Starts and waits until the bucket has the one object and clients can have it.
async fn converges(setup: &Setup, server: &S3) {
    let trace = setup.dir().join("trace");
    let registry = spawn(setup, &trace, None);
    wait_until("the module to be listed", SOON, || async {
        let path = "/opendepot/modules/v1/team/tool/local/1.0.0/download";
        match registry.get(path).await {
            Ok(answer) if answer.status == 204 => {
                let location = answer.headers["x-terraform-get"].to_str().unwrap();
                let answer = registry.get(location).await;
                let answer = answer.map_err(|error| error.to_string())?;
                assert_eq!(answer.status, 200, "{location}");
                assert!(location.contains(&opendepot_tests::sha256(&answer.body)));
                Ok(())
            }
            other => Err(other.map_or_else(|e| e.to_string(), |a| a.status.to_string())),
        }
    })
    .await;
    let keys = server.keys();
    let objects = keys.iter().filter(|key| !is_left_behind(key));
    assert_eq!(objects.count(), 1, "{keys:?}");
    // Its removal takes along what uploads of it left behind.
    fs::remove_file(setup.manifests().join("tool.yaml")).unwrap();
    wait_until("the bucket to be empty", SOON, || async {
        let keys = server.keys();
        if keys.is_empty() { Ok(()) } else { Err(keys) }
    })
    .await;
    assert!(registry.stop().await.is_some_and(|status| status.success()));
}

fn is_left_behind(key: &str) -> bool {
    key.contains(".upload-") || key.contains(".opendepot-probe-")
}

/// One run that is killed; the point that it died at.
async fn killed_at(is_large: bool, kill_at: usize) -> Option<String> {
    let server = S3::start().await;
    let setup = setup(&server, is_large);
    let trace = setup.dir().join("trace-killed");
    let mut registry = spawn(&setup, &trace, Some(kill_at));
    // The order of steps varies: this run may have fewer.
    let status = registry.wait_exit(Duration::from_secs(20)).await;
    drop(registry);
    for key in server.keys().iter().filter(|key| !is_left_behind(key)) {
        let len = fs::metadata(server.object(key)).unwrap().len();
        let least = if is_large { 20 << 20 } else { 1_000 };
        assert!(len >= least, "`{key}` is visible and has {len} bytes");
    }
    converges(&setup, &server).await;
    status.and_then(|_| read_trace(&trace).pop())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kill_at_any_step_of_a_put_converges() {
    let mut died_at = BTreeSet::new();
    for is_large in [false, true] {
        let points = undisturbed(is_large).await;
        let places = points
            .iter()
            .enumerate()
            .filter(|(_, name)| name.starts_with("storage.cloud."));
        let places: Vec<usize> = places.map(|(index, _)| index + 1).collect();
        assert!(places.len() >= 2, "{points:?}");
        // A neighbour takes a place now and then.
        for by in 0..3 {
            for place in &places {
                let name = &points[place - 1];
                if by == 0 || !died_at.contains(name) {
                    died_at.extend(killed_at(is_large, place + by).await);
                }
            }
        }
    }
    let missed = POINTS.iter().filter(|name| !died_at.contains(**name));
    let missed: Vec<_> = missed.collect();
    assert!(missed.is_empty(), "never the last of a run: {missed:?}");
}

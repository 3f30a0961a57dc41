//! Names and keys: each is one object, and none leads anywhere else.

use super::{Case, Object, Suite, Unmet, pattern};
use opendepot_domain::{Kind, Operation, Transfer};

/// Names that are allowed, though no registry makes them.
const FILES: [&str; 7] = [
    "0", "a.zip", "a-b.zip", "a_b.zip", "a.b.zip", "X.TAR.GZ", "con",
];

/// Keys in which something must be escaped or looks as if it were already, each with keys that
/// careless code takes for the same.
const ODD: [(&str, &[&str]); 5] = [
    (
        "ünï 1.zip",
        &["ünï+1.zip", "ünï%201.zip", "%C3%BCn%C3%AF 1.zip"],
    ),
    (
        "a+b&c%41.zip",
        &["a b&c%41.zip", "a+b&cA.zip", "a%2Bb&c%41.zip"],
    ),
    ("a=b;c'd(e)!~*@,$.zip", &["a=b"]),
    ("#x?y=1.zip", &["#x", "%23x%3Fy=1.zip"]),
    ("包/🦀.zip", &["包%2F🦀.zip"]),
];

/// Keys that climb, or that two readers understand in two ways.
const HOSTILE: [&str; 12] = [
    "",
    "..",
    "../x.zip",
    "a/../../x.zip",
    "a/..",
    "/x.zip",
    "x.zip/",
    "a//x.zip",
    "a/./x.zip",
    "a\\..\\x.zip",
    "a\0.zip",
    "a\r\nx.zip",
];

/// Objects of many names at once; what is done to one is not done to another.
pub(super) async fn files(suite: &Suite<'_>) -> Case {
    let long = format!("a{}.zip", "b".repeat(123));
    let names = FILES.into_iter().chain([long.as_str()]);
    let mut objects = Vec::new();
    for (at, name) in names.enumerate() {
        objects.push(suite.object_named(name, &pattern(1_000 + at)).await?);
    }
    for object in &objects {
        suite.put_new(object).await?;
    }
    for object in &objects {
        suite.is_whole(object).await?;
    }
    while let Some(object) = objects.pop() {
        suite.delete(&object).await?;
        suite.is_gone(&object).await?;
        if let Some(other) = objects.last() {
            suite.is_whole(other).await?;
        }
    }
    Ok(())
}

/// Recorded keys that `locate` never said. A plugin need not plan for them; what it plans must be
/// for that key alone.
pub(super) async fn odd_keys(suite: &Suite<'_>) -> Case {
    let mut refused = Vec::new();
    for (at, (key, twins)) in ODD.into_iter().enumerate() {
        let object = beside(suite, 20 + at, key).await?;
        if suite.plan(&object, Operation::Put).await.is_err() {
            refused.push(key);
            continue;
        }
        suite.put_new(&object).await?;
        suite.is_whole(&object).await?;
        for twin in twins {
            let twin = beside(suite, 20 + at, twin).await?;
            if suite.plan(&twin, Operation::Head).await.is_ok() {
                suite
                    .is_gone(&twin)
                    .await
                    .map_err(|error| format!("{} is there alone; {error}", object.named()))?;
            }
        }
        suite.delete(&object).await?;
        suite.is_gone(&object).await?;
    }
    if refused.is_empty() {
        return Ok(());
    }
    Err(Unmet::Skipped(format!(
        "it plans nothing for recorded keys like `{}`, which it need not",
        refused.join("`, `")
    )))
}

/// An object whose record has another last segment than its plugin gave it.
async fn beside(suite: &Suite<'_>, number: usize, key: &str) -> Result<Object, String> {
    let mut object = suite.object(number, &pattern(2_000 + number)).await?;
    object.place.key = match object.place.key.rsplit_once('/') {
        Some((parent, _)) => format!("{parent}/{key}"),
        None => key.to_owned(),
    };
    Ok(object)
}

/// No plan for such a record passes, and no client takes such a key of one that passed.
pub(super) async fn hostile_keys(suite: &Suite<'_>) -> Case {
    let mut object = suite.object(30, b"where to?").await?;
    let good = suite.plan(&object, Operation::Put).await?;
    let long = format!("{}.zip", "a/".repeat(600));
    for key in HOSTILE.into_iter().chain([long.as_str()]) {
        let shown: String = key.escape_debug().take(40).collect();
        key.clone_into(&mut object.place.key);
        if suite.plan(&object, Operation::Put).await.is_ok() {
            return Err(format!("a record with the key `{shown}` is to get no plan").into());
        }
        let Transfer::Native(native) = &good else {
            continue;
        };
        let mut native = native.clone();
        key.clone_into(&mut native.placement.key);
        let plan = Transfer::Native(native);
        let put = suite.bytes.put(&plan, &object.file, object.expected).await;
        match put.map_err(|error| error.kind) {
            Err(Kind::Invalid | Kind::Denied) => {}
            other => {
                return Err(format!(
                    "a put with the key `{shown}` is to be refused as `invalid`, got {other:?}"
                )
                .into());
            }
        }
    }
    Ok(())
}

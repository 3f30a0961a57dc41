//! The operator's settings and the resource's block, which comes over them.

use crate::account;
use opendepot_plugin_sdk::Problem;
use opendepot_plugin_sdk::settings::{Object, shown};
use opendepot_plugin_sdk::storage::{Configuration, Error};

const NO_ACCOUNT: &str = "no account is named: neither by `accountName` of the resource's block \
                          nor by `account` of the operator's settings";

const ARCHIVE: &str = "Archive";

/// Tiers whose blobs can be read at once.
const TIERS: [(&str, &str); 3] = [("Hot", "Hot"), ("Cool", "Cool"), ("Cold", "Cold")];

/// What both documents come to.
#[derive(Debug)]
pub(crate) struct Settings {
    account: Option<String>,
    /// The tier of new blobs; absent: the account's.
    pub(crate) storage_class: Option<&'static str>,
}

impl Settings {
    /// Problems of both documents are reported together.
    pub(crate) fn read(configuration: &Configuration) -> Result<Self, Error> {
        configuration.read(|operator, backend| {
            let default = operator.and_then(|object| {
                object.deny_unknown(&["account", "storageClass"]);
                account(object, "account")
            });
            let named = backend.and_then(|object| {
                object.deny_unknown(&[
                    "accountName",
                    "accountUrl",
                    "subscriptionID",
                    "resourceGroup",
                ]);
                account(object, "accountName")
            });
            if let (Some(block), Some(operator)) = (backend, operator)
                && !block.has("accountName")
                && !operator.has("account")
            {
                block.problem("accountName", NO_ACCOUNT);
            }
            let account = named.or(default);
            if let Some(block) = backend {
                check_unused(block, account);
            }
            Some(Self {
                account: account.map(str::to_owned),
                storage_class: operator.and_then(storage_class),
            })
        })
    }

    /// The account of new blobs.
    pub(crate) fn account(&self) -> Result<&str, Error> {
        let account = self.account.as_deref();
        account.ok_or_else(|| vec![Problem::new("operator.account", NO_ACCOUNT)].into())
    }
}

/// What the original needed and this plugin does not: the host's grant has the endpoint, and
/// containers are made without the resource manager. A URL that is not the account's is a mistake
/// all the same, and whoever wrote it should hear of it.
fn check_unused(block: &Object<'_>, account: Option<&str>) {
    for key in ["subscriptionID", "resourceGroup"] {
        // Only its type matters.
        let _ = block.text(key);
    }
    if let (Some(url), Some(account)) = (block.text("accountUrl"), account)
        && !account::is_url_of(url, account)
    {
        // Not shown: it may hold a signature.
        block.problem(
            "accountUrl",
            format!(
                "must be of the account: `https://{account}.blob.core.windows.net`, or \
                 `http://host:port/{account}` of an emulator"
            ),
        );
    }
}

fn account<'a>(object: &Object<'a>, setting: &str) -> Option<&'a str> {
    let name = object.text(setting)?;
    if let Err(rule) = account::check_account(name) {
        object.problem(
            setting,
            format!("`{}` is not the name of an account: {rule}", shown(name)),
        );
        return None;
    }
    Some(name)
}

fn storage_class(object: &Object<'_>) -> Option<&'static str> {
    if object.is_text("storageClass") && object.text("storageClass") == Some(ARCHIVE) {
        object.problem(
            "storageClass",
            format!("`{ARCHIVE}` cannot be: its blobs cannot be read at once"),
        );
        return None;
    }
    object.choice("storageClass", &TIERS)
}

//! The limits in force (reliability.md 2): what the configuration says on top of what is fixed,
//! once as the parts take them and once as `/version` shows them.

use crate::config::Config;
use opendepot_transfer::{FetchLimits, RemoteLimits};
use serde_json::{Value, json};
use std::time::Duration;

/// Of guests.
pub(crate) fn plugins(config: &Config) -> opendepot_plugin::Limits {
    let plugins = &config.file.limits.plugins;
    opendepot_plugin::Limits {
        component_bytes: plugins.component_bytes,
        memory_bytes: plugins.memory_bytes,
        num_instances: plugins.num_instances,
        auth_timeout: Duration::from_millis(plugins.auth_deadline_milliseconds),
        scan_timeout: Duration::from_millis(plugins.scan_deadline_milliseconds),
        storage_timeout: Duration::from_millis(plugins.storage_deadline_milliseconds),
        ..opendepot_plugin::Limits::default()
    }
}

/// Of module archives.
pub(crate) fn modules(config: &Config) -> opendepot_archive::Limits {
    let archives = &config.file.limits.archives;
    opendepot_archive::Limits {
        packed_bytes: archives.module_packed_bytes,
        unpacked_bytes: archives.module_unpacked_bytes,
        entries: archives.num_entries,
        inspect_time: Duration::from_secs(archives.inspect_seconds),
        ..opendepot_archive::Limits::module()
    }
}

/// Of provider packages.
pub(crate) fn providers(config: &Config) -> opendepot_archive::Limits {
    let archives = &config.file.limits.archives;
    opendepot_archive::Limits {
        packed_bytes: archives.provider_packed_bytes,
        unpacked_bytes: archives.provider_unpacked_bytes,
        ..modules(config)
    }
}

/// Of requests to sources.
pub(crate) fn upstream(config: &Config) -> FetchLimits {
    let upstream = &config.file.limits.upstream;
    FetchLimits {
        connect_timeout: Duration::from_secs(upstream.connect_seconds),
        metadata_timeout: Duration::from_secs(upstream.metadata_seconds),
        idle_timeout: Duration::from_secs(upstream.idle_seconds),
        download_timeout: Duration::from_secs(upstream.total_seconds),
        ..FetchLimits::default()
    }
}

/// Of stores on the network.
pub(crate) fn remote_stores() -> RemoteLimits {
    RemoteLimits::default()
}

/// All of them, under the keys of the configuration; what has no key there is fixed.
pub(crate) fn reported(config: &Config) -> Value {
    let (plugins, archives, upstream) = (plugins(config), modules(config), upstream(config));
    let storage = remote_stores();
    let mut limits = serde_json::to_value(&config.file.limits).unwrap_or_default();
    let fixed = json!({
        "plugins": {
            "numTableElements": plugins.num_table_elements,
            "numCoreInstances": plugins.num_core_instances,
            "wasmStackBytes": plugins.wasm_stack_bytes,
            "numHostCalls": plugins.num_host_calls,
            "numResources": plugins.num_resources,
            "logBytes": plugins.log_bytes,
            "authHostcallBytes": plugins.auth_hostcall_bytes,
            "hostcallBytes": plugins.hostcall_bytes,
            "hostIoMilliseconds": plugins.host_io_timeout.as_millis(),
            "prepareDeadlineMilliseconds": plugins.prepare_timeout.as_millis(),
            "waitMilliseconds": plugins.wait_timeout.as_millis(),
            "breakerFaults": plugins.breaker_faults,
            "breakerPauseMilliseconds": plugins.breaker_pause.as_millis(),
            "numTargets": plugins.num_targets,
        },
        "upstream": {
            "metadataBytes": FetchLimits::METADATA_BYTES,
            "numRedirects": upstream.max_redirects,
        },
        "storage": {
            "readMilliseconds": storage.read_timeout.as_millis(),
            "numReadRetries": storage.num_read_retries,
            "syncMilliseconds": storage.sync_timeout.as_millis(),
            "numSyncRetries": storage.num_sync_retries,
            "idleMilliseconds": storage.idle_timeout.as_millis(),
        },
        "archives": {
            "nameBytes": archives.name_bytes,
            "depth": archives.depth,
            "ratio": archives.ratio,
            "ratioFloorBytes": archives.ratio_floor_bytes,
            "readmeBytes": archives.readme_bytes,
        },
        "tokens": {
            "authorizationBytes": opendepot_identity::MAX_AUTHORIZATION_BYTES,
            "numGroups": opendepot_identity::MAX_GROUPS,
            "groupBytes": opendepot_identity::MAX_GROUP_BYTES,
            "numTokens": opendepot_identity::MAX_TOKENS,
            "fileBytes": opendepot_identity::MAX_TOKEN_FILE_BYTES,
        },
        "signing": {
            "keyBytes": opendepot_signing::MAX_KEY_BYTES,
            "signatureBytes": opendepot_signing::MAX_SIGNATURE_BYTES,
            "textBytes": opendepot_signing::MAX_TEXT_BYTES,
            "numPackets": opendepot_signing::MAX_PACKETS,
        },
        "shutdown": {
            "drainDelaySeconds": config.drain_delay.as_secs(),
            "graceSeconds": config.grace.as_secs(),
            "downloadGraceSeconds": config.download_grace.as_secs(),
        },
    });
    add(&mut limits, fixed);
    limits
}

/// Adds the members of `more` to those of `to`, section by section.
fn add(to: &mut Value, more: Value) {
    match (to, more) {
        (Value::Object(to), Value::Object(more)) => {
            for (key, value) in more {
                add(to.entry(key).or_insert(Value::Null), value);
            }
        }
        (to, more) => *to = more,
    }
}

#[cfg(test)]
mod tests {
    use super::add;
    use serde_json::json;

    #[test]
    fn sections_are_joined_and_nothing_is_lost() {
        let mut to = json!({ "a": { "x": 1 }, "b": 2 });
        add(&mut to, json!({ "a": { "y": 3 }, "c": { "z": 4 } }));
        let all = json!({ "a": { "x": 1, "y": 3 }, "b": 2, "c": { "z": 4 } });
        assert_eq!(to, all);
    }
}

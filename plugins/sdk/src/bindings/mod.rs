//! Generated from the WIT text of `wit/`; nothing here is written by hand.
//!
//! The types and the log of `opendepot:host` are generated once and shared by the worlds, so that
//! an `Artifact` is one type. Imports with functions beyond the log belong to the world that has
//! them: a component must not claim what its world does not offer.

pub mod host {
    wit_bindgen::generate!({
        path: "../../wit/host@0.1.0",
        inline: "
            package opendepot:sdk;
            world shared {
                import opendepot:host/types@0.1.0;
                import opendepot:host/log@0.1.0;
            }
        ",
        world: "opendepot:sdk/shared",
        additional_derives: [PartialEq, Eq],
        generate_all,
        generate_unused_types: true,
    });
}

#[cfg(feature = "storage")]
pub mod storage {
    wit_bindgen::generate!({
        path: "../../wit/storage@0.1.0",
        world: "opendepot:storage/storage-plugin",
        with: {
            "opendepot:host/types@0.1.0": crate::bindings::host::opendepot::host::types,
            "opendepot:host/log@0.1.0": crate::bindings::host::opendepot::host::log,
        },
        additional_derives: [PartialEq, Eq],
        generate_all,
        pub_export_macro: true,
        export_macro_name: "__export_storage_plugin",
    });
}

#[cfg(feature = "auth")]
pub mod auth {
    wit_bindgen::generate!({
        path: "../../wit/auth@0.1.0",
        world: "opendepot:auth/auth-plugin",
        with: {
            "opendepot:host/types@0.1.0": crate::bindings::host::opendepot::host::types,
            "opendepot:host/log@0.1.0": crate::bindings::host::opendepot::host::log,
        },
        additional_derives: [PartialEq, Eq],
        generate_all,
        pub_export_macro: true,
        export_macro_name: "__export_auth_plugin",
    });
}

#[cfg(feature = "scan")]
pub mod scan {
    wit_bindgen::generate!({
        path: "../../wit/scan@0.1.0",
        world: "opendepot:scan/scan-plugin",
        with: {
            "opendepot:host/types@0.1.0": crate::bindings::host::opendepot::host::types,
            "opendepot:host/log@0.1.0": crate::bindings::host::opendepot::host::log,
        },
        additional_derives: [PartialEq, Eq],
        generate_all,
        pub_export_macro: true,
        export_macro_name: "__export_scan_plugin",
    });
}

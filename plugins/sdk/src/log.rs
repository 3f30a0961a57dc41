//! The host's log.
//!
//! The host adds the plugin's name and digest, escapes and shortens what it gets, and may drop
//! lines above a rate. Never log a secret, a signed URL, settings or claims.
//!
//! ```
//! use opendepot_plugin_sdk::log;
//!
//! log::warn("an accepted finding has expired", &[("id", "CVE-2026-1234")]);
//! ```
//!
//! A message is lower-case, without a full stop, and readable alone; what varies is a field.

pub use crate::bindings::host::opendepot::host::log::Level;

/// Writes one line; `fields` are key and value.
pub fn write(level: Level, message: &str, fields: &[(&str, &str)]) {
    #[cfg(target_family = "wasm")]
    {
        let fields: Vec<(String, String)> = fields
            .iter()
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
            .collect();
        crate::bindings::host::opendepot::host::log::write(level, message, &fields);
    }
    #[cfg(not(target_family = "wasm"))]
    eprintln!("{level:?}: {message} {fields:?}");
}

/// Writes one line for whoever develops the plugin.
pub fn debug(message: &str, fields: &[(&str, &str)]) {
    write(Level::Debug, message, fields);
}

/// Writes one line for whoever follows what happens.
pub fn info(message: &str, fields: &[(&str, &str)]) {
    write(Level::Info, message, fields);
}

/// Writes one line about something that may become a failure.
pub fn warn(message: &str, fields: &[(&str, &str)]) {
    write(Level::Warn, message, fields);
}

/// Writes one line that somebody must look at.
pub fn error(message: &str, fields: &[(&str, &str)]) {
    write(Level::Error, message, fields);
}

/// Makes panics name themselves in the host's log before they trap. The registration macros
/// arrange it; it is cheap to call again.
#[doc(hidden)]
pub fn report_panics() {
    #[cfg(target_family = "wasm")]
    {
        static ONCE: std::sync::Once = std::sync::Once::new();
        ONCE.call_once(|| {
            std::panic::set_hook(Box::new(|panic| error(&panic.to_string(), &[])));
        });
    }
}

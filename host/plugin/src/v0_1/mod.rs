//! Version 0.1 of the contract. A later version is a module beside this one; this one then
//! converts and delegates (plugins.md 1).

pub(crate) mod auth;
pub(crate) mod host;
pub(crate) mod scan;
pub(crate) mod storage;

//! The definitions, checked from outside: as the API server reads them, and with objects as
//! installations of the original hold them.

#[cfg(test)]
mod definitions;
#[cfg(test)]
mod identity;
#[cfg(test)]
mod originals;
#[cfg(test)]
mod rules;
#[cfg(test)]
mod support;

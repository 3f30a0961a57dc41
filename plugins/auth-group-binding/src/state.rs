//! The compiled bindings: what `prepare` writes and every `authorize` reads.

use crate::binding;
use crate::code::Op;
use crate::glob;
use crate::machine::{self, Caller};
use opendepot_plugin_sdk::auth::{Error, Target};
use opendepot_plugin_sdk::{ArtifactKind, log, state};
use serde::{Deserialize, Serialize};

/// Changes with the format.
const VERSION: u8 = 1;

/// The most steps of one binding.
const MAX_STEPS: usize = 100_000;
/// The most steps of all bindings together, which share them evenly: a costly one costs no other.
const MAX_STEPS_OF_ALL: usize = 1_000_000;

/// How bindings come together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Merge {
    /// The first that is true decides.
    First,
    /// All that are true grant.
    Union,
}

/// The compiled bindings, borrowed from the state's bytes, or to be written as these. Flat, as the
/// rules of other plugins are.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct State<'a, O = Op<&'a str>> {
    merge: Merge,
    code: Vec<O>,
    #[serde(borrow)]
    entries: Vec<&'a str>,
    #[serde(borrow)]
    bindings: Vec<Compiled<'a>>,
}

/// Start and end in `code` or `entries`.
type Range = (u32, u32);

#[derive(Debug, Serialize, Deserialize)]
struct Compiled<'a> {
    name: &'a str,
    code: Range,
    modules: Range,
    providers: Range,
    /// Empty: all of them.
    namespaces: Range,
}

/// Writes the state's bytes.
pub(crate) fn write(merge: Merge, bindings: &[binding::Compiled<'_>]) -> Result<Vec<u8>, Error> {
    let mut state = State {
        merge,
        code: Vec::new(),
        entries: Vec::new(),
        bindings: Vec::with_capacity(bindings.len()),
    };
    for one in bindings {
        let code = append(&mut state.code, one.code.iter())?;
        let binding = one.binding;
        let entries = &mut state.entries;
        state.bindings.push(Compiled {
            name: &binding.name,
            code,
            modules: append(entries, binding.modules.iter().map(String::as_str))?,
            providers: append(entries, binding.providers.iter().map(String::as_str))?,
            namespaces: append(entries, binding.namespaces.iter().map(String::as_str))?,
        });
    }
    state::write(VERSION, &state)
}

fn append<T>(all: &mut Vec<T>, some: impl Iterator<Item = T>) -> Result<Range, Error> {
    let place = |length: usize| {
        u32::try_from(length).map_err(|_| Error::Other("too many bindings".to_owned()))
    };
    let start = place(all.len())?;
    all.extend(some);
    Ok((start, place(all.len())?))
}

fn run<T>(all: &[T], (start, end): Range) -> &[T] {
    match (usize::try_from(start), usize::try_from(end)) {
        (Ok(start), Ok(end)) => all.get(start..end).unwrap_or(&[]),
        _ => &[],
    }
}

impl<'a> State<'a> {
    /// Reads what [`write`] wrote.
    pub(crate) fn read(bytes: &'a [u8]) -> Result<Self, Error> {
        state::read(VERSION, bytes)
    }

    /// The bindings that grant to a caller with these groups.
    pub(crate) fn granted_to(&self, groups: &[String]) -> Granted<'_> {
        let mut bindings = Vec::new();
        let steps = MAX_STEPS.min(MAX_STEPS_OF_ALL / self.bindings.len().max(1));
        let caller = Caller::new(groups);
        for binding in &self.bindings {
            match machine::run(run(&self.code, binding.code), &caller, steps) {
                Ok(true) => {
                    bindings.push(binding);
                    if self.merge == Merge::First {
                        break;
                    }
                }
                Ok(false) => {}
                Err(stop) => log::warn(
                    "a binding grants nothing to a caller, because its expression failed",
                    &[("binding", binding.name), ("reason", stop.message())],
                ),
            }
        }
        Granted {
            entries: &self.entries,
            bindings,
        }
    }
}

/// What one caller is granted.
pub(crate) struct Granted<'a> {
    entries: &'a [&'a str],
    bindings: Vec<&'a Compiled<'a>>,
}

impl Granted<'_> {
    /// Whether any of it is `target`; never one of a kind that this version does not know.
    pub(crate) fn allow(&self, target: &Target) -> bool {
        self.bindings.iter().any(|binding| {
            let any = |range, matches: fn(&str, &str) -> bool, name: &str| {
                run(self.entries, range)
                    .iter()
                    .any(|entry| matches(entry, name))
            };
            let has_name = match target.kind {
                ArtifactKind::Module => any(binding.modules, glob::matches, &target.name),
                ArtifactKind::Provider => any(binding.providers, is_name, &target.name),
                ArtifactKind::Other(_) => false,
            };
            has_name
                && (run(self.entries, binding.namespaces).is_empty()
                    || any(binding.namespaces, glob::matches, &target.namespace))
        })
    }
}

/// Providers are listed by name, or all of them by `*`.
fn is_name(entry: &str, name: &str) -> bool {
    entry == "*" || entry == name
}

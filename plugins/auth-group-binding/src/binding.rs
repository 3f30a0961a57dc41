//! Compiles bindings and the plugin's settings, reporting what is wrong with each.

use crate::code::Op;
use crate::compile;
use crate::glob;
use crate::state::Merge;
use opendepot_plugin_sdk::auth::{Binding, BindingProblem, Error};
use opendepot_plugin_sdk::settings::{self, shown};
use opendepot_plugin_sdk::state;

const MAX_BINDINGS: usize = 1000;
/// Names or globs of one list: what the resource's schema allows.
const MAX_ENTRIES: usize = 256;
const MAX_ENTRY_BYTES: usize = 253;
/// All compiled bindings together: every call reads them.
const MAX_STATE_BYTES: usize = 1 << 20;
/// What an entry of a list takes beside its text.
const ENTRY_BYTES: usize = 8;

/// A binding that works.
#[derive(Debug)]
pub(crate) struct Compiled<'a> {
    pub(crate) binding: &'a Binding,
    pub(crate) code: Vec<Op<String>>,
}

/// How bindings come together.
pub(crate) fn read_merge(text: &str) -> Result<Merge, Error> {
    let merge = settings::read(text, |root| {
        root.deny_unknown(&["merge"]);
        root.choice("merge", &[("first", Merge::First), ("union", Merge::Union)])
    })?;
    Ok(merge.unwrap_or(Merge::First))
}

/// The bindings that work, by name, and what is wrong with the others.
pub(crate) fn compile(bindings: &[Binding]) -> (Vec<Compiled<'_>>, Vec<BindingProblem>) {
    let mut by_name: Vec<&Binding> = bindings.iter().collect();
    by_name.sort_by(|a, b| a.name.cmp(&b.name));
    let (mut compiled, mut problems) = (Vec::new(), Vec::new());
    let mut num_bytes = 0;
    for binding in by_name {
        match compile_one(binding, compiled.len(), &mut num_bytes) {
            Ok(code) => compiled.push(Compiled { binding, code }),
            Err(message) => problems.push(BindingProblem {
                binding: binding.name.clone(),
                message,
            }),
        }
    }
    (compiled, problems)
}

/// The code of a binding; `num_bytes` counts what all of them take.
fn compile_one(
    binding: &Binding,
    num_before: usize,
    num_bytes: &mut usize,
) -> Result<Vec<Op<String>>, String> {
    let code = compile::compile(&binding.expression)
        .map_err(|message| format!("`expression`: {message}"))?;
    for (list, entries, is_glob) in [
        ("moduleResources", &binding.modules, true),
        ("providerResources", &binding.providers, false),
        ("namespaces", &binding.namespaces, true),
    ] {
        check(entries, is_glob).map_err(|message| format!("`{list}`: {message}"))?;
    }
    if num_before == MAX_BINDINGS {
        return Err(format!("there are more than {MAX_BINDINGS} bindings"));
    }
    let lists = [&binding.modules, &binding.providers, &binding.namespaces];
    let entries = lists.into_iter().flatten().chain([&binding.name]);
    let texts: usize = entries.map(|entry| entry.len() + ENTRY_BYTES).sum();
    let size = state::write(0, &code).map_or(usize::MAX, |bytes| bytes.len());
    let total = size.saturating_add(texts).saturating_add(*num_bytes);
    if total > MAX_STATE_BYTES {
        return Err(format!(
            "with it all bindings take more than {MAX_STATE_BYTES} bytes"
        ));
    }
    *num_bytes = total;
    Ok(code)
}

fn check(entries: &[String], is_glob: bool) -> Result<(), String> {
    if entries.len() > MAX_ENTRIES {
        return Err(format!("more than {MAX_ENTRIES} entries"));
    }
    for entry in entries {
        if entry.is_empty() || entry.len() > MAX_ENTRY_BYTES {
            return Err(format!("an entry must have 1 to {MAX_ENTRY_BYTES} bytes"));
        }
        if is_glob && !glob::is_valid(entry) {
            return Err(format!("`{}` is no pattern", shown(entry)));
        }
    }
    Ok(())
}

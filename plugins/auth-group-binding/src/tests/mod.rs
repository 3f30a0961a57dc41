mod language;
mod oracle;
mod policy;

use crate::code::Op;
use crate::compile::compile;
use crate::machine::{self, Caller, Stop};
use opendepot_plugin_sdk::state;

/// Steps that no test's expression needs by right.
const STEPS: usize = 100_000;

/// Compiles, writes, reads and runs an expression, as `prepare` and `authorize` together do.
fn evaluate(expression: &str, groups: &[String]) -> Result<Result<bool, Stop>, String> {
    let written = state::write(1, &compile(expression)?).unwrap();
    let code: Vec<Op<&str>> = state::read(1, &written).unwrap();
    Ok(machine::run(&code, &Caller::new(groups), STEPS))
}

fn owned(groups: &[&str]) -> Vec<String> {
    groups.iter().map(|group| (*group).to_owned()).collect()
}

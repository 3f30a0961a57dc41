//! Prints the CustomResourceDefinitions, as `opendepot crds` does; for `cargo xtask crds`, which
//! need not build the binary for them.

#![expect(clippy::print_stdout, reason = "its output is its result")]

use opendepot_crds::to_yaml;

fn main() -> Result<(), opendepot_crds::Error> {
    to_yaml().map(|yaml| print!("{yaml}"))
}

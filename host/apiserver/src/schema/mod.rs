//! Structural schemas: compiled once a definition, applied to every write.
//!
//! Order, as in a cluster: drop unknown fields, drop nulls where null is not allowed, fill in
//! defaults, check values, then rules. On update, a part that did not change is not checked again
//! (ratcheting), so that a tighter definition does not lock existing objects.

mod cel;
mod compile;
mod default;
mod field_error;
mod format;
mod prune;
mod validate;

pub(crate) use field_error::{FieldError, child, item};

use compile::Node;
use serde_json::Value;

/// A compiled schema.
#[derive(Debug)]
pub(crate) struct Schema {
    root: Node,
}

impl Schema {
    /// # Errors
    /// What the schema contains that cannot be served, in words.
    pub(crate) fn compile(schema: &Value) -> Result<Self, String> {
        Node::compile(schema, "", 0).map(|root| Self { root })
    }

    /// Drops unknown fields and fills in defaults. Answers the paths that were dropped.
    pub(crate) fn normalise(&self, object: &mut Value) -> Vec<String> {
        let dropped = prune::prune(&self.root, object);
        default::drop_nulls(&self.root, object);
        default::apply(&self.root, object);
        dropped
    }

    /// Every problem, at most [`field_error::MAX_ERRORS`].
    pub(crate) fn validate(&self, object: &Value, old: Option<&Value>) -> Vec<FieldError> {
        let errors = validate::validate(&self.root, object, old);
        if errors.is_empty() {
            cel::validate(&self.root, object, old)
        } else {
            errors
        }
    }
}

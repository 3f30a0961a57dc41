//! What an expression is compiled to: flat code for a machine with a stack.
//!
//! Flat, so that neither reading it from the state nor running it recurses, whatever the expression.

use serde::{Deserialize, Serialize};

/// One step.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Op<T> {
    /// Pushes a truth.
    Bool(bool),
    /// Pushes a number.
    Integer(i64),
    /// Pushes a text.
    Text(T),
    /// Pushes the caller's groups.
    Groups,
    /// Pushes the item of the innermost loop.
    Item,
    /// Pushes a variable.
    Load(u8),
    /// Pops the next variable.
    Store,
    /// Pops as many texts, pushes their list.
    List(u16),
    /// Pushes whether the caller has this group.
    Holds(T),
    /// Pops a text, pushes whether it matches the pattern.
    Matches(T),
    /// Pops what a function takes, pushes what it gives.
    Call(Function),
    /// Goes on there.
    Jump(u16),
    /// Goes on there and leaves it, if the top is false; else pops it.
    JumpIfFalse(u16),
    /// Goes on there and leaves it, if the top is true; else pops it.
    JumpIfTrue(u16),
    /// Pops a truth; goes on there if it is false.
    Branch(u16),
    /// Pops a list and begins a loop over it, whose body follows; goes on there with its result if
    /// the list is empty.
    Begin(Loop, u16),
    /// Pops what the body gave; goes on there, which is the body, or ends the loop with its result.
    Next(u16),
}

/// What a loop makes of what its body gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Loop {
    Any,
    All,
    None,
    One,
    Count,
    Filter,
    Map,
}

/// What takes values and gives one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Function {
    Not,
    Negate,
    Equal,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    In,
    Contains,
    StartsWith,
    EndsWith,
    Concat,
    Add,
    Subtract,
    Index,
    Length,
    Lower,
    Upper,
    Trim,
    TrimPrefix,
    TrimSuffix,
    Split,
    Join,
    Replace,
    IndexOf,
}

/// The type of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Type {
    Bool,
    Integer,
    Text,
    List,
}

impl Type {
    /// What messages call it.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Bool => "true or false",
            Self::Integer => "a number",
            Self::Text => "a text",
            Self::List => "a list of texts",
        }
    }
}

/// Functions that loop over a list, by the names that expressions use.
pub(crate) const LOOPS: [(&str, Loop); 7] = [
    ("any", Loop::Any),
    ("all", Loop::All),
    ("none", Loop::None),
    ("one", Loop::One),
    ("count", Loop::Count),
    ("filter", Loop::Filter),
    ("map", Loop::Map),
];

impl Loop {
    /// What its body must give, and what it gives itself.
    pub(crate) const fn types(self) -> (Type, Type) {
        match self {
            Self::Any | Self::All | Self::None | Self::One => (Type::Bool, Type::Bool),
            Self::Count => (Type::Bool, Type::Integer),
            Self::Filter => (Type::Bool, Type::List),
            Self::Map => (Type::Text, Type::List),
        }
    }
}

/// Name, parameters and result of the other functions; `len` takes a text as well.
pub(crate) const FUNCTIONS: [(&str, &[Type], Type, Function); 12] = [
    ("len", &[Type::List], Type::Integer, Function::Length),
    ("lower", &[Type::Text], Type::Text, Function::Lower),
    ("upper", &[Type::Text], Type::Text, Function::Upper),
    ("trim", &[Type::Text], Type::Text, Function::Trim),
    (
        "trimPrefix",
        &[Type::Text, Type::Text],
        Type::Text,
        Function::TrimPrefix,
    ),
    (
        "trimSuffix",
        &[Type::Text, Type::Text],
        Type::Text,
        Function::TrimSuffix,
    ),
    (
        "hasPrefix",
        &[Type::Text, Type::Text],
        Type::Bool,
        Function::StartsWith,
    ),
    (
        "hasSuffix",
        &[Type::Text, Type::Text],
        Type::Bool,
        Function::EndsWith,
    ),
    (
        "split",
        &[Type::Text, Type::Text],
        Type::List,
        Function::Split,
    ),
    (
        "join",
        &[Type::List, Type::Text],
        Type::Text,
        Function::Join,
    ),
    (
        "replace",
        &[Type::Text, Type::Text, Type::Text],
        Type::Text,
        Function::Replace,
    ),
    (
        "indexOf",
        &[Type::Text, Type::Text],
        Type::Integer,
        Function::IndexOf,
    ),
];

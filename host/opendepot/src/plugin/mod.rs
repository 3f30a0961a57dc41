//! `opendepot plugin …`: what authors of plugins use.

mod check;

pub(crate) use check::check;

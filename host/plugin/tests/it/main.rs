//! The plugin host against guests written as text: kind ones and hostile ones.

mod auth;
mod built;
mod guests;
mod limits;
mod load;
mod scan;
mod storage;
mod support;

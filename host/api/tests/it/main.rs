//! The router in process, and the server on real sockets.

mod bytes;
mod capabilities;
mod checks;
mod damage;
mod documents;
mod errors;
mod hostile;
mod local;
mod server;
mod socket;
mod support;
mod wire;

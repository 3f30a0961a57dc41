//! Resolving names so that only addresses that pass the policy are connected to.
//!
//! The check is on the very addresses that the connection is then made to, so a second answer of
//! a rebinding name server is checked like the first.

use crate::egress::{EgressPolicy, Grant};
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;

/// The addresses of a name, to come.
pub type LookupFuture = Pin<Box<dyn Future<Output = io::Result<Vec<IpAddr>>> + Send>>;

/// Finds the addresses of names.
pub trait Lookup: Send + Sync + 'static {
    /// Starts to look a name up.
    fn lookup(&self, name: &str) -> LookupFuture;
}

/// The system's resolver.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemLookup;

impl Lookup for SystemLookup {
    fn lookup(&self, name: &str) -> LookupFuture {
        let name = name.to_owned();
        Box::pin(async move {
            let addresses = tokio::net::lookup_host((name, 0)).await?;
            Ok(addresses.map(|address| address.ip()).collect())
        })
    }
}

/// No address of a name may be connected to.
#[derive(Debug)]
pub(super) struct AddressRefused(&'static str);

impl fmt::Display for AddressRefused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl std::error::Error for AddressRefused {}

pub(super) struct GuardedResolver {
    policy: Arc<EgressPolicy>,
    grant: Grant,
    lookup: Arc<dyn Lookup>,
}

impl GuardedResolver {
    pub(super) fn new(policy: Arc<EgressPolicy>, grant: Grant, lookup: Arc<dyn Lookup>) -> Self {
        Self {
            policy,
            grant,
            lookup,
        }
    }
}

impl Resolve for GuardedResolver {
    fn resolve(&self, name: Name) -> Resolving {
        let looking = self.lookup.lookup(name.as_str());
        let (policy, grant) = (Arc::clone(&self.policy), self.grant);
        Box::pin(async move {
            let mut allowed = Vec::new();
            let mut refused = None;
            for address in looking.await? {
                match policy.check_address(address, grant, false) {
                    Ok(()) => allowed.push(SocketAddr::new(address, 0)),
                    Err(reason) => refused = Some(AddressRefused(reason)),
                }
            }
            match refused {
                Some(refused) if allowed.is_empty() => Err(refused.into()),
                _ => Ok(Box::new(allowed.into_iter()) as Addrs),
            }
        })
    }
}

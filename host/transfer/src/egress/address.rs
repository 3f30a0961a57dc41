//! What kind of address an address is, whatever form it is written in.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Addresses by what reaching them means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Class {
    /// Globally reachable.
    Public,
    /// Loopback, private, shared, ULA, documentation, benchmark and reserved ranges, and the
    /// tunnels that can lead to them.
    Private,
    /// Link-local.
    LinkLocal,
    /// A cloud's metadata service.
    Metadata,
    /// Unspecified, multicast, broadcast.
    Never,
}

/// Known metadata services that a range below does not already name.
const METADATA: [IpAddr; 5] = [
    IpAddr::V4(Ipv4Addr::new(169, 254, 169, 254)),
    // Container credentials.
    IpAddr::V4(Ipv4Addr::new(169, 254, 170, 2)),
    IpAddr::V4(Ipv4Addr::new(100, 100, 100, 200)),
    // A public address that is local to every Azure machine.
    IpAddr::V4(Ipv4Addr::new(168, 63, 129, 16)),
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254)),
];

/// The IPv4 address within a mapped or NAT64 address, else the address itself: both reach it.
pub(super) fn canonical(address: IpAddr) -> IpAddr {
    let IpAddr::V6(v6) = address else {
        return address;
    };
    if let Some(v4) = v6.to_ipv4_mapped() {
        return IpAddr::V4(v4);
    }
    match v6.segments() {
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] => {
            let [a, b] = high.to_be_bytes();
            let [c, d] = low.to_be_bytes();
            IpAddr::V4(Ipv4Addr::new(a, b, c, d))
        }
        _ => address,
    }
}

pub(super) fn classify(address: IpAddr) -> Class {
    if METADATA.contains(&address) {
        return Class::Metadata;
    }
    match address {
        IpAddr::V4(v4) => classify_v4(v4),
        IpAddr::V6(v6) => classify_v6(v6),
    }
}

// RFC 6890 and the IANA special-purpose registries.
fn classify_v4(address: Ipv4Addr) -> Class {
    match address.octets() {
        [0, 0, 0, 0] | [255, 255, 255, 255] | [224..=239, ..] => Class::Never,
        [169, 254, ..] => Class::LinkLocal,
        [0 | 10 | 127, ..]
        | [100, 64..=127, ..]
        | [172, 16..=31, ..]
        | [192, 168, ..]
        | [192, 0, 0 | 2, _]
        | [192, 88, 99, _]
        | [198, 18 | 19, ..]
        | [198, 51, 100, _]
        | [203, 0, 113, _]
        | [240..=255, ..] => Class::Private,
        _ => Class::Public,
    }
}

fn classify_v6(address: Ipv6Addr) -> Class {
    if address.is_unspecified() || address.is_multicast() {
        return Class::Never;
    }
    match address.segments() {
        [0xfe80..=0xfebf, ..] => Class::LinkLocal,
        // Teredo and the rest of 2001::/23, documentation, 6to4.
        [0x2001, 0..=0x1ff | 0xdb8, ..] | [0x2002, ..] | [0x3fff, 0..=0xfff, ..] => Class::Private,
        [0x2000..=0x3fff, ..] => Class::Public,
        // Loopback, ULA, site-local, IPv4-compatible, discard and whatever is not yet global.
        _ => Class::Private,
    }
}

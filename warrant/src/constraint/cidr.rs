//! Addresses inside a network.

use crate::constraint::Verdict;
use std::net::IpAddr;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cidr {
    text: String,
    network: Option<Network>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Network {
    v4: bool,
    /// Left-aligned, host bits cleared.
    bits: u128,
    prefix: u32,
}

fn aligned(address: IpAddr) -> (bool, u128) {
    match address {
        IpAddr::V4(v4) => (true, u128::from(v4.to_bits()) << 96),
        IpAddr::V6(v6) => (false, v6.to_bits()),
    }
}

fn mask(prefix: u32) -> u128 {
    u128::MAX.checked_shl(128 - prefix).unwrap_or(0)
}

impl Cidr {
    pub fn new(text: &str) -> Self {
        Self { text: text.to_owned(), network: Network::parse(text) }
    }

    pub fn text(&self) -> &str {
        &self.text
    }

    pub fn is_clean(&self) -> bool {
        self.network.is_some()
    }

    pub(super) fn check(&self, value: &str) -> Verdict {
        let Some(network) = self.network else { return Verdict::Doubtful("the network cannot be read") };
        let Some(address) = value.parse::<IpAddr>().ok().filter(|address| address.to_string() == value)
        else {
            return Verdict::Doubtful("not an address in its plain form");
        };
        if let IpAddr::V6(v6) = address
            && v6.to_ipv4().is_some()
            && network.v4
        {
            return Verdict::Doubtful("an IPv4 address inside IPv6");
        }
        let (v4, bits) = aligned(address);
        if v4 == network.v4 && bits & mask(network.prefix) == network.bits {
            Verdict::Matches
        } else {
            Verdict::Differs("outside the network")
        }
    }

    pub(super) fn narrows(&self, parent: &Self) -> bool {
        let (Some(own), Some(held)) = (self.network, parent.network) else { return false };
        own.v4 == held.v4 && own.prefix >= held.prefix && own.bits & mask(held.prefix) == held.bits
    }
}

impl Network {
    fn parse(text: &str) -> Option<Self> {
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().ok()?;
        let width = if address.is_ipv4() { 32 } else { 128 };
        let prefix = match prefix {
            None => width,
            Some(prefix) => {
                let number: u32 = prefix.parse().ok()?;
                (number <= width && number.to_string() == prefix).then_some(number)?
            }
        };
        let (v4, bits) = aligned(address);
        Some(Self { v4, bits: bits & mask(prefix), prefix })
    }
}

//! The `ip` scheme: addresses and CIDR ranges, IPv4 and IPv6 (IPAuthenticationProvider).

use std::net::IpAddr;

/// An address as bytes; a range of one family never matches an address of the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Address {
    V4([u8; 4]),
    V6([u8; 16]),
}

impl Address {
    fn bits(self) -> u32 {
        match self {
            Self::V4(_) => 32,
            Self::V6(_) => 128,
        }
    }

    fn masked(self, bits: u32) -> Self {
        match self {
            Self::V4(b) => {
                let mask = u32::MAX.checked_shl(32 - bits.min(32)).unwrap_or(0);
                Self::V4((u32::from_be_bytes(b) & mask).to_be_bytes())
            }
            Self::V6(b) => {
                let mask = u128::MAX.checked_shl(128 - bits.min(128)).unwrap_or(0);
                Self::V6((u128::from_be_bytes(b) & mask).to_be_bytes())
            }
        }
    }
}

/// The text of a peer's address as ZooKeeper writes it: IPv6 in eight groups without `::`, and an
/// IPv4 address in IPv6 clothes as the IPv4 address.
pub fn address_text(peer: IpAddr) -> String {
    match peer.to_canonical() {
        IpAddr::V4(v4) => v4.to_string(),
        IpAddr::V6(v6) => {
            let groups: Vec<String> = v6.segments().iter().map(|s| format!("{s:x}")).collect();
            groups.join(":")
        }
    }
}

/// Whether `range` (an address or `address/bits`) may stand in an ACL.
pub fn is_valid_cidr(range: &str) -> bool {
    parse_cidr(range).is_some()
}

/// Whether the address `id` lies in `range`. Text that is no address matches nothing.
pub fn cidr_matches(id: &str, range: &str) -> bool {
    let (Some((base, bits)), Some(id)) = (parse_cidr(range), parse_address(id)) else {
        return false;
    };
    base.masked(bits) == id.masked(bits)
}

fn parse_cidr(range: &str) -> Option<(Address, u32)> {
    let (address, bits) = match range.split_once('/') {
        Some((address, bits)) => (parse_address(address)?, bits.parse::<i32>().ok()?),
        None => {
            let address = parse_address(range)?;
            return Some((address, address.bits()));
        }
    };
    let bits = u32::try_from(bits).ok()?;
    (bits <= address.bits()).then_some((address, bits))
}

// Not std's parsers: ZooKeeper's accept leading zeros and signs in groups, and no dotted tail in
// IPv6; what it let into a tree's ACLs has to be understood the same way here.
fn parse_address(text: &str) -> Option<Address> {
    if text.contains(':') {
        parse_v6(text).map(Address::V6)
    } else {
        parse_v4(text).map(Address::V4)
    }
}

fn parse_v4(text: &str) -> Option<[u8; 4]> {
    let mut parts = text.split('.');
    let mut bytes = [0u8; 4];
    for byte in &mut bytes {
        *byte = u8::try_from(parts.next()?.parse::<i32>().ok()?).ok()?;
    }
    parts.next().is_none().then_some(bytes)
}

fn parse_v6(text: &str) -> Option<[u8; 16]> {
    let mut halves = text.split("::");
    let (head, tail) = (halves.next()?, halves.next());
    if halves.next().is_some() {
        return None;
    }
    let head = parse_groups(head)?;
    let tail = match tail {
        None if head.len() == 8 => Vec::new(),
        None => return None,
        Some(tail) => parse_groups(tail)?,
    };
    // A `::` stands for one group at least; without one, the eight are all in the head.
    if head.len() + tail.len() > 8 || (text.contains("::") && head.len() + tail.len() == 8) {
        return None;
    }
    let mut groups = [0u16; 8];
    groups[..head.len()].copy_from_slice(&head);
    groups[8 - tail.len()..].copy_from_slice(&tail);
    let mut bytes = [0u8; 16];
    for (pair, group) in bytes.chunks_exact_mut(2).zip(groups) {
        pair.copy_from_slice(&group.to_be_bytes());
    }
    Some(bytes)
}

fn parse_groups(text: &str) -> Option<Vec<u16>> {
    if text.is_empty() {
        return Some(Vec::new());
    }
    let mut groups = Vec::with_capacity(8);
    for group in text.split(':') {
        if group.is_empty() || group.len() > 4 || groups.len() == 8 {
            return None;
        }
        groups.push((i32::from_str_radix(group, 16).ok()? & 0xffff) as u16);
    }
    Some(groups)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges() {
        for (id, range, want) in [
            ("10.1.2.3", "10.1.2.3", true),
            ("10.1.2.3", "10.1.2.4", false),
            ("10.1.2.3", "10.0.0.0/8", true),
            ("11.1.2.3", "10.0.0.0/8", false),
            ("10.1.2.3", "10.1.2.0/30", true),
            ("10.1.2.4", "10.1.2.0/30", false),
            ("255.255.255.255", "0.0.0.0/0", true),
            ("0:0:0:0:0:0:0:1", "::1", true),
            ("2001:db8:0:0:1:2:3:4", "2001:db8::/32", true),
            ("2001:db9:0:0:1:2:3:4", "2001:db8::/32", false),
            ("2001:db8:0:0:1:2:3:4", "2001:db8::/33", true),
            ("2001:db8:8000:0:1:2:3:4", "2001:db8::/33", false),
            ("2001:db8:0:0:1:2:3:4", "::/0", true),
            // The families do not mix.
            ("10.1.2.3", "::/0", false),
            ("0:0:0:0:0:0:0:1", "0.0.0.0/0", false),
            ("nonsense", "0.0.0.0/0", false),
        ] {
            assert_eq!(cidr_matches(id, range), want, "{id} in {range}");
        }
    }

    #[test]
    fn what_may_stand_in_an_acl() {
        for good in
            ["1.2.3.4", "1.2.3.4/0", "1.2.3.4/32", "::", "1::", "::1", "1:2:3:4:5:6:7:8/128"]
        {
            assert!(is_valid_cidr(good), "{good}");
        }
        for bad in [
            "",
            "1",
            "1.2.3",
            "1.2.3.4.5",
            "1.2.3.256",
            "1.2.3.-1",
            "1.2.3.4/33",
            "1.2.3.4/-1",
            "1.2.3.4/",
            "1.2.3.4/8/8",
            "1.2.3.x",
            ":::",
            "1:2:3:4:5:6:7",
            "1:2:3:4:5:6:7:8:9",
            "1:2:3:4::5:6:7:8",
            "1::2::3",
            "12345::",
            "::g",
            "::/129",
            "::ffff:1.2.3.4",
            "fe80::1%1",
        ] {
            assert!(!is_valid_cidr(bad), "{bad}");
        }
    }

    #[test]
    fn addresses_read_as_java_writes_them() {
        assert_eq!(address_text("::1".parse().unwrap()), "0:0:0:0:0:0:0:1");
        assert_eq!(address_text("2001:db8::a".parse().unwrap()), "2001:db8:0:0:0:0:0:a");
        assert_eq!(address_text("::ffff:10.0.0.1".parse().unwrap()), "10.0.0.1");
    }
}

//! The text of an ensemble's configuration: refused, or printed and read again as the same.
#![no_main]

use libfuzzer_sys::fuzz_target;
use ringkeeper::zab::wire::{Members, read_config};

fuzz_target!(|bytes: &[u8]| {
    let Ok(config) = read_config(bytes) else { return };
    assert_eq!(config.text.as_bytes(), bytes);
    let members = Members::parse(&config.text).expect("it was read before");
    assert_eq!(members.servers.len(), config.servers.len());
    let printed = members.to_string();
    // Hosts may hold what the syntax escapes, which ZooKeeper prints unescaped too.
    let plain = |c: char| c.is_ascii_graphic() && c != '\\';
    if members.servers.iter().flat_map(|s| &s.addresses).all(|a| a.host.chars().all(plain))
        && members.servers.iter().flat_map(|s| &s.client).all(|(host, _)| host.chars().all(plain))
    {
        let again = Members::parse(&printed).expect("what we print can be read");
        assert_eq!(again.to_string(), printed);
    }
});

//! The text of a configuration.

use super::*;

#[test]
fn configurations_are_zookeepers() {
    let text = "server.1=one.example:2888:3888:participant;0.0.0.0:2181\n\
                server.2=[fd00::2]:2888:3888|two.example:2889:3889:observer;[::]:2181\n\
                server.3=c:1:2:participant\n\
                server.4=d:1:2:participant\n\
                group.1=1:3\n\
                group.2=4\n\
                weight.1=1\n\
                weight.3=0\n\
                weight.4=5\n\
                version=10000000f";
    let members = Members::parse(text).unwrap();
    assert_eq!(members.to_string(), text);
    let config = members.to_config(text);
    assert_eq!((config.version, &*config.text), (0x1_0000_000f, text));
    assert_eq!(config.servers[1].quorum_address, "[fd00::2]:2888|two.example:2889");
    assert_eq!(config.servers[1].kind, ServerKind::Observer);
    let groups: Vec<_> = config.servers.iter().map(|s| (s.group, s.weight)).collect();
    assert_eq!(groups, [(Some(1), 1), (None, 1), (Some(1), 0), (Some(2), 5)]);
    // As a person writes it.
    let short = Members::parse(" server.1 = a:1:2\nserver.1: b:1:2;2181\n");
    let short = short.expect("blanks and doubles are taken");
    assert_eq!(short.to_string(), "server.1=b:1:2:participant;0.0.0.0:2181\nversion=0");
}

#[test]
fn texts_that_are_no_configuration() {
    let cases = [
        ("", "there is no participant"),
        ("version=1", "there is no participant"),
        ("server.1=a:1:2:observer", "there is no participant"),
        ("tickTime=2000", "tickTime is no key of an ensemble's configuration"),
        ("server.x=a:1:2", "server.x is no key of an ensemble's configuration"),
        ("version=xyz", "version=xyz: not a zxid in hexadecimal digits"),
        ("version=-5", "version=-5: not a zxid in hexadecimal digits"),
        ("server.1=a:1", "server.1=a:1: not of the form host:port:port[:type][;[host:]port]"),
        ("server.1=a:1:1", "server.1=a:1:1: the quorum port and the election port are the same"),
        (
            "server.1=a:1:2:leader",
            "server.1=a:1:2:leader: the type is neither participant nor observer",
        ),
        ("server.1=a:1:99999", "server.1=a:1:99999: a port is no number up to 65535"),
        ("server.1=[::1:1:2", "server.1=[::1:1:2: a [ without its ]:"),
        ("server.1=:1:2", "server.1=:1:2: the host is missing"),
        (
            "server.1=a:1:2:observer|b:1:2:participant",
            "server.1=a:1:2:observer|b:1:2:participant: the addresses do not agree on the type",
        ),
        ("server.1=a:1:2\nserver.2=b:1:2\ngroup.1=1", "server.2 votes and is in no group"),
        ("server.1=a:1:2\ngroup.1=1\ngroup.2=1", "server.1 is in more than one group"),
        ("server.1=a:1:2\nweight.1=-1\ngroup.1=1", "weight.1=-1: not a weight"),
        ("server.1=a:1:2\ngroup.1=x", "group.1=x: not a number"),
        ("server.1=a:1:2\\u12", "line 1: \\u must be followed by four hex digits"),
    ];
    for (text, message) in cases {
        assert_eq!(Members::parse(text).expect_err(text).to_string(), message);
    }
    let latin = read_config(b"server.1=\xe9:1:2").unwrap_err();
    assert_eq!(latin, MembersError::Utf8 { valid_up_to: 9 });
}

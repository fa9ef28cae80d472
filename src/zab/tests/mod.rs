//! Tests of the core. Scenarios are text, in `testdata/`; see [`script`].

mod chaos;
mod election;
mod ensembles;
mod garbage;
mod script;
mod tables;
mod world;

use super::*;
use script::Command;

fn settings() -> ZabConfig {
    ZabConfig { tick_ms: 100, notification_max_ms: 2000, ..ZabConfig::new(0) }
}

/// `3.1f`: epoch and counter in hex.
fn zxid(text: &str) -> Zxid {
    if text == "-1" {
        return -1;
    }
    let (epoch, counter) = text.split_once('.').unwrap_or_else(|| panic!("no zxid: {text}"));
    let part = |text| i64::from_str_radix(text, 16).unwrap();
    make_zxid(part(epoch), part(counter))
}

/// `1,2,3`; `-` and nothing are none.
fn number_list(text: &str) -> Vec<i64> {
    text.split(',')
        .map(str::trim)
        .filter(|text| !text.is_empty() && *text != "-")
        .map(|text| text.parse().unwrap_or_else(|_| panic!("no number: {text}")))
        .collect()
}

/// `voters=1,2,3 observers=4 groups=1,2/3 weights=1:2,3:0`
fn config_of(command: &Command<'_>, voters: &str, observers: &str) -> EnsembleConfig {
    let list = |key: &str| command.value(key).map(number_list).unwrap_or_default();
    let mut config = EnsembleConfig::plain(0, &list(voters), &list(observers));
    for (group, sids) in command.value("groups").into_iter().flat_map(|g| g.split('/')).enumerate()
    {
        for sid in number_list(sids) {
            let server = config.servers.iter_mut().find(|server| server.sid == sid).unwrap();
            server.group = Some(group as i64);
        }
    }
    for pair in command.value("weights").into_iter().flat_map(|text| text.split(',')) {
        let (sid, weight) = pair.split_once(':').unwrap();
        let sid: Sid = sid.parse().unwrap();
        let server = config.servers.iter_mut().find(|server| server.sid == sid).unwrap();
        server.weight = weight.parse().unwrap();
    }
    config
}

//! Elections, as one server sees them.

use std::fmt::Write as _;

use super::super::types::Show;
use super::super::*;
use super::script::{self, Command};
use super::{config_of, zxid};

#[test]
fn elections() {
    let mut voter = None;
    assert!(script::run_file("election.txt", |command| run(&mut voter, command)) >= 60);
}

struct Voter {
    zab: Zab,
    now: u64,
}

fn run(voter: &mut Option<Voter>, command: &Command<'_>) -> String {
    if command.name == "server" {
        let number = |key: &str| command.value(key).map_or(0, |text| text.parse().unwrap());
        let config = config_of(command, "voters", "observers");
        let config = EnsembleConfig { version: number("version"), ..config };
        let logged = command.value("logged").map_or(0, zxid);
        let durable = Durable {
            accepted_epoch: number("epoch"),
            current_epoch: number("epoch"),
            last_logged: logged,
            committed: command.value("committed").map_or(logged, zxid),
            intact: !command.words.contains(&"damaged"),
            config: config.into(),
            proposed_config: command.value("proposed").map(|_| {
                (
                    logged,
                    EnsembleConfig { version: logged, ..config_of(command, "proposed", "-") }
                        .into(),
                )
            }),
        };
        let settings = ZabConfig { tick_ms: 100, ..ZabConfig::new(number("sid")) };
        *voter = Some(Voter { zab: Zab::new(settings, durable, 0), now: 0 });
        return told(voter.as_mut().unwrap());
    }
    let voter = voter.as_mut().expect("a server first");
    match command.name {
        "hear" => {
            let from = command.value("from").unwrap().parse().unwrap();
            voter.zab.handle_notification(from, notification(command, from));
        }
        "time" => {
            voter.now += command.words[0].parse::<u64>().unwrap();
            voter.zab.handle_time(voter.now);
        }
        "link" => voter.zab.handle_election_link(command.words[0].parse().unwrap()),
        "stored" => {
            let token = command.words[0].parse().unwrap();
            voter.zab.handle_epochs_stored(token);
        }
        // The leader takes our first connection, and names its epoch.
        "connected" => voter.zab.handle_connected(1, ConnId(1)),
        "leader-info" => {
            let epoch = command.words[0].parse().unwrap();
            let packet = Packet::LeaderInfo { epoch, protocol_version: 0x10000 };
            voter.zab.handle_packet(ConnId(1), packet);
        }
        other => panic!("{other}"),
    }
    told(voter)
}

/// `hear from=1 vote=1 epoch=3 zxid=3.5 round=1 [looking|following|leading|observing]`
fn notification(command: &Command<'_>, from: Sid) -> Notification {
    let number = |key: &str| command.value(key).map(|text| text.parse::<i64>().unwrap());
    let state = match command.words.iter().find(|word| !word.contains('=')) {
        Some(&"following") => PeerState::Following,
        Some(&"leading") => PeerState::Leading,
        Some(&"observing") => PeerState::Observing,
        _ => PeerState::Looking,
    };
    let none = command.words.contains(&"vote=none");
    Notification {
        state,
        leader: if none { i64::MIN } else { number("vote").unwrap_or(from) },
        zxid: if none { i64::MIN } else { command.value("zxid").map_or(0, zxid) },
        election_epoch: number("round").unwrap_or(1),
        peer_epoch: if none { i64::MIN } else { number("epoch").unwrap_or(0) },
        version: number("message-version").unwrap_or(2) as i32,
        config: command.value("config").map(|_| {
            let version = number("version").unwrap();
            EnsembleConfig { version, ..config_of(command, "config", "-") }.into()
        }),
    }
}

/// What the server does, in words; the same notification to several servers in one line.
fn told(voter: &mut Voter) -> String {
    let mut actions = Vec::new();
    voter.zab.take_actions(&mut actions);
    let mut lines: Vec<(String, Vec<Sid>)> = Vec::new();
    let mut roles = Vec::new();
    for action in actions {
        match action {
            Action::SendElection { to, message } => {
                let text = describe(&message);
                match lines.last_mut() {
                    Some((last, sids)) if *last == text => sids.push(to),
                    _ => lines.push((text, vec![to])),
                }
            }
            Action::Role(Role::Looking) => roles.push("looks".to_owned()),
            Action::Role(Role::Leading { epoch: 0, .. }) => roles.push("leads".to_owned()),
            Action::Role(Role::Leading { epoch, serving: true }) => {
                roles.push(format!("leads epoch {epoch}"));
            }
            Action::Role(Role::Learning { leader, observer, epoch: 0, .. }) => {
                roles.push(format!("{} {leader}", if observer { "observes" } else { "follows" }));
            }
            Action::Role(Role::Learning { epoch, .. }) => {
                roles.push(format!("accepts epoch {epoch}"))
            }
            Action::Close { reason: CloseReason::Refused(text), .. } => {
                roles.push(format!("refuses: {text}"));
            }
            Action::Activate { config } => roles.push(format!("activates {:x}", config.version)),
            Action::StoreEpochs { accepted, current, .. } => {
                roles.push(format!("stores accepted {accepted} current {current}"));
            }
            _ => {}
        }
    }
    let mut out = String::new();
    for (text, sids) in lines {
        let sids: Vec<String> = sids.iter().map(ToString::to_string).collect();
        writeln!(out, "to {}: {text}", sids.join(",")).unwrap();
    }
    for role in roles {
        writeln!(out, "{role}").unwrap();
    }
    if out.is_empty() { "nothing".to_owned() } else { out }
}

fn describe(n: &Notification) -> String {
    let state = match n.state {
        PeerState::Looking => "looking",
        PeerState::Following => "following",
        PeerState::Leading => "leading",
        PeerState::Observing => "observing",
    };
    if n.leader == i64::MIN {
        return format!("{state}, no vote, round {}", n.election_epoch);
    }
    format!(
        "{state}, vote {} with epoch {} and {}, round {}",
        n.leader,
        n.peer_epoch,
        Show(n.zxid),
        n.election_epoch
    )
}

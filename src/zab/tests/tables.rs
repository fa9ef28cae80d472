//! Tables: quorum arithmetic and the choice of a sync, line by line.

use std::fmt::Write as _;

use super::super::history::{Entry, History};
use super::super::reconfig::{Membership, designate};
use super::super::sync::{self, Plan, View};
use super::super::types::Show;
use super::super::*;
use super::script::{self, Command};
use super::{config_of, number_list, zxid};

#[test]
fn quorums() {
    assert!(script::run_file("quorum.txt", quorum) >= 20);
}

#[test]
fn choice_of_a_sync() {
    assert!(script::run_file("sync.txt", |command| choose(command, Mistakes::default())) >= 18);
    let mistakes = Mistakes::plant(Mistake::TruncAcrossEpoch);
    assert!(script::differs("sync.txt", |command| choose(command, mistakes)), "no line shows it");
}

#[test]
fn joint_quorums_and_designated_leaders() {
    assert!(script::run_file("joint.txt", joint) >= 12);
}

fn quorum(command: &Command<'_>) -> String {
    let config = config_of(command, "voters", "observers");
    let mut out = String::new();
    for line in &command.lines {
        let answer = match command.name {
            "quorum" => {
                let have = number_list(line);
                let yes =
                    quorum::is_quorum(&config, |sid| have.contains(&sid), Mistakes::default());
                (if yes { "a quorum" } else { "no quorum" }).to_owned()
            }
            "acked" => {
                let acked = acks(line);
                let get = |sid| acked.iter().find(|(s, _)| *s == sid).map(|(_, z)| *z);
                let through = quorum::acked_by_quorum(&config, get, Mistakes::default());
                through.map_or("nothing".to_owned(), |z| format!("through {}", Show(z)))
            }
            other => panic!("{other}"),
        };
        writeln!(out, "{line:<24} {answer}").unwrap();
    }
    out
}

/// `1:1.5 2:1.3`
fn acks(line: &str) -> Vec<(Sid, Zxid)> {
    line.split_whitespace()
        .map(|pair| {
            let (sid, acked) = pair.split_once(':').unwrap();
            (sid.parse().unwrap(), zxid(acked))
        })
        .collect()
}

fn choose(command: &Command<'_>, mistakes: Mistakes) -> String {
    // choose begins=4.6 log=4.7,4.8 committed=4.7
    let begins = zxid(command.value("begins").unwrap());
    let mut history = History::new(begins, begins, begins, Generation(1));
    for text in command.value("log").unwrap_or("").split(',').filter(|text| !text.is_empty()) {
        let entry = Entry { zxid: zxid(text), txn: Txn::from(&b"x"[..]), config: None };
        history.push(entry);
    }
    let end = command.value("committed").map_or(history.last(), zxid);
    let mut out = String::new();
    for line in &command.lines {
        let peer = if *line == "-1" { -1 } else { zxid(line) };
        let view = View {
            floor: history.floor(peer.min(end)),
            too_much: command.words.contains(&"dear"),
            force_snapshot: command.words.contains(&"forced"),
        };
        let text = match sync::choose(view, peer, mistakes) {
            Plan::Diff { after } => format!("DIFF after {}", Show(after)),
            Plan::Trunc { to } => format!("TRUNC to {}", Show(to)),
            Plan::Snap => "SNAP".to_owned(),
        };
        writeln!(out, "{line:<8} {text}").unwrap();
    }
    out
}

fn joint(command: &Command<'_>) -> String {
    let old = config_of(command, "old", "old-observers");
    let new = config_of(command, "new", "new-observers");
    let at = zxid(command.value("at").unwrap());
    let mut out = String::new();
    for line in &command.lines {
        let acked = acks(line);
        let get = |sid| acked.iter().find(|(s, _)| *s == sid).map(|(_, z)| *z);
        let answer = match command.name {
            "joint" => {
                let membership = Membership {
                    active: old.clone().into(),
                    proposed: Some((at, new.clone().into())),
                    mistakes: Mistakes::default(),
                };
                let through = membership.acked(get);
                let elects = membership.is_quorum(|sid| get(sid).is_some());
                format!(
                    "{}; {}",
                    through.map_or("nothing".to_owned(), |z| format!("through {}", Show(z))),
                    if elects { "may elect" } else { "may not elect" }
                )
            }
            "designate" => {
                let present = command.value("present").unwrap().parse().unwrap();
                let wanted = command.value("wanted").map(|sid| sid.parse().unwrap());
                designate(&old, &new, at, present, wanted, get)
                    .map_or("nobody".to_owned(), |sid| format!("{sid} is to lead"))
            }
            other => panic!("{other}"),
        };
        writeln!(out, "{line:<32} {answer}").unwrap();
    }
    out
}

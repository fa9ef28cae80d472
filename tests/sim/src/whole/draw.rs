//! What clients ask for, drawn: few znodes, so that they meet.

use ringkeeper::protocol::CreateMode;

use super::model::parent;
use super::plan::Plan;
use super::request::{Ask, Change};
use super::watches::{Kind, Watches};
use crate::random::Random;

/// Under it everything happens.
pub const HOME: &str = "/w";
/// The znode of many children, and how many.
const CROWD: &str = "/w/crowd";
const CROWD_CHILDREN: usize = 2_300;
/// Creations in one multi of those.
const CROWD_AT_ONCE: usize = 100;

/// What the first client does before it does anything else, in turn from the last one on.
pub fn stage(crowd: bool) -> Vec<Ask> {
    let create = |path: &str| Change::Create {
        path: path.into(),
        data: Vec::new(),
        mode: CreateMode::Persistent,
    };
    let mut asks = vec![Ask::Change(create(HOME))];
    if crowd {
        asks.push(Ask::Change(create(CROWD)));
        let names: Vec<String> = (0..CROWD_CHILDREN).map(|i| format!("{CROWD}/{i}")).collect();
        let multi = |names: &[String]| Ask::Multi(names.iter().map(|name| create(name)).collect());
        asks.extend(names.chunks(CROWD_AT_ONCE).map(multi));
        asks.reverse();
        return asks;
    }
    asks
}

/// A znode's path: few, so that clients meet.
fn path(r: &mut Random) -> String {
    match r.below(10) {
        0 => HOME.into(),
        1..=6 => format!("{HOME}/{}", (b'a' + r.below(5) as u8) as char),
        _ => format!("{HOME}/{}/{}", (b'a' + r.below(3) as u8) as char, r.below(3)),
    }
}

fn data(r: &mut Random, most: u64) -> Vec<u8> {
    let n = r.below(most + 1) as usize;
    (0..n).map(|i| (i as u64 ^ r.bits()) as u8).collect()
}

fn version(r: &mut Random) -> i32 {
    if r.chance(800) { -1 } else { r.below(4) as i32 }
}

fn below_home(r: &mut Random) -> String {
    loop {
        let path = path(r);
        if path != HOME {
            return path;
        }
    }
}

fn change(r: &mut Random, most: u64) -> Change {
    match r.below(10) {
        0..=3 => {
            let mode = match r.below(10) {
                0..=5 => CreateMode::Persistent,
                6..=7 => CreateMode::Ephemeral,
                8 => CreateMode::EphemeralSequential,
                _ => CreateMode::Persistent,
            };
            Change::Create { path: below_home(r), data: data(r, most), mode }
        }
        4..=7 => Change::SetData { path: path(r), data: data(r, most), version: version(r) },
        _ => Change::Delete { path: below_home(r), version: version(r) },
    }
}

/// A child of the crowd comes or goes.
fn change_crowd(r: &mut Random) -> Change {
    let path = format!("{CROWD}/{}", r.below(CROWD_CHILDREN as u64));
    match r.chance(500) {
        true => Change::Create { path, data: Vec::new(), mode: CreateMode::Persistent },
        false => Change::Delete { path, version: -1 },
    }
}

/// A path has one mode of lasting watch, so that a client's books need not know what replaces what.
fn is_recursive(path: &str) -> bool {
    parent(path) == "/" || path.ends_with('b')
}

/// A client's next request.
pub fn draw(r: &mut Random, plan: &Plan, watches: &Watches) -> Ask {
    if r.chance(plan.write) {
        if plan.crowd && r.chance(200) {
            return Ask::Change(change_crowd(r));
        }
        return match r.below(10) {
            0..=7 => Ask::Change(change(r, plan.data)),
            _ => {
                let n = r.between(1, 4);
                let mut changes: Vec<Change> = (0..n).map(|_| change(r, plan.data)).collect();
                if r.chance(300) {
                    changes.push(Change::Check { path: path(r), version: version(r) });
                }
                Ask::Multi(changes)
            }
        };
    }
    let watch = r.chance(plan.watch);
    if plan.crowd && r.chance(30) {
        return match r.chance(800) {
            true => Ask::GetChildren(CROWD.into(), watch),
            false => Ask::MultiRead(vec![path(r)], vec![CROWD.into(), HOME.into()]),
        };
    }
    match r.below(20) {
        0..=6 => Ask::GetData(path(r), watch),
        7..=9 => Ask::Exists(path(r), watch),
        10..=13 => Ask::GetChildren(path(r), watch),
        14 => Ask::MultiRead(vec![path(r), path(r)], vec![path(r)]),
        15 => Ask::Sync(path(r)),
        16 => Ask::GetEphemerals,
        17 => Ask::Ping,
        18 if watch => {
            let path = path(r);
            let recursive = is_recursive(&path);
            Ask::AddWatch(path, recursive)
        }
        19 if !watches.is_empty() => {
            let at = r.below(watches.len() as u64) as usize;
            match watches.all().nth(at) {
                Some((path, kind)) => Ask::RemoveWatches(path.to_string(), kind),
                None => Ask::RemoveWatches(HOME.into(), Kind::Child),
            }
        }
        _ => Ask::GetData(path(r), watch),
    }
}

//! Whatever a peer sends, in whatever order: the core does not panic, and goes on.

use std::sync::Arc;

use super::super::*;
use super::chaos::Dice;

fn any_zxid(dice: &mut Dice) -> Zxid {
    match dice.roll(12) {
        0 => -1,
        1 => i64::MIN,
        2 => i64::MAX,
        _ => make_zxid(dice.roll(4) as i64, dice.roll(5) as i64),
    }
}

fn any_epoch(dice: &mut Dice) -> Epoch {
    match dice.roll(12) {
        0 => i64::MIN,
        1 => i64::MAX,
        2 => i64::from(i32::MAX),
        _ => dice.roll(4) as i64,
    }
}

fn any_config(dice: &mut Dice) -> Option<Arc<EnsembleConfig>> {
    let voters: Vec<Sid> = (1..=dice.roll(5) as i64).collect();
    let version = any_zxid(dice);
    (!dice.one_in(2)).then(|| Arc::new(EnsembleConfig::plain(version, &voters, &[9])))
}

fn any_packet(dice: &mut Dice) -> Packet {
    let zxid = any_zxid(dice);
    let txn: Txn = Arc::from(&b"txn"[..]);
    let info = LearnerInfo {
        sid: (!dice.one_in(8)).then(|| dice.roll(5) as i64),
        protocol_version: if dice.one_in(8) { 1 } else { 0x10000 },
        config_version: if dice.one_in(8) { 99 } else { 0 },
    };
    let request =
        LearnerRequest { session: 1, cxid: 1, kind: 1, body: Arc::from([]), auth: Vec::new() };
    match dice.roll(22) {
        0 => Packet::FollowerInfo { accepted_epoch: any_epoch(dice), info },
        1 => Packet::ObserverInfo { accepted_epoch: any_epoch(dice), info },
        2 => Packet::LeaderInfo { epoch: any_epoch(dice), protocol_version: 0x10000 },
        3 => Packet::AckEpoch {
            last_zxid: zxid,
            current_epoch: (!dice.one_in(3)).then(|| any_epoch(dice)),
        },
        4 => Packet::Diff { zxid },
        5 => Packet::Trunc { zxid },
        6 => Packet::Snap { zxid },
        7 | 8 => Packet::NewLeader { epoch: any_epoch(dice), config: any_config(dice) },
        9 => Packet::UpToDate,
        10..13 => Packet::Proposal {
            zxid,
            txn,
            config: if dice.one_in(4) { any_config(dice) } else { None },
        },
        13 | 14 => Packet::Ack { zxid },
        15 | 16 => Packet::Commit { zxid },
        17 => Packet::CommitAndActivate { zxid, designated_leader: dice.roll(5) as i64 },
        18 => Packet::Inform { zxid, txn },
        19 => Packet::InformAndActivate {
            zxid,
            designated_leader: dice.roll(5) as i64,
            txn,
            config: any_config(dice),
        },
        20 => Packet::Ping { zxid, touched: vec![(1, 2)] },
        _ => match dice.roll(4) {
            0 => Packet::Revalidate { session: 1, timeout_ms: 1 },
            1 => Packet::Revalidated { session: 1, valid: true },
            2 => Packet::Request(request),
            _ => Packet::Sync,
        },
    }
}

/// A packet that the core may be waiting for, so that the nonsense reaches its later phases too.
fn likely_packet(dice: &mut Dice, role: Role, epoch: Epoch) -> Packet {
    let next = make_zxid(epoch, dice.roll(3) as i64);
    let info = LearnerInfo {
        sid: Some(1 + dice.roll(3) as i64),
        protocol_version: 0x10000,
        config_version: 0,
    };
    if let Role::Leading { .. } = role {
        return match dice.roll(3) {
            0 => Packet::FollowerInfo { accepted_epoch: 0, info },
            1 => Packet::AckEpoch { last_zxid: 0, current_epoch: Some(0) },
            _ => Packet::Ack { zxid: next },
        };
    }
    match dice.roll(7) {
        0 => Packet::LeaderInfo { epoch: epoch.max(1), protocol_version: 0x10000 },
        1 => Packet::Diff { zxid: next },
        2 => Packet::Snap { zxid: next },
        3 => Packet::NewLeader { epoch: epoch.max(1), config: None },
        4 => Packet::UpToDate,
        5 => Packet::Commit { zxid: next },
        _ => Packet::Proposal { zxid: next, txn: Arc::from(&b"txn"[..]), config: None },
    }
}

/// Answers what the core asks for, as a driver would.
fn answer(dice: &mut Dice, zab: &mut Zab, log: &mut Zxid, conns: &mut Vec<ConnId>, next: &mut u64) {
    let mut actions = Vec::new();
    zab.take_actions(&mut actions);
    for action in actions {
        match action {
            Action::Connect { attempt, .. } => {
                if dice.one_in(4) {
                    zab.handle_connect_failed(attempt);
                } else {
                    *next += 1;
                    conns.push(ConnId(*next));
                    zab.handle_connected(attempt, ConnId(*next));
                }
            }
            Action::Close { conn, .. } => conns.retain(|other| *other != conn),
            Action::Append { generation, zxid, .. } => {
                *log = zxid;
                if !dice.one_in(3) {
                    zab.handle_durable(zxid, generation);
                }
            }
            Action::SyncLog { generation } => zab.handle_durable(*log, generation),
            Action::StoreEpochs { token, .. } if !dice.one_in(5) => {
                zab.handle_epochs_stored(token);
            }
            Action::Truncate { generation, to } => {
                *log = if dice.one_in(3) { *log } else { to };
                zab.handle_truncated(*log, generation);
            }
            Action::StageSnapshot { conn, .. } => {
                if dice.one_in(4) {
                    zab.handle_snapshot_failed(conn);
                } else {
                    zab.handle_snapshot_staged(conn);
                }
            }
            Action::TakeOver { generation } => zab.handle_taken_over(generation),
            Action::PinSnapshot { conn } => {
                let zxid = zab.committed();
                zab.handle_snapshot_pinned(conn, zxid);
            }
            Action::LookUp { conn, zxid } => {
                let floor = (!dice.one_in(3)).then_some(zxid);
                zab.handle_lookup(conn, LookUpAnswer { floor, too_much: dice.one_in(3) });
            }
            Action::Barrier { token } => zab.handle_barrier(token),
            _ => {}
        }
    }
}

fn run(seed: u64) {
    let mut dice = Dice::new(seed);
    let config = EnsembleConfig::plain(0, &[1, 2, 3], &[4]);
    let durable = Durable {
        accepted_epoch: 0,
        current_epoch: 0,
        last_logged: 0,
        committed: 0,
        intact: !dice.one_in(6),
        config: Arc::new(config),
        proposed_config: None,
    };
    let sid = 1 + dice.roll(4) as i64;
    let mut zab = Zab::new(ZabConfig { tick_ms: 100, ..ZabConfig::new(sid) }, durable, 0);
    let (mut log, mut conns, mut next, mut now) = (0, Vec::new(), 0, 0);
    for _ in 0..200 {
        answer(&mut dice, &mut zab, &mut log, &mut conns, &mut next);
        match dice.roll(16) {
            0 => {
                now += dice.roll(1500);
                zab.handle_time(now);
            }
            1 => {
                next += 1;
                conns.push(ConnId(next));
                zab.handle_accepted(ConnId(next));
            }
            2 if !conns.is_empty() => {
                let at = dice.roll(conns.len() as u64) as usize;
                zab.handle_closed(conns.swap_remove(at));
            }
            3..6 => {
                let leader = if dice.one_in(6) { any_zxid(&mut dice) } else { 3 };
                let n = Notification {
                    state: [PeerState::Looking, PeerState::Following, PeerState::Leading]
                        [dice.roll(3) as usize],
                    leader,
                    zxid: any_zxid(&mut dice),
                    election_epoch: if dice.one_in(9) { any_epoch(&mut dice) } else { 1 },
                    peer_epoch: any_epoch(&mut dice),
                    version: 2,
                    config: if dice.one_in(9) { any_config(&mut dice) } else { None },
                };
                zab.handle_notification(1 + dice.roll(5) as i64, n);
            }
            6 => {
                if let Ok(zxid) = zab.next_zxid() {
                    let _ = zab.propose(zxid, Arc::from(&b"txn"[..]));
                    let config = EnsembleConfig::plain(zxid + 1, &[1, 2], &[]);
                    let _ = zab.propose_reconfig(zxid + 1, Arc::from([]), config.into(), None);
                }
            }
            7 => zab.handle_durable(any_zxid(&mut dice), Generation(dice.roll(9))),
            _ if !conns.is_empty() => {
                let conn = conns[dice.roll(conns.len() as u64) as usize];
                let epoch = match zab.role() {
                    Role::Looking => 0,
                    Role::Learning { epoch, .. } | Role::Leading { epoch, .. } => epoch,
                };
                let packet = if dice.one_in(3) {
                    any_packet(&mut dice)
                } else {
                    likely_packet(&mut dice, zab.role(), epoch)
                };
                zab.handle_packet(conn, packet);
            }
            _ => {}
        }
    }
}

#[test]
fn no_input_panics() {
    for seed in 0..3000 {
        if let Err(error) = std::panic::catch_unwind(|| run(seed)) {
            println!("seed {seed}");
            std::panic::resume_unwind(error);
        }
    }
}

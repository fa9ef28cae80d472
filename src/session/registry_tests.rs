//! The registry on virtual time.

use super::*;
use proptest::prelude::*;

const SHARD: u16 = 3;

fn on(conn: u32) -> Attachment {
    Attachment { shard: SHARD, conn, conn_generation: 1 }
}

fn registry() -> SessionRegistry {
    let config = RegistryConfig { sessions_max: 100, ..RegistryConfig::default() };
    SessionRegistry::new(config, 0)
}

/// Ticks every 100 ms from `from` to `to`; shards have always just made a pass.
fn run(r: &mut SessionRegistry, from: u64, to: u64) -> Vec<(u64, i64)> {
    let (mut found, mut expired) = (Expiry::default(), Vec::new());
    for now in (from..=to).step_by(100) {
        r.tick(now, |_| now, &mut found);
        assert!(!found.is_cut_short);
        assert_eq!(found.stall_ms, 0);
        expired.extend(found.expired.iter().map(|id| (now, *id)));
    }
    expired
}

#[test]
fn a_silent_session_expires_and_a_heard_one_does_not() {
    let mut r = registry();
    r.create(1, 4000, Some(on(1)), 0).unwrap();
    let two = r.create(2, 4000, Some(on(2)), 0).unwrap();
    let heard = r.heard();
    assert!(run(&mut r, 0, 3000).is_empty());
    heard.touch(two.slot, 3000);
    assert_eq!(run(&mut r, 3100, 6900), [(4100, 1)]);
    assert_eq!(r.check(two.slot, 2, two.generation), Ok(()));
    assert_eq!(run(&mut r, 7000, 9000), [(7100, 2)]);
    assert_eq!(r.check(two.slot, 2, two.generation), Err(SessionRefused::Closing));
    assert!(r.contains(2), "until its closing is committed");
    assert_eq!(r.remove(2), Some(on(2)));
    assert_eq!(r.check(two.slot, 2, two.generation), Err(SessionRefused::Unknown));
}

#[test]
fn attaching_moves_the_session_and_says_who_had_it() {
    let mut r = registry();
    let first = r.create(1, 4000, Some(on(1)), 0).unwrap();
    let second = r.attach(1, 6000, on(2), 100).unwrap();
    assert_eq!(second.superseded, Some(on(1)));
    assert_eq!(second.slot, first.slot);
    assert_eq!(r.check(first.slot, 1, first.generation), Err(SessionRefused::Moved));
    assert_eq!(r.check(second.slot, 1, second.generation), Ok(()));
    assert_eq!(SessionRefused::Moved.error_code(), ErrorCode::SessionMoved);
    // The end of the older connection does not concern the newer one.
    r.detach(1, first.generation);
    assert_eq!(r.views(100).next().unwrap().attachment, Some(on(2)));
    r.detach(1, second.generation);
    assert_eq!(r.attach(1, 6000, on(3), 200).unwrap().superseded, None);
    // The new connection's time-out holds.
    assert!(run(&mut r, 300, 6100).is_empty());
    assert_eq!(run(&mut r, 6200, 6300), [(6300, 1)]);
}

#[test]
fn a_shorter_timeout_of_a_new_connection_holds_at_once() {
    let mut r = registry();
    r.create(1, 40_000, Some(on(1)), 0).unwrap();
    r.attach(1, 4000, on(2), 0).unwrap();
    assert_eq!(run(&mut r, 0, 5000), [(4100, 1)]);
}

#[test]
fn what_is_closing_or_gone_cannot_be_attached() {
    let mut r = registry();
    r.create(1, 4000, Some(on(1)), 0).unwrap();
    assert_eq!(r.attach(9, 4000, on(2), 0), Err(SessionRefused::Unknown));
    assert_eq!(r.begin_close(1), Ok(()));
    assert_eq!(r.begin_close(1), Err(SessionRefused::Closing));
    assert_eq!(r.attach(1, 4000, on(2), 0), Err(SessionRefused::Closing));
    assert_eq!(SessionRefused::Closing.error_code(), ErrorCode::SessionExpired);
    assert_eq!(run(&mut r, 0, 10_000), [], "closing sessions do not expire");
    r.cancel_close(1, 10_000);
    assert!(r.attach(1, 4000, on(2), 10_000).is_ok());
    assert_eq!(run(&mut r, 10_100, 20_000).len(), 1);
}

#[test]
fn a_slots_next_owner_is_not_taken_for_the_last() {
    let mut r = registry();
    let old = r.create(1, 4000, Some(on(1)), 0).unwrap();
    r.remove(1);
    let new = r.create(2, 4000, Some(on(1)), 1000).unwrap();
    assert_eq!(old.slot, new.slot);
    assert_ne!(old.generation, new.generation);
    assert_eq!(r.check(old.slot, 1, old.generation), Err(SessionRefused::Unknown));
    // A touch meant for the old one, late, does not shorten the new one's life.
    r.heard().touch(old.slot, 900);
    assert_eq!(run(&mut r, 1100, 6000), [(5100, 2)]);
    assert_eq!(r.check(0, 0, 0), Err(SessionRefused::Unknown), "free slots are nobody's");
}

#[test]
fn a_session_waits_for_a_pass_of_its_shard_that_began_after_its_deadline() {
    let mut r = registry();
    r.create(1, 4000, Some(on(1)), 0).unwrap();
    let mut found = Expiry::default();
    let mut pass = 3900;
    for now in (0..6000).step_by(100) {
        r.tick(now, |shard| if shard == Some(SHARD) { pass } else { now }, &mut found);
        assert_eq!(found.expired, [0i64; 0], "at {now}");
        assert_eq!(!found.awaited.is_empty(), now > 4000, "at {now}");
    }
    assert_eq!(found.awaited, [Some(SHARD)]);
    pass = 4000;
    r.tick(6000, |_| pass, &mut found);
    assert_eq!(found.expired, [0i64; 0], "it must have begun after the deadline");
    pass = 4001;
    r.tick(6100, |_| pass, &mut found);
    assert_eq!((&found.expired[..], &found.awaited[..]), (&[1][..], &[][..]));
}

#[test]
fn what_the_pass_found_saves_the_session() {
    let mut r = registry();
    let it = r.create(1, 4000, Some(on(1)), 0).unwrap();
    let mut found = Expiry::default();
    for now in (0..=5000).step_by(100) {
        r.tick(now, |_| 3900, &mut found);
    }
    r.heard().touch(it.slot, 5050);
    assert!(run(&mut r, 5100, 9000).is_empty());
    assert_eq!(run(&mut r, 9100, 9200), [(9100, 1)]);
}

#[test]
fn a_session_without_connection_waits_for_every_shard() {
    let mut r = registry();
    let it = r.create(1, 4000, Some(on(1)), 0).unwrap();
    r.detach(1, it.generation);
    let mut found = Expiry::default();
    for now in (0..=5000).step_by(100) {
        r.tick(now, |shard| shard.map_or(3000, |_| now), &mut found);
    }
    assert_eq!((&found.expired[..], &found.awaited[..]), (&[][..], &[None][..]));
    assert_eq!(run(&mut r, 5100, 5200), [(5100, 1)]);
}

#[test]
fn a_stall_moves_all_deadlines() {
    let mut r = registry();
    r.create(1, 4000, Some(on(1)), 0).unwrap();
    assert!(run(&mut r, 0, 3000).is_empty());
    let mut found = Expiry::default();
    // Nothing ran for 20 s; ticks were due a second after the last one.
    r.tick(23_000, |_| 23_000, &mut found);
    assert_eq!((found.stall_ms, found.expired.len()), (19_000, 0));
    assert_eq!(r.views(23_000).next().unwrap().remaining_ms, 0, "as at 4000");
    assert_eq!(run(&mut r, 23_100, 24_000), [(23_100, 1)]);
}

#[test]
fn a_session_heard_during_a_stall_of_the_core_keeps_its_full_timeout() {
    let mut r = registry();
    let it = r.create(1, 4000, Some(on(1)), 0).unwrap();
    assert!(run(&mut r, 0, 3000).is_empty());
    r.heard().touch(it.slot, 10_000);
    let mut found = Expiry::default();
    r.tick(23_000, |_| 23_000, &mut found);
    assert!(run(&mut r, 23_100, 27_000).is_empty());
    assert_eq!(run(&mut r, 27_100, 27_100), [(27_100, 1)]);
}

#[test]
fn restoring_and_renewing_grant_the_full_timeout() {
    let mut r = registry();
    r.restore(1, 4000, 50_000).unwrap();
    r.tick(50_000, |_| 50_000, &mut Expiry::default());
    assert_eq!(r.views(50_000).next().unwrap().remaining_ms, 4000);
    assert!(run(&mut r, 50_100, 53_000).is_empty());
    r.begin_close(1).unwrap();
    r.renew_all(53_000);
    assert!(run(&mut r, 53_100, 57_000).is_empty());
    assert_eq!(run(&mut r, 57_100, 57_200), [(57_100, 1)]);
}

#[test]
fn sessions_are_bounded_and_known_ones_go_on() {
    let mut r = registry();
    for id in 1..=100 {
        r.create(id, 4000, Some(on(1)), 0).unwrap();
    }
    assert_eq!(r.create(101, 4000, None, 0), Err(TooManySessions { max: 100 }));
    assert!(r.attach(50, 4000, on(2), 0).is_ok());
    r.remove(7);
    assert!(r.create(101, 4000, None, 0).is_ok());
}

#[test]
fn looks_a_tick_are_bounded() {
    let config = RegistryConfig { sessions_max: 100, looks_max: 30, ..Default::default() };
    let mut r = SessionRegistry::new(config, 0);
    for id in 1..=100 {
        r.create(id, 500, None, 0).unwrap();
    }
    let mut found = Expiry::default();
    let mut sizes = Vec::new();
    for now in 600..604 {
        r.tick(now, |_| now, &mut found);
        sizes.push((found.expired.len(), found.is_cut_short));
    }
    assert_eq!(sizes, [(30, true), (30, true), (30, true), (10, false)]);
}

#[test]
fn followers_report_whom_they_heard() {
    let mut r = registry();
    let one = r.create(1, 4000, Some(on(1)), 10).unwrap();
    r.create(2, 5000, Some(on(2)), 10).unwrap();
    r.heard().touch(one.slot, 500);
    assert_eq!(r.heard_since(100).collect::<Vec<_>>(), [(1, 4000)]);
    assert_eq!(r.heard_since(9).count(), 2);
    assert_eq!(r.touch(2, 5000, 700), Ok(()));
    assert_eq!(r.touch(3, 5000, 700), Err(SessionRefused::Unknown));
    assert_eq!(r.heard_since(600).collect::<Vec<_>>(), [(2, 5000)]);
}

#[test]
fn the_next_tick_is_told() {
    let mut r = registry();
    assert_eq!(r.next_tick_ms(100), 1100);
    r.create(1, 300, None, 100).unwrap();
    let next = r.next_tick_ms(100);
    assert!((400..=408).contains(&next), "{next}");
    r.tick(next, |_| next, &mut Expiry::default());
    assert!(r.begin_close(1).is_err(), "it expired then");
}

#[derive(Debug, Clone)]
enum Op {
    Create(i64, i32),
    Attach(i64, i32),
    Heard(i64),
    Close(i64),
    Remove(i64),
    Pass,
    Run(u64),
    Stall(u64),
}

fn ops() -> impl Strategy<Value = Op> {
    let id = 1i64..8;
    let timeout = 100i32..5000;
    prop_oneof![
        3 => (id.clone(), timeout.clone()).prop_map(|(i, t)| Op::Create(i, t)),
        2 => (id.clone(), timeout).prop_map(|(i, t)| Op::Attach(i, t)),
        3 => id.clone().prop_map(Op::Heard),
        1 => id.clone().prop_map(Op::Close),
        1 => id.prop_map(Op::Remove),
        4 => Just(Op::Pass),
        6 => (0u64..1000).prop_map(Op::Run),
        1 => (2000u64..9000).prop_map(Op::Stall),
    ]
}

/// What a session is to the plain model: how long it has been silent while the process ran.
#[derive(Debug, Clone, Copy)]
struct Plain {
    timeout_ms: u64,
    silent_ms: u64,
    is_closing: bool,
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]
    /// No session expires before its time-out of silence, whatever stalls there were; and once the
    /// shard makes its passes, each expires at that time.
    #[test]
    fn expires_what_was_silent(ops in prop::collection::vec(ops(), 0..120)) {
        let mut r = registry();
        let heard = r.heard();
        let (mut now, mut pass) = (0u64, 0u64);
        let mut plain: BTreeMap<i64, Plain> = BTreeMap::new();
        let mut slots: BTreeMap<i64, Attached> = BTreeMap::new();
        let mut found = Expiry::default();
        for op in ops {
            match op {
                Op::Create(id, timeout_ms) => {
                    if r.contains(id) {
                        continue;
                    }
                    slots.insert(id, r.create(id, timeout_ms, Some(on(1)), now).unwrap());
                    let timeout_ms = timeout_ms as u64;
                    plain.insert(id, Plain { timeout_ms, silent_ms: 0, is_closing: false });
                }
                Op::Attach(id, timeout_ms) => {
                    let attached = r.attach(id, timeout_ms, on(2), now);
                    match plain.get_mut(&id) {
                        Some(p) if !p.is_closing => {
                            (p.timeout_ms, p.silent_ms) = (timeout_ms as u64, 0);
                            slots.insert(id, attached.unwrap());
                        }
                        Some(_) => prop_assert_eq!(attached, Err(SessionRefused::Closing)),
                        None => prop_assert_eq!(attached, Err(SessionRefused::Unknown)),
                    }
                }
                Op::Heard(id) => if let Some(p) = plain.get_mut(&id) {
                    heard.touch(slots[&id].slot, now);
                    p.silent_ms = 0;
                },
                Op::Close(id) => if r.begin_close(id).is_ok() {
                    plain.get_mut(&id).unwrap().is_closing = true;
                },
                Op::Remove(id) => {
                    r.remove(id);
                    plain.remove(&id);
                }
                Op::Pass => pass = now,
                Op::Run(by) | Op::Stall(by) => {
                    now += by;
                    // Ticks are due every second; what comes a second late or more is a stall.
                    let ran = if by >= 2000 { 1000 } else { by };
                    plain.values_mut().for_each(|p| p.silent_ms += ran);
                    let before = pass;
                    r.tick(now, |_| before, &mut found);
                    prop_assert_eq!(found.stall_ms, by - ran);
                    for id in &found.expired {
                        let p = plain.get_mut(id).unwrap();
                        prop_assert!(!p.is_closing && p.silent_ms >= p.timeout_ms, "{p:?}");
                        p.is_closing = true;
                    }
                }
            }
            for (id, p) in &plain {
                let want = if p.is_closing { Err(SessionRefused::Closing) } else { Ok(()) };
                prop_assert_eq!(r.check(slots[id].slot, *id, slots[id].generation), want);
            }
            prop_assert_eq!(r.len(), plain.len());
        }
        // With passes made, all that is left goes once its time has come.
        let mut ran = 0;
        while ran < 6000 {
            (now, ran) = (now + 100, ran + 100);
            r.tick(now, |_| now, &mut found);
            for id in &found.expired {
                let p = plain.get_mut(id).unwrap();
                let silent_ms = p.silent_ms + ran;
                prop_assert!(silent_ms >= p.timeout_ms, "early: {p:?}");
                // Whoever was overdue waited for the pass only.
                prop_assert!(ran <= 200 || silent_ms <= p.timeout_ms + 200, "late: {p:?}");
                p.is_closing = true;
            }
        }
        prop_assert!(plain.values().all(|p| p.is_closing));
    }
}

#[test]
fn a_postponed_session_is_found_again_unless_it_is_heard_from() {
    let mut r = registry();
    let one = r.create(1, 4000, Some(on(1)), 0).unwrap();
    let two = r.create(2, 4000, Some(on(2)), 0).unwrap();
    assert_eq!(run(&mut r, 0, 4100).len(), 2);
    r.postpone(1);
    r.postpone(2);
    for (id, to) in [(1, one), (2, two)] {
        assert_eq!(r.check(to.slot, id, to.generation), Ok(()), "nothing has happened to it");
    }
    r.attach(2, 4000, on(3), 4150).unwrap();
    assert_eq!(run(&mut r, 4200, 4200), [(4200, 1)]);
    r.postpone(1);
    assert_eq!(run(&mut r, 4300, 9000), [(4300, 1), (8200, 2)]);
    r.postpone(7);
    assert!(!r.contains(7));
}

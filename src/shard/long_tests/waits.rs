//! What waits for an answer of the core: what it is answered from, and that it goes on.

use super::*;

/// What an answer of the core lets go on is answered at that answer's zxid, so a shard that sleeps until it comes keeps
/// that state, whatever is published meanwhile.
#[test]
fn a_shard_that_sleeps_keeps_what_an_answer_of_the_core_will_ask_for() {
    let mut w = World::new();
    let c = w.client();
    w.send(c, &request(OpCode::GetEphemerals, 7, |out| out.put_str("")));
    w.io.run(&mut w.shard);
    assert!(w.shard.0.before_park());
    w.zxid = 2;
    let numbers: Vec<_> = w.tree.ephemeral_numbers(SESSION).take(3).collect();
    let head = w.reply(EntryKind::Ephemerals, c, 7);
    w.commit(|entry| put_ephemerals(entry.body(), "", numbers.into_iter()), head);
    w.zxid = 3;
    let gone: Vec<String> = w.tree.ephemerals(SESSION).collect();
    for path in gone {
        w.tree.delete(3, &path).unwrap();
    }
    w.commit(|_| {}, EntryHead::silent(3));
    while w.tree.reclaim(1000) > 0 {}
    w.shard.0.after_park();
    w.io.run(&mut w.shard);
    let replies = frames(&w.io.take_sent(c));
    assert_eq!((replies[0].0.xid, replies[0].0.zxid), (7, 2));
    let names: Vec<&str> = Field::get(&mut Decoder::new(&replies[0].1)).unwrap();
    assert_eq!(names.len(), 3);
}

/// The same for what a client sends right behind its connect request.
#[test]
fn a_shard_that_sleeps_keeps_what_is_read_right_after_a_connect() {
    let mut w = World::new();
    let c = w.io.open(&mut w.shard);
    let mut asked = connect_request();
    asked.extend(exists(1, "/x"));
    w.send(c, &asked);
    w.io.run(&mut w.shard);
    assert!(w.shard.0.before_park());
    w.attach(c);
    w.zxid = 2;
    for path in w.tree.ephemerals(SESSION).collect::<Vec<_>>() {
        w.tree.delete(2, &path).unwrap();
    }
    w.tree.delete(2, "/x").unwrap();
    w.commit(|_| {}, EntryHead::silent(2));
    while w.tree.reclaim(1000) > 0 {}
    w.shard.0.after_park();
    w.io.run(&mut w.shard);
    let sent = w.io.take_sent(c);
    let connected = u32::from_be_bytes(*sent.first_chunk::<4>().unwrap()) as usize;
    let replies = frames(&sent[4 + connected..]);
    assert_eq!((replies[0].0.xid, replies[0].0.zxid, replies[0].0.err), (1, 1, 0));
}

/// What waits because too much is under way is taken when nothing of its connection is, also if that came to its end in
/// an output that was full for that moment.
#[test]
fn what_was_held_back_is_taken_when_the_last_answer_has_left() {
    let mut w = World::new();
    let c = w.client();
    w.shard.0.state.limits.outstanding_max = 0;
    w.shard.0.state.limits.output_pause_bytes = 8;
    let mut asked = request(OpCode::Sync, 7, |out| out.put_str("/x"));
    asked.extend(exists(8, "/x"));
    w.send(c, &asked);
    let head = w.reply(EntryKind::Reply, c, 7);
    w.commit(|entry| entry.body().put_str("/x"), head);
    w.io.run(&mut w.shard);
    let answered: Vec<i32> = frames(&w.io.take_sent(c)).iter().map(|(head, _)| head.xid).collect();
    assert_eq!(answered, [7, 8]);
}

//! How many connections there may be, and what of them is closed.

use super::*;

#[test]
fn an_address_has_so_many_connections() {
    let dir = tempfile::tempdir().expect("a directory");
    let server = server(&dir, "maxClientCnxns=3");
    let mut clients = Vec::new();
    // The words with which the start was awaited may still be on their way out.
    until("three connections", || {
        clients.extend(Client::connect(server.port, 10_000).ok());
        clients.len() == 3
    });
    for _ in 0..100 {
        assert!(
            read_to_end(&mut connect(server.port)).is_empty(),
            "a fourth connection was served"
        );
    }
    // Another address has its own count.
    let other = connect_from("127.0.0.2", server.port, 65536);
    let mut other = Client::over(other, 10_000).expect("another address is served");
    other.ping().expect("ping");
    for c in &mut clients {
        c.ping().expect("those that are in stay in");
    }
    clients.pop().expect("one").close().expect("close");
    until("the free place is given away", || Client::connect(server.port, 10_000).is_ok());
    clients.clear();
    until("a word is answered", || server.word("ruok").is_ok_and(|answer| answer == "imok"));
    assert!(server.metric("refused_per_address") >= 100);
    let lines = server.log().lines().filter(|line| line.contains("maxClientCnxns")).count();
    assert!(lines < 50, "{lines} lines");
}

#[test]
fn a_connection_that_makes_no_session_is_closed() {
    let dir = tempfile::tempdir().expect("a directory");
    let server = server(&dir, "nio.sessionlessCnxnTimeout=300");
    let began = Instant::now();
    let healthy = Healthy::start(&server);
    let mut streams: Vec<TcpStream> = (0..60).map(|_| connect(server.port)).collect();
    for (i, stream) in streams.iter_mut().enumerate() {
        // Nothing, a part of a word, a part of a length, a part of a handshake.
        send(stream, [&b""[..], b"ru", &[0, 0, 0], &[0, 0, 0, 44, 0, 0, 0, 0]][i % 4]);
    }
    for stream in &mut streams {
        assert!(read_to_end(stream).is_empty());
    }
    assert!(server.metric("sessionless_connections_expired") >= 60);
    healthy.end(&server, began);
}

#[test]
fn a_flood_of_connections_leaves_nothing_behind() {
    let dir = tempfile::tempdir().expect("a directory");
    let server = server(&dir, "");
    let began = Instant::now();
    let healthy = Healthy::start(&server);
    let connections = server.metric("num_alive_connections");
    let before = server.resident_bytes();
    for i in 0..1500 {
        let mut stream = connect(server.port);
        match i % 5 {
            0 => {}
            1 => send(&mut stream, b"ru"),
            2 => drop(Client::over(stream.try_clone().expect("a handle"), 1_000)),
            3 => send(&mut stream, b"srvr"),
            _ => send(&mut stream, &[0, 0, 0, 44, 0, 0]),
        }
        if i % 2 == 0 {
            // A reset instead of an orderly end.
            SockRef::from(&stream).set_linger(Some(Duration::ZERO)).expect("linger");
        }
    }
    until("they are all gone", || server.metric("num_alive_connections") <= connections);
    until("their sessions expire", || server.metric("global_sessions") == 1);
    assert!(server.metric("stale_sessions_expired") >= 100);
    let grown = server.resident_bytes().saturating_sub(before);
    assert!(grown < 64 * MIB, "memory grew by {grown} bytes");
    healthy.end(&server, began);
}

#[test]
fn words_are_answered_from_the_white_list_and_whole_only() {
    let dir = tempfile::tempdir().expect("a directory");
    let server = server(&dir, "4lw.commands.whitelist=ruok,mntr");
    let began = Instant::now();
    let healthy = Healthy::start(&server);
    for _ in 0..50 {
        for word in ["stat", "dump", "wchp", "cons", "envi"] {
            let answer = server.word(word).expect("an answer");
            assert_eq!(
                answer,
                format!("{word} is not executed because it is not in the whitelist.\n")
            );
        }
    }
    assert!(server.metric("refused_word") >= 250);
    // In two pieces it is a word; half of it and an end is nothing.
    let mut stream = connect(server.port);
    stream.set_nodelay(true).expect("nodelay");
    send(&mut stream, b"ru");
    send(&mut stream, b"ok");
    assert_eq!(read_to_end(&mut stream), b"imok");
    for part in ["r", "ru", "ruo"] {
        let mut stream = connect(server.port);
        send(&mut stream, part.as_bytes());
        stream.shutdown(Shutdown::Write).expect("end");
        assert!(read_to_end(&mut stream).is_empty());
    }
    healthy.end(&server, began);
}

#[test]
fn watches_have_a_limit_and_a_client_that_is_ahead_is_turned_away() {
    let dir = tempfile::tempdir().expect("a directory");
    let server = server(&dir, "ringkeeper.watchesPerConnectionMax=10");
    let began = Instant::now();
    let healthy = Healthy::start(&server);
    let mut c = Client::connect(server.port, 10_000).expect("connect");
    for i in 0..100 {
        let path = format!("/w{i}");
        let watch = |out: &mut Vec<u8>| AddWatchRequest { path: Some(&path), mode: 1 }.encode(out);
        let (_, err, _) = c.call(OpCode::AddWatch, watch).expect("addWatch");
        assert_eq!(err, if i < 10 { 0 } else { ErrorCode::ThrottledOp.code() });
    }
    assert_eq!(server.metric("watch_count"), 10);
    assert_eq!(server.metric("refused_too_many_watches"), 90);
    for _ in 0..50 {
        assert!(Client::attach(server.port, 10_000, 0, &[0; 16], i64::MAX).is_err());
    }
    assert_eq!(server.metric("refused_zxid_ahead"), 50);
    healthy.end(&server, began);
}

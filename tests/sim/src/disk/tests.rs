use super::*;
use ringkeeper::log::LogDir;
use ringkeeper::log::SegmentFile;

fn random() -> Random {
    Random::new(3, "disk", 0)
}

#[test]
fn what_was_synced_and_named_survives() {
    let disk = Disk::new();
    disk.write("epoch.new", b"7").unwrap();
    disk.sync("epoch.new").unwrap();
    disk.rename("epoch.new", "epoch").unwrap();
    disk.sync_names().unwrap();
    disk.crash(false, &mut random());
    assert_eq!(disk.read("epoch").as_deref(), Some(&b"7"[..]));
    assert_eq!(disk.names(), ["epoch"]);
}

#[test]
fn what_was_not_synced_may_be_lost_and_may_tear() {
    let mut random = random();
    let (mut lost, mut torn, mut whole) = (0, 0, 0);
    for _ in 0..200 {
        let disk = Disk::new();
        disk.write("epoch", &[1; 2 * PIECE]).unwrap();
        disk.crash(false, &mut random);
        match disk.read("epoch").as_deref() {
            None => lost += 1,
            Some(bytes) if bytes == [1; 2 * PIECE] => whole += 1,
            Some(_) => torn += 1,
        }
    }
    assert!(lost > 0 && torn > 0 && whole > 0, "{lost} lost, {torn} torn, {whole} whole");
}

#[test]
fn a_process_that_dies_changes_nothing_more() {
    let disk = Disk::new();
    disk.write("epoch", b"1").unwrap();
    disk.die_after(1, random());
    disk.sync("epoch").unwrap();
    assert!(disk.sync_names().is_err() && disk.is_dead());
    assert!(disk.write("other", b"2").is_err());
    disk.crash(true, &mut random());
    assert!(!disk.is_dead() && disk.read("other").is_none());
}

#[test]
fn a_segment_write_arrives_whole_when_it_completes() {
    let disk = Disk::new();
    let file = disk.volume(0).create_zeroed("segment", 8192).unwrap();
    let mut buf = AlignedBuf::new();
    buf.resize(4096, 9);
    let (id, token) = disk.submit(Write { file: file.clone(), offset: 4096, buf, token: 5 });
    assert_eq!((token, disk.writes_on_the_way()), (5, 1));
    let (done, buf) = disk.complete(id, false, &mut random());
    assert_eq!((done.unwrap(), buf.len()), (4096, 4096));
    let mut read = AlignedBuf::new();
    read.resize(8192, 1);
    assert_eq!(file.read_at(0, &mut read).unwrap(), 8192);
    assert_eq!((read[4095], read[4096], read[8191]), (0, 9, 9));
}

//! Whole ensembles: regressions of known bugs, reconfigurations, the way of a server that lost its log.

use super::super::*;
use super::script::{self, Command};
use super::world::World;
use super::{config_of, number_list, settings};

#[test]
fn regressions() {
    assert!(run_file("regressions.txt", Mistakes::default()) >= 60);
}

#[test]
fn reconfigurations() {
    assert!(run_file("reconfig.txt", Mistakes::default()) >= 30);
}

#[test]
fn lost_logs() {
    assert!(run_file("lost.txt", Mistakes::default()) >= 15);
}

/// A scenario that cannot fail proves nothing: each of these mistakes changes an answer.
#[test]
fn mistakes_show_in_the_scenarios() {
    let mistakes = [
        Mistake::AckBeforeLogSynced,
        Mistake::NewLeaderAckBeforeLogSynced,
        Mistake::LeaderCountsItselfEarly,
        Mistake::ReuseEpoch,
        Mistake::DamagedLogVotes,
        Mistake::RejoinWithoutBarrier,
        Mistake::CommittedLeftOutOfSync,
        Mistake::SkipTrunc,
        Mistake::ServeBeforeUpToDate,
        Mistake::OldConnectionAckCounted,
        Mistake::NeverStepDown,
        Mistake::CounterRunsOver,
        Mistake::CurrentEpochBeforeLog,
        Mistake::NewQuorumNotAsked,
        Mistake::ActivateAtProposal,
    ];
    let shows = |mistake: Mistake| {
        ["regressions.txt", "reconfig.txt", "lost.txt"].into_iter().any(|name| {
            std::panic::catch_unwind(|| {
                let mut world = None;
                script::differs(name, |command| run(&mut world, command, Mistakes::plant(mistake)))
            })
            .unwrap_or(true)
        })
    };
    let silent: Vec<&str> =
        mistakes.into_iter().filter(|m| !shows(*m)).map(Mistake::name).collect();
    assert!(silent.is_empty(), "no scenario shows {silent:?}");
}

fn run_file(name: &str, mistakes: Mistakes) -> usize {
    let mut world = None;
    script::run_file(name, |command| run(&mut world, command, mistakes))
}

fn run(world: &mut Option<World>, command: &Command<'_>, mistakes: Mistakes) -> String {
    if command.name == "world" {
        let config = config_of(command, "voters", "observers");
        let mut settings = ZabConfig { mistakes, ..settings() };
        if let Some(window) = command.value("window") {
            settings.window_txns_max = window.parse().unwrap();
        }
        if let Some(first) = command.value("first") {
            settings.first_counter = i64::from_str_radix(first, 16).unwrap();
        }
        if let Some(outstanding) = command.value("outstanding") {
            settings.outstanding_max = outstanding.parse().unwrap();
        }
        settings.force_snapshot = command.words.contains(&"snapshots");
        *world = Some(World::new(&config, settings));
        return String::new();
    }
    let world = world.as_mut().expect("a world first");
    let first = || command.words[0].parse::<Sid>().unwrap();
    let sids = || number_list(&command.words.join(","));
    match command.name {
        "start" => sids().into_iter().for_each(|sid| world.start(sid)),
        "crash" => sids().into_iter().for_each(|sid| world.crash(sid)),
        "promise" => world.promise(first(), command.words[1].parse().unwrap()),
        "lose" => world.lose(first(), false),
        "add" => {
            let config = config_of(command, "voters", "observers");
            world.add(first(), &config);
        }
        "hold" => sids().into_iter().for_each(|sid| world.hold(sid, true)),
        "hold-log" => sids().into_iter().for_each(|sid| world.hold_log(sid)),
        "release" => sids().into_iter().for_each(|sid| world.hold(sid, false)),
        "uncut" => world.uncut(first()),
        "cut" => world.cut(sids()[0], sids()[1]),
        "part" => {
            // part 1,2 3: nothing passes between the two sides.
            let (one, other) = (number_list(command.words[0]), number_list(command.words[1]));
            for a in &one {
                for b in &other {
                    world.cut(*a, *b);
                    world.cut(*b, *a);
                }
            }
        }
        "heal" => world.heal(),
        "settle" => world.settle(),
        "pass" => {
            world.pass(first().unsigned_abs());
            return world.state();
        }
        "propose" => {
            let count = command.words[1].parse().unwrap();
            if let Err(refusal) = world.propose(first(), count) {
                return refusal.to_string();
            }
        }
        "reconfig" => {
            let config = config_of(command, "voters", "observers");
            let heir = command.value("leader").map(|sid| sid.parse().unwrap());
            if let Err(refusal) = world.reconfig(first(), &config, heir) {
                return refusal.to_string();
            }
        }
        "forward" => {
            let kind = if command.words[1] == "sync" { 9 } else { 1 };
            if let Err(refusal) = world.forward(first(), kind) {
                return refusal.to_string();
            }
        }
        "revalidate" => {
            if let Err(refusal) = world.revalidate(first(), 0x77) {
                return refusal.to_string();
            }
        }
        "state" => return world.state(),
        "notes" => return std::mem::take(&mut world.notes).join("\n"),
        other => panic!("{other}"),
    }
    String::new()
}

//! Tests of the core. Scenarios are text, in `testdata/`; see [`script`].

mod script;
mod world;

use super::*;
use world::World;

fn settings() -> ZabConfig {
    ZabConfig { tick_ms: 100, ..ZabConfig::new(0) }
}

#[test]
fn three_servers_elect_and_commit() {
    let mut world = World::new(&EnsembleConfig::plain(0, &[1, 2, 3], &[]), settings());
    world.trace = true;
    for sid in 1..=3 {
        world.start(sid);
    }
    world.pass(1000);
    println!("{}", world.state());
    world.propose(3, 3).unwrap();
    world.pass(1000);
    println!("{} {:?}", world.state(), world.notes);
    assert_eq!(
        world.nodes[&1].role,
        Role::Learning { leader: 3, epoch: 1, observer: false, serving: true }
    );
}

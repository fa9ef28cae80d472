//! What the agreement protocol costs a server alone: proposed, appended, durable, committed. No disk, no network: the
//! core and its actions.

use std::sync::Arc;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use ringkeeper::protocol::Zxid;
use ringkeeper::zab::{Action, Durable, EnsembleConfig, Generation, Role, Txn, Zab, ZabConfig};

/// A core that leads an ensemble of one, and a driver whose disk is done at once.
struct Alone {
    zab: Zab,
    actions: Vec<Action>,
    /// Appended and not reported as durable.
    appended: Option<(Zxid, Generation)>,
    committed: Zxid,
    serving: bool,
}

impl Alone {
    fn new(standalone: bool) -> Alone {
        let members: &[i64] = if standalone { &[] } else { &[1] };
        let config = ZabConfig {
            standalone,
            window_txns_max: if standalone { 0 } else { 500 },
            ..ZabConfig::new(1)
        };
        let durable = Durable {
            accepted_epoch: 0,
            current_epoch: 0,
            last_logged: 0,
            committed: 0,
            intact: true,
            config: Arc::new(EnsembleConfig::plain(0, members, &[])),
            proposed_config: None,
        };
        let zab = Zab::new(config, durable, 0);
        let actions = Vec::new();
        let mut alone = Alone { zab, actions, appended: None, committed: 0, serving: false };
        let mut now_ms = 0;
        while !alone.serving {
            alone.act();
            now_ms += 10;
            alone.zab.handle_time(now_ms);
        }
        alone
    }

    /// Carries out what the core asks for, until it asks for nothing more.
    fn act(&mut self) {
        loop {
            let mut actions = std::mem::take(&mut self.actions);
            self.zab.take_actions(&mut actions);
            if actions.is_empty() {
                self.actions = actions;
                return;
            }
            for action in actions.drain(..) {
                match action {
                    Action::Append { generation, zxid, .. } => {
                        self.appended = Some((zxid, generation));
                    }
                    Action::Commit { through } => self.committed = through,
                    Action::StoreEpochs { token, .. } => self.zab.handle_epochs_stored(token),
                    Action::Role(role) => {
                        self.serving = matches!(role, Role::Leading { serving: true, .. });
                    }
                    _ => {}
                }
            }
            self.actions = actions;
        }
    }

    /// So many transactions, made durable by one write.
    fn write(&mut self, txns: usize, txn: &Txn) {
        for _ in 0..txns {
            let zxid = self.zab.next_zxid().expect("it leads");
            self.zab.propose(zxid, Arc::clone(txn)).expect("it leads");
        }
        self.act();
        let (zxid, generation) = self.appended.take().expect("it was asked to append them");
        self.zab.handle_durable(zxid, generation);
        self.act();
        assert_eq!(self.committed, zxid);
    }
}

fn alone(c: &mut Criterion) {
    let txn: Txn = vec![7; 128].into();
    let mut group = c.benchmark_group("zab alone");
    for (name, standalone) in [("standalone", true), ("an ensemble of one", false)] {
        for txns in [1, 16, 256] {
            let mut alone = Alone::new(standalone);
            group.throughput(Throughput::Elements(txns as u64));
            let id = BenchmarkId::new(name, format!("{txns} a write"));
            group.bench_function(id, |b| b.iter(|| alone.write(txns, &txn)));
        }
    }
    group.finish();
}

criterion_group!(benches, alone);
criterion_main!(benches);

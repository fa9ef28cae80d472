use super::*;
use crate::auth::DigestAlgorithm;
use crate::config::settings::Placement;
use std::path::PathBuf;

fn read(text: &str) -> Result<Loaded, ConfigError> {
    parse(Some((Path::new("zoo.cfg"), text.as_bytes())), &[])
}

fn good(text: &str) -> Config {
    let loaded = read(text).unwrap();
    assert_eq!(loaded.warnings, [], "{text}");
    loaded.config
}

fn warnings(text: &str) -> Vec<String> {
    read(text).unwrap().warnings.iter().map(ToString::to_string).collect()
}

fn problem(text: &str) -> String {
    read(text).map(|loaded| loaded.config).unwrap_err().to_string()
}

fn flag(flag: &str, key: &str, value: &str) -> Override {
    Override { flag: flag.into(), key: key.into(), value: value.into() }
}

#[test]
fn without_file_and_flags_it_is_the_default() {
    let loaded = parse(None, &[]).unwrap();
    assert_eq!(loaded.config, Config::default());
    assert!(loaded.warnings.is_empty());
    assert_eq!(loaded.config.client_address().to_string(), "[::]:2181");
}

#[test]
fn zookeepers_sample_file_is_read() {
    let text = "# The number of milliseconds of each tick\ntickTime=2000\ninitLimit=10\n\
         syncLimit=5\ndataDir=/tmp/zookeeper\nclientPort=2182\n#maxClientCnxns=60\n";
    let loaded = read(text).unwrap();
    assert_eq!(loaded.config.client_port, 2182);
    assert_eq!(loaded.config.data_dir, PathBuf::from("/tmp/zookeeper"));
    assert_eq!(loaded.config.data_log_dir, loaded.config.data_dir);
    assert_eq!(loaded.config.max_session_timeout_ms, 40_000);
    good(&format!(
        "{text}maxClientCnxns=60\nautopurge.snapRetainCount=3\nautopurge.purgeInterval=1\nadmin.enableServer=false\n"
    ));
}

#[test]
fn every_key_with_a_value_changes_the_config() {
    let samples = [
        "clientPort=1",
        "clientPortAddress=127.0.0.1",
        "clientPortListenBacklog=9",
        "maxClientCnxns=9",
        "maxCnxns=9",
        "clientTcpKeepAlive=TRUE",
        "nio.sessionlessCnxnTimeout=9",
        "tickTime=9",
        "minSessionTimeout=9",
        "maxSessionTimeout=99999",
        "jute.maxbuffer=0x400000",
        "globalOutstandingLimit=9",
        "largeRequestMaxBytes=9",
        "largeRequestThreshold=9",
        "requestThrottleLimit=9",
        "requestThrottleStallTime=9",
        "requestThrottleDropStale=false",
        "requestStaleLatencyCheck=true",
        "requestStaleConnectionCheck=false",
        "throttledOpWaitTime=9",
        "connectionMaxTokens=9",
        "connectionTokenFillTime=9",
        "connectionTokenFillCount=9",
        "connectionFreezeTime=9",
        "connectionDropIncrease=0.5",
        "connectionDropDecrease=0.5",
        "connectionDecreaseRatio=0.5",
        "connection_throttle_weight_enabled=true",
        "connection_throttle_global_session_weight=9",
        "connection_throttle_renew_session_weight=9",
        "skipACL=yes",
        "DigestAuthenticationProvider.superDigest=super:D/InIHSb7yEEbrWz8b9l71RjZJU=",
        "DigestAuthenticationProvider.digestAlg=SHA-256",
        "DigestAuthenticationProvider.enabled=false",
        "enforce.auth.schemes=digest\nenforce.auth.enabled=true",
        "enforce.auth.schemes=digest, ip",
        "authProvider.*=a.EnsembleAuthenticationProvider",
        "ensembleAuthName=a,b",
        "dataDir=/x",
        "dataLogDir=/x",
        "datadir.autocreate=false",
        "forceSync=no",
        "fsync.warningthresholdms=9",
        "preAllocSize=4096",
        "snapCount=9",
        "snapSizeLimitInKb=9",
        "autopurge.snapRetainCount=9",
        "autopurge.purgeInterval=9",
        "extendedTypesEnabled=true",
        "znode.container.checkIntervalMs=9",
        "znode.container.maxPerMinute=9",
        "znode.container.maxNeverUsedIntervalMs=9",
        "enforceQuota=true",
        "digest.enabled=false",
        "ringkeeper.shards=2",
        "ringkeeper.cores=0-1",
        "ringkeeper.pin=no",
        "ringkeeper.placement=apart",
        "ringkeeper.busyPollUs=9",
        "ringkeeper.logWritePollUs=9",
        "ringkeeper.outputPauseBytes=9999",
        "ringkeeper.outputLimitBytes=9999999",
        "ringkeeper.acceptLostLog=yes",
        "ringkeeper.retainedBytesMax=9999999",
        "ringkeeper.outputTotalBytes=9999999",
        "ringkeeper.inputTotalBytes=9999999",
        "ringkeeper.watchesPerConnectionMax=9",
        "reconfigEnabled=true",
        "readonlymode.enabled=true",
        "4lw.commands.whitelist=*",
    ];
    let plain = good("");
    for key in table::keys().filter(|key| !matches!(key.kind, table::Kind::Unread)) {
        let sample = samples.iter().rev().find(|s| s.starts_with(&format!("{}=", key.name)));
        let sample =
            sample.or_else(|| samples.iter().find(|s| s.contains(&format!("\n{}=", key.name))));
        let sample = sample.unwrap_or_else(|| panic!("no sample for {}", key.name));
        let changed = read(sample).unwrap().config;
        assert_ne!(changed, plain, "{sample} changes nothing");
        let prefixed = read(&format!("zookeeper.{sample}")).unwrap().config;
        assert_eq!(prefixed, changed, "{sample} with the prefix");
        for alias in key.aliases {
            let (_, value) = sample.split_once('=').unwrap();
            assert_eq!(read(&format!("{alias}={value}")).unwrap().config, changed, "{alias}");
        }
    }
}

#[test]
fn typed_values() {
    let config = good(
        "clientPortAddress=[::1]\nringkeeper.placement=together\nmaxClientCnxns=-1\n\
         4lw.commands.whitelist=stat, ruok,\nDigestAuthenticationProvider.digestAlg=SHA512\n",
    );
    assert_eq!(config.client_address().to_string(), "[::1]:2181");
    assert_eq!(config.placement, Placement::Together);
    assert_eq!(config.max_client_cnxns, 0);
    assert_eq!(config.four_letter_words, ["stat", "ruok"]);
    assert_eq!(config.digest_algorithm, DigestAlgorithm::Sha512);
    let hash = "super:D/InIHSb7yEEbrWz8b9l71RjZJU=";
    let config = good(&format!("DigestAuthenticationProvider.superDigest={hash}"));
    assert_eq!(config.super_digest.as_deref(), Some(hash));
    assert_eq!(read("snapSizeLimitInKb=-1").unwrap().config.snap_size_limit_kb, 0);
    assert_eq!(good("clientPortAddress=localhost").client_address().port(), 2181);
}

#[test]
fn session_timeouts_follow_the_tick() {
    let config = good("tickTime=500");
    assert_eq!((config.min_session_timeout_ms, config.max_session_timeout_ms), (1000, 10_000));
    let config = good("tickTime=500\nmaxSessionTimeout=60000");
    assert_eq!((config.min_session_timeout_ms, config.max_session_timeout_ms), (1000, 60_000));
    let silent = good("");
    assert_eq!((silent.tick_time_ms, silent.max_session_timeout_ms), (3000, 60_000));
    assert_eq!(good("tickTime=2147483647").max_session_timeout_ms, i32::MAX);
}

#[test]
fn flags_win_over_the_file_and_later_ones_over_earlier() {
    let file = Some((Path::new("zoo.cfg"), &b"clientPort=1\ndataDir=/a\n"[..]));
    let flags = [
        flag("--client-port", "clientPort", "2"),
        flag("-D", "clientPort", "3"),
        flag("--data-dir", "dataDir", "/b"),
    ];
    let loaded = parse(file, &flags).unwrap();
    assert_eq!(loaded.config.client_port, 3);
    assert_eq!(loaded.config.data_log_dir, PathBuf::from("/b"), "follows the winner");
    assert_eq!(loaded.warnings, [], "a flag over the file is meant");
    let error = parse(None, &[flag("--client-port", "clientPort", "70000")]).unwrap_err();
    assert_eq!(
        error.to_string(),
        "command line, --client-port: clientPort=70000: expected a whole number from 0 to 65535"
    );
}

#[test]
fn bad_values_name_file_line_key_and_accepted_form() {
    for (text, expected) in [
        ("\nclientPort=abc", "zoo.cfg:2: clientPort=abc: expected a whole number from 0 to 65535"),
        ("clientPort=", "zoo.cfg:1: clientPort=: expected a whole number from 0 to 65535"),
        ("tickTime=0", "zoo.cfg:1: tickTime=0: expected a whole number of ms from 1 to 2147483647"),
        (
            "tickTime=3000000000",
            "zoo.cfg:1: tickTime=3000000000: expected a whole number of ms from 1 to 2147483647",
        ),
        ("clientTcpKeepAlive=on", "zoo.cfg:1: clientTcpKeepAlive=on: expected true or false"),
        ("zookeeper.forceSync=true", "zoo.cfg:1: zookeeper.forceSync=true: expected yes or no"),
        (
            "connectionDropIncrease=1.5",
            "zoo.cfg:1: connectionDropIncrease=1.5: expected a decimal fraction from 0 to 1",
        ),
        (
            "connectionDropIncrease=NaN",
            "zoo.cfg:1: connectionDropIncrease=NaN: expected a decimal fraction from 0 to 1",
        ),
        (
            "clientPortAddress=a b",
            "zoo.cfg:1: clientPortAddress=a b: expected an IP address, or a host name that resolves to one",
        ),
        ("dataDir=", "zoo.cfg:1: dataDir=: expected a directory"),
        (
            "ringkeeper.cores=2-1",
            "zoo.cfg:1: ringkeeper.cores=2-1: expected a list of CPU numbers and ranges from 0 to 1023, such as 0-3,8",
        ),
        ("ringkeeper.pin=maybe", "zoo.cfg:1: ringkeeper.pin=maybe: expected auto, yes or no"),
        (
            "ringkeeper.placement=x",
            "zoo.cfg:1: ringkeeper.placement=x: expected auto, together or apart",
        ),
        (
            "DigestAuthenticationProvider.digestAlg=MD5",
            "zoo.cfg:1: DigestAuthenticationProvider.digestAlg=MD5: expected SHA1, SHA-224, SHA-256, SHA-384, SHA-512, SHA-512/224 or SHA-512/256",
        ),
        (
            "DigestAuthenticationProvider.superDigest=secret",
            "zoo.cfg:1: DigestAuthenticationProvider.superDigest=…: expected user:hash, where hash is the base64 of the digest of user:password",
        ),
        (
            "enforce.auth.schemes=sasl",
            "zoo.cfg:1: enforce.auth.schemes=sasl: expected a comma-separated list of digest and ip (SASL and x509 are not available yet)",
        ),
        ("a=\\u00", "zoo.cfg:1: \\u must be followed by four hex digits"),
    ] {
        assert_eq!(problem(text), expected);
    }
}

#[test]
fn all_problems_are_told_at_once() {
    assert_eq!(
        problem("clientPort=x\ntickTime=y\nserver.1=a:1:2\nserver.2=b:1:2").lines().count(),
        3
    );
}

#[test]
fn what_must_not_be_ignored_is_refused() {
    for text in [
        "sessionRequireClientSASLAuth=true",
        "zookeeper.sessionRequireClientSASLAuth=True",
        "client.portUnification=true",
        "dynamicConfigFile=zoo.dynamic",
        "standaloneEnabled=false",
        "peerType=observer",
        "group.1=1:2",
        "weight.1=1",
        "secureClientPort=2281",
        "enforce.auth.enabled=true",
        "enforce.auth.enabled=true\nenforce.auth.schemes=digest\n\
         DigestAuthenticationProvider.enabled=false",
        "authProvider.1=org.apache.zookeeper.server.auth.SASLAuthenticationProvider",
        "authProvider.sasl=com.example.Mine",
    ] {
        assert!(problem(text).starts_with("zoo.cfg:1: "), "{text}: {}", problem(text));
    }
    good("sessionRequireClientSASLAuth=false\nstandaloneEnabled=true\npeerType=participant");
    assert_eq!(
        warnings("clientPort=2181\nsecureClientPort=2281"),
        ["zoo.cfg:2: secureClientPort is ignored: not available yet (TLS is not available yet)"]
    );
}

#[test]
fn an_ensemble_is_refused_and_one_member_alone_runs_standalone() {
    let three = "server.1=a:2888:3888\nserver.2=b:2888:3888\nserver.3=c:2888:3888\n";
    assert_eq!(
        problem(three),
        "zoo.cfg:1: server.1=a:2888:3888: this lists the members of an ensemble, and ensembles \
         are not available yet; remove the server lines to run standalone"
    );
    assert_eq!(
        warnings("server.1=localhost:2888:3888"),
        ["zoo.cfg:1: server.1 is ignored: one member alone is a standalone server"]
    );
    assert!(problem("server.1=a:1:2:observer").contains("ensemble"));
}

#[test]
fn contradictions() {
    assert_eq!(
        problem("minSessionTimeout=5000\nmaxSessionTimeout=4000"),
        "zoo.cfg:1: minSessionTimeout (5000 ms) must not be larger than maxSessionTimeout (4000 \
         ms); where one is not set, it follows from tickTime"
    );
    assert!(problem("tickTime=1\nminSessionTimeout=100").contains("maxSessionTimeout (20 ms)"));
    assert!(problem("ringkeeper.outputLimitBytes=65536").contains("outputPauseBytes"));
}

#[test]
fn one_warning_a_key() {
    assert_eq!(
        warnings("foo.bar=1\nclientport=2\nfoo.bar=1"),
        [
            "zoo.cfg:1: foo.bar is not known; like ZooKeeper, the server takes it for the system \
             property zookeeper.foo.bar, which nothing here reads",
            "zoo.cfg:2: clientport is not known (did you mean clientPort?); like ZooKeeper, the \
             server takes it for the system property zookeeper.clientport, which nothing here reads",
            "zoo.cfg:3: foo.bar was set in line 1 already; the last one counts",
        ]
    );
    let loaded = parse(None, &[flag("-D snapCuont", "snapCuont", "9")]).unwrap();
    let warning = loaded.warnings[0].to_string();
    assert!(warning.starts_with(
        "command line, -D snapCuont: snapCuont is not known (did you mean snapCount?)"
    ));
    assert_eq!(warnings("tickTime=2000\ntickTime=3000").len(), 1);
    for (text, raised) in [
        ("snapCount=1", "zoo.cfg:1: snapCount is raised to 2"),
        ("autopurge.snapRetainCount=1", "zoo.cfg:1: autopurge.snapRetainCount is raised to 3"),
    ] {
        assert_eq!(warnings(text).last().map(String::as_str), Some(raised));
    }
    assert!(warnings("skipACL=yes")[0].contains("not checked"));
    // A password, or the hash of another algorithm.
    for text in [
        "superDigest=super:secret",
        "digestAlg=SHA512\nDigestAuthenticationProvider.superDigest=super:D/InIHSb7yEEbrWz8b9l71RjZJU=",
    ] {
        let said = warnings(&format!("DigestAuthenticationProvider.{text}"));
        assert!(said[0].contains("nobody can be that user"), "{said:?}");
        assert!(!said[0].contains("secret"), "{said:?}");
    }
    assert_eq!(
        warnings("4lw.commands.whitelist=ruok, sttat, *, x"),
        ["zoo.cfg:1: 4lw.commands.whitelist: there is no word sttat, x"]
    );
    assert!(warnings("forceSync=no")[0].contains("may be lost"));
    assert_eq!(
        warnings("admin.enableServer=true\nadmin.serverPort=8081").len(),
        2,
        "keys of a family count one by one"
    );
}

/// The manual must not promise what nothing does: a key is honoured if and only if something
/// outside this room reads the field that it sets.
#[test]
fn honoured_keys_are_those_whose_setting_is_read() {
    let sources = sources_outside_config();
    let settings = include_str!("settings.rs");
    let reads = |field: &str| {
        names(&sources, &format!("config.{field}")) || names(settings, &format!("self.{field}"))
    };
    let table = [
        include_str!("keys/access.rs"),
        include_str!("keys/admin.rs"),
        include_str!("keys/ensemble.rs"),
        include_str!("keys/insides.rs"),
        include_str!("keys/limits.rs"),
        include_str!("keys/network.rs"),
        include_str!("keys/own.rs"),
        include_str!("keys/storage.rs"),
        include_str!("keys/znodes.rs"),
    ];
    let mut checked = 0;
    for entry in table.iter().flat_map(|text| text.split("Key::honoured(").skip(1)) {
        let name = entry.split('"').nth(1).unwrap();
        let Some(field) = entry.split(" c.").nth(1) else { continue };
        let field: String =
            field.chars().take_while(|&c| c.is_alphanumeric() || c == '_').collect();
        assert!(reads(&field), "{name}: nothing reads config.{field}");
        checked += 1;
    }
    assert!(checked > 50, "the table was not found");
}

fn names(text: &str, what: &str) -> bool {
    let ends = |rest: &str| !rest.starts_with(|c: char| c.is_alphanumeric() || c == '_');
    text.match_indices(what).any(|(at, _)| text.get(at + what.len()..).is_some_and(ends))
}

fn sources_outside_config() -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut waiting = vec![root.clone()];
    let mut text = String::new();
    while let Some(directory) = waiting.pop() {
        for entry in std::fs::read_dir(&directory).unwrap() {
            let path = entry.unwrap().path();
            if path == root.join("config") || path == root.join("cli") {
                continue;
            }
            if path.is_dir() {
                waiting.push(path);
            } else if path.extension().is_some_and(|end| end == "rs") {
                text.push_str(&std::fs::read_to_string(&path).unwrap());
            }
        }
    }
    text
}

#[test]
fn an_unreadable_file_is_named() {
    let error = load(Some(Path::new("/nonexistent/zoo.cfg")), &[]).unwrap_err().to_string();
    assert!(error.starts_with("/nonexistent/zoo.cfg: cannot read the configuration: "), "{error}");
}

#[test]
fn a_file_says_where_the_data_is_or_a_flag_does() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("zoo.cfg");
    std::fs::write(&file, "datadir=/srv/x\nclientPort=2181\n").unwrap();
    let said = load(Some(&file), &[]).unwrap_err().to_string();
    assert!(said.contains("zoo.cfg: dataDir is not set"), "{said}");
    let [flag, key, value] = ["--data-dir", "dataDir", "/d"].map(str::to_owned);
    assert!(load(Some(&file), &[Override { flag, key, value }]).is_ok());
    std::fs::write(&file, "dataDir=/srv/x\n").unwrap();
    assert!(load(Some(&file), &[]).is_ok());
    assert!(load(None, &[]).is_ok(), "without a file there is a default");
}

#[test]
fn some_snapshot_is_always_taken() {
    let loaded = read("snapSizeLimitInKb=-1").unwrap();
    assert_eq!(loaded.config.snap_count, 100_000);
    let warning = loaded.warnings[0].to_string();
    assert!(warning.contains("zoo.cfg:1: without snapCount and snapSizeLimitInKb"), "{warning}");
    let loaded = read("snapSizeLimitInKb=0\nsnapCount=7").unwrap();
    assert_eq!((loaded.config.snap_count, loaded.warnings.len()), (7, 0));
}

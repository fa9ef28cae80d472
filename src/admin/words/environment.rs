//! What `envi` shows. The keys are ZooKeeper's, in its order; what only a Java virtual machine
//! has is `<NA>`, as ZooKeeper prints what it does not know.

/// The environment of this process. Reads `/proc`; meant to be taken once, at the start.
pub fn environment() -> Vec<(&'static str, String)> {
    let na = || "<NA>".to_owned();
    let variable = |name| std::env::var(name).unwrap_or_else(|_| na());
    let kernel = |name| {
        let text = std::fs::read_to_string(format!("/proc/sys/kernel/{name}"));
        text.map_or_else(|_| na(), |text| text.trim().to_owned())
    };
    let arch = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        other => other,
    };
    let memory = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let megabytes = |name| meminfo_mb(&memory, name).map_or_else(na, |mb| format!("{mb}MB"));
    let directory = std::env::current_dir().map_or_else(|_| na(), |d| d.display().to_string());
    vec![
        ("zookeeper.version", super::full_version()),
        ("host.name", kernel("hostname")),
        ("java.version", na()),
        ("java.vendor", na()),
        ("java.home", na()),
        ("java.class.path", na()),
        ("java.library.path", na()),
        ("java.io.tmpdir", std::env::temp_dir().display().to_string()),
        ("java.compiler", na()),
        ("os.name", "Linux".to_owned()),
        ("os.arch", arch.to_owned()),
        ("os.version", kernel("osrelease")),
        ("user.name", user().unwrap_or_else(na)),
        ("user.home", variable("HOME")),
        ("user.dir", directory),
        ("os.memory.free", megabytes("MemAvailable:")),
        ("os.memory.max", megabytes("MemTotal:")),
        ("os.memory.total", megabytes("MemTotal:")),
    ]
}

/// The name of the user that the process runs as; the environment may not say.
fn user() -> Option<String> {
    use std::os::unix::fs::MetadataExt;
    let id = std::fs::metadata("/proc/self").ok()?.uid().to_string();
    let users = std::fs::read_to_string("/etc/passwd").ok()?;
    let line = users.lines().find(|line| line.split(':').nth(2) == Some(&id))?;
    line.split(':').next().map(str::to_owned)
}

fn meminfo_mb(meminfo: &str, name: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix(name))?;
    let kb: u64 = line.split_whitespace().next()?.parse().ok()?;
    Some(kb / 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_has_a_value_on_one_line() {
        let all = environment();
        assert_eq!(all.len(), 18);
        for (key, value) in &all {
            assert!(!value.is_empty() && !value.contains('\n'), "{key}={value:?}");
        }
        assert_eq!(all[9], ("os.name", "Linux".to_owned()));
    }

    #[test]
    fn memory() {
        let text = "MemTotal:       16384000 kB\nMemAvailable:    8192000 kB\n";
        assert_eq!(meminfo_mb(text, "MemAvailable:"), Some(8000));
        assert_eq!(meminfo_mb(text, "Missing:"), None);
    }
}

//! Says when the source was made, for the version that four-letter words print: `RINGKEEPER_BUILT_S`, in seconds since
//! 1970. Never the clock's time: the same source makes the same binary.

use std::path::Path;
use std::process::Command;

fn main() {
    println!("cargo::rerun-if-env-changed=SOURCE_DATE_EPOCH");
    println!("cargo::rerun-if-changed=build.rs");
    let given = std::env::var("SOURCE_DATE_EPOCH").ok();
    if let Some(built_s) =
        given.or_else(commit_date).and_then(|text| text.trim().parse::<i64>().ok())
    {
        println!("cargo::rustc-env=RINGKEEPER_BUILT_S={built_s}");
    }
}

/// The date of the commit that is checked out; none if this is no clone, or no part of what the repository holds.
fn commit_date() -> Option<String> {
    let here = std::env::var_os("CARGO_MANIFEST_DIR")?;
    let top = git(&["rev-parse", "--show-toplevel"])?;
    // A source archive may be unpacked in another project's repository.
    if Path::new(top.trim()).canonicalize().ok()? != Path::new(&here).canonicalize().ok()? {
        return None;
    }
    // Builds for daily work (those with debug assertions) keep the date of their first one: else every commit would
    // build everything anew.
    if std::env::var_os("CARGO_CFG_DEBUG_ASSERTIONS").is_none() {
        for name in ["HEAD", "logs/HEAD"] {
            let path = git(&["rev-parse", "--git-path", name])?;
            // A path that is missing would run this at every build.
            if Path::new(path.trim()).exists() {
                println!("cargo::rerun-if-changed={}", path.trim());
            }
        }
    }
    git(&["log", "-1", "--format=%ct"])
}

fn git(args: &[&str]) -> Option<String> {
    let output = Command::new("git").args(args).output().ok()?;
    output.status.success().then(|| String::from_utf8(output.stdout).ok())?
}

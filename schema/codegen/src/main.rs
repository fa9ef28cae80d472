//! Regenerates the FlatBuffers code that is committed under `src/`.
//!
//! Run it after a change to a schema: `cargo run --manifest-path schema/codegen/Cargo.toml`.
//! The product's own build never runs it, so building ringkeeper needs neither cmake nor a C++
//! compiler.

use std::path::Path;
use std::process::{Command, exit};

/// Schema file and the directory that its generated code goes to.
const SCHEMAS: [(&str, &str); 2] = [("log.fbs", "src/log"), ("snapshot.fbs", "src/snapshot")];

fn main() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    for (schema, out) in SCHEMAS {
        let status = Command::new(flatc::flatc())
            .arg("--rust")
            .arg("-o")
            .arg(root.join(out))
            .arg(root.join("schema").join(schema))
            .status();
        match status {
            Ok(status) if status.success() => println!("{schema} -> {out}"),
            Ok(status) => {
                eprintln!("flatc failed on {schema}: {status}");
                exit(1);
            }
            Err(err) => {
                eprintln!("cannot run flatc: {err}");
                exit(1);
            }
        }
    }
}

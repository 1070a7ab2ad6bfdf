//! The binary under test: built once a test process, from the same tree and with the same profile as the tests.

use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;

/// Where `slipstream-proxy` lies. `SLIPSTREAM_PROXY_BIN` names another one, which is then not built.
pub fn proxy_binary() -> PathBuf {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| std::env::var_os("SLIPSTREAM_PROXY_BIN").map_or_else(build, PathBuf::from)).clone()
}

/// Where cargo puts what this test is built with: `TARGET/PROFILE`, for the test's own executable is `TARGET/PROFILE/deps/NAME-HASH`.
pub(crate) fn profile_directory() -> PathBuf {
    let executable = std::env::current_exe().unwrap();
    executable.parent().and_then(|deps| deps.parent()).expect("cargo puts tests into TARGET/PROFILE/deps").to_owned()
}

/// Builds beside this test's own executable: `TARGET/PROFILE/slipstream-proxy`.
fn build() -> PathBuf {
    let directory = profile_directory();
    let profile = match directory.file_name().and_then(|name| name.to_str()).unwrap() {
        "debug" => "dev",
        other => other,
    };
    // The whole workspace with one binary: so cargo unifies features as it did for `cargo test --workspace`, and rebuilds nothing else.
    let status = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
        .args(["build", "--quiet", "--workspace", "--bin", "slipstream-proxy", "--profile", profile, "--target-dir"])
        .arg(directory.parent().unwrap())
        .status()
        .unwrap();
    assert!(status.success(), "slipstream-proxy does not build");
    directory.join("slipstream-proxy")
}

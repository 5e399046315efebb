# What the scripts share: errors, help and the toolchains they need. A script sources it as
#
#   . "$(dirname "$0")/common.sh"

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
script=scripts/$(basename "$0")
failure=2 # the exit status of die; a script whose status 2 means something else sets another

die() { printf '%s: %s\n' "$script" "$*" >&2; exit "$failure"; }

# usage prints the comment at the head of the script.
usage() { sed -n '2,/^set/{/^set/d;s/^# \{0,1\}//;p}' "$root/$script"; }

# wrong_usage ends the script over an argument that it doesn't know.
wrong_usage() { printf '%s: %s (see --help)\n' "$script" "$*" >&2; exit 2; }

need_go() { command -v go >/dev/null || die "Go is missing: install Go 1.26 or later"; }
need_rust() { command -v cargo >/dev/null || die "Rust is missing: the akd oracle needs cargo 1.88 or later (https://rustup.rs)"; }

# build_oracle builds the akd oracle and sets oracle to its path.
build_oracle() {
  cargo build --quiet --release --locked --manifest-path "$root/scripts/akd-oracle/Cargo.toml" || die "akd-oracle could not be built"
  oracle=${CARGO_TARGET_DIR:-$root/scripts/akd-oracle/target}/release/akd-oracle
}

# shellcheck shell=bash
# Sourced by `run` and `nightly`: where they work, what they install, and how a step is shown.
# It sets `scratch`, a folder that goes away at the end.

cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit
export CARGO_TERM_COLOR="${CARGO_TERM_COLOR:-always}" CARGO_INCREMENTAL=0 LC_ALL=C
scratch=$(mktemp -d)
current_step='before the first step'
trap 'rm -rf "$scratch"' EXIT
# With `set -E` also for what fails inside a step's function.
set -E
trap 'printf "\n== FAILED: %s\n" "$current_step" >&2' ERR

# step HEADING COMMAND...: a heading, the command's output, the seconds that it took.
step() {
    current_step=$1
    local start=$SECONDS
    shift
    printf '\n== %s\n' "$current_step"
    "$@"
    printf '== %s: %d s\n' "$current_step" $((SECONDS - start))
}

# need COMMAND PACKAGE: installs the Debian package if the command is missing and apt-get is there.
need() {
    if command -v "$1" >/dev/null; then
        return 0
    fi
    if ! command -v apt-get >/dev/null; then
        printf '%s is missing, and there is no apt-get to install it with\n' "$1" >&2
        return 1
    fi
    local root=()
    if [ "$(id -u)" != 0 ]; then
        root=(sudo)
    fi
    "${root[@]}" apt-get update -q
    "${root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -q "$2"
}

# fail MESSAGE: ends the script.
fail() {
    printf '%s\n' "$1" >&2
    return 1
}

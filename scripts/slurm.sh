# Sourced by slurm_up and slurm_down: where the private Slurm lies and whether it runs.
scripts="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
state="$(realpath -m "${SLURM_STATE:-$scripts/../outputs/.slurm}")"
node="$(hostname -s)"
export SLURM_CONF="$state/slurm.conf"

say() { echo "$*" >&2; }

fail() {
    say "$*"
    exit 1
}

# Whether a daemon's pid file names a process of that name; one that ended and was not reaped (Z) runs no more.
running() {
    local pid name status
    pid="$(cat "$state/$1.pid" 2>/dev/null)" && read -r _ name status _ 2>/dev/null <"/proc/$pid/stat" &&
        [ "$name" = "($1)" ] && [ "$status" != Z ]
}

node_is_up() { timeout 10 sinfo --noheader --format=%T 2>/dev/null | grep -Eq '^(idle|mixed|allocated)$'; }

# The first port from $1 on that nobody listens on.
free_port() {
    local port="$1"
    while (: >"/dev/tcp/127.0.0.1/$port") 2>/dev/null; do port=$((port + 1)); done
    echo "$port"
}

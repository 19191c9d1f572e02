#!/bin/bash
# PigeonDeliver's LMTP server on an SQLite directory, as the mail user.  Receipts are on, as they always are.
# Variants: PD_SYNC=automatic|each
#   PD_SERVICES=none|local|scan: with the services that need no other server, set as tools/services.txt says; with
#   antivirus beside a scanner that answers at once and counts (tools/scanner.py)
# The directory has 1..$USERS as accounts and the further addresses as aliases: the peers' table, row for row.
. "$(dirname "$0")/../common.sh"
: "${PORT:=24030}" "${PD_SYNC:=automatic}" "${PD_SERVICES:=none}"
as_mail() { setpriv --reuid "$MAIL_UID" --regid "$MAIL_GID" --clear-groups "$PD_BIN" "$@" >>"$run/setup.out" 2>&1 || die "pigeon $*: $(tail -n 5 "$run/setup.out")"; }
run=$2
export PIGEON_CONFIG=$run/pigeondeliver.toml
case $1 in
start)
  if [ ! -e "$PIGEON_CONFIG" ]; then
    [ -e "$run/users.sqlite" ] || make_userdb "$run"
    mkdir -p "$run/state"
    cat >"$PIGEON_CONFIG" <<TOML
directory = "sqlite:$run/state/directory.sqlite"
state = "$run/state"
hostname = "bench.test"

[mail]
root = "$run/mail"
user = "$MAIL_USER"
sync = "$PD_SYNC"

[[lmtp]]
listen = "127.0.0.1:$PORT"
max_message_size = 268435456
max_connections = 2000
TOML
    "$BENCH/tools/directory.py" "$USERS" "$ALIASES" >"$run/directory.jsonl"
    chown -R "$MAIL_UID:$MAIL_GID" "$run/state"
    as_mail init
    as_mail directory import "$run/directory.jsonl"
    case $PD_SERVICES in
    local) while IFS= read -r line; do [ -z "$line" ] || [[ $line == \#* ]] || as_mail settings set --system "$line"; done <"${PD_SETTINGS:-$BENCH/tools/services.txt}" ;;
    scan) for line in antivirus.enabled=true "antivirus.servers=[\"unix:$run/scanner\"]"; do as_mail settings set --system "$line"; done ;;
    esac
  fi
  if [ "$PD_SERVICES" = scan ]; then
    rm -f "$run/scanner"
    "$BENCH/tools/scanner.py" "$run/scanner" "$run/scans" & echo $! >"$run/scanner.pid"
    while [ ! -S "$run/scanner" ]; do sleep 0.05; done
  fi
  "$PD_BIN" serve >>"$run/out" 2>&1 &
  echo $! >"$run/pid"; echo "127.0.0.1:$PORT" >"$run/addr"; echo "$run/mail" >"$run/store" ;;
stop)
  stop_pid "$(cat "$run/pid")"
  [ ! -e "$run/scanner.pid" ] || { stop_pid "$(cat "$run/scanner.pid")"; echo "scans so far: $(cat "$run/scans")" >&2; } ;;
version) "$PD_BIN" --version ;;
esac

#!/bin/bash
# PigeonDeliver's LMTP server on an SQLite directory, as the mail user.  Receipts are on, as they always are.
# Variants: PD_SYNC=automatic|each
# The directory has 1..$USERS as accounts and the further addresses as aliases: the peers' table, row for row.
. "$(dirname "$0")/../common.sh"
: "${PORT:=24030}" "${PD_SYNC:=automatic}"
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
    for command in init "directory import $run/directory.jsonl"; do
      setpriv --reuid "$MAIL_UID" --regid "$MAIL_GID" --clear-groups "$PD_BIN" $command >"$run/setup.out" 2>&1 ||
        die "pigeon $command: $(cat "$run/setup.out")"
    done
  fi
  "$PD_BIN" serve >>"$run/out" 2>&1 &
  echo $! >"$run/pid"; echo "127.0.0.1:$PORT" >"$run/addr"; echo "$run/mail" >"$run/store" ;;
stop) stop_pid "$(cat "$run/pid")" ;;
version) "$PD_BIN" --version ;;
esac

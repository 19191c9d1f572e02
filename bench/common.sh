# Sourced by the other scripts.  All knobs are environment variables.
: "${BENCH_RUN:=${TMPDIR:-/tmp}/pigeon-bench}"   # private working tree; only results are written elsewhere
: "${DATA:=$BENCH_RUN/data}"            # mail stores: put it on the disk (or tmpfs) to measure
: "${USERS:=1000}"                      # mailboxes
: "${ALIASES:=20000}"                   # addresses 1u..20000u; address n goes to mailbox (n-1)%USERS+1
: "${MAIL_USER:=mail}"                  # owner of the mail stores
: "${REPS:=3}"
: "${BENCH_NICE:=-10}"                 # niceness of everything measured; 0 on a quiet machine
BENCH=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
BIN=$BENCH_RUN/bin
RESULTS=${RESULTS:-$BENCH/results}
: "${PD_BUILT:=$BENCH/../target/release/pigeon}"   # our binary; a copy is run, which the mail user can reach
PD_BIN=$BIN/pigeon
MAIL_UID=$(id -u "$MAIL_USER") MAIL_GID=$(id -g "$MAIL_USER")
export PD_BIN BENCH_RUN DATA RESULTS USERS ALIASES MAIL_USER MAIL_UID MAIL_GID BENCH BIN
mkdir -p "$BIN" "$DATA" "$RESULTS"
[ "$BENCH_NICE" = 0 ] || [ -n "${BENCH_NICED:-}" ] || { renice -n "$BENCH_NICE" -p $$ >/dev/null 2>&1; export BENCH_NICED=1; }
chmod 755 "$BENCH_RUN" "$DATA"
# ext4: +T spreads the run folders over the disk.  Together with deferred deletion (below) it keeps one
# run's deleted inodes from slowing down the next run's creates (ext4's recently_deleted() scan made
# creates up to 10 times dearer in our first tries).
chattr +T "$DATA" 2>/dev/null || true

die() { echo "$*" >&2; exit 1; }
build_tools() {
  local s b
  for s in "$PD_BUILT" "$PD_BUILT-deliver"; do [ ! -x "$s" ] || cp -u "$s" "$BIN/"; done
  for s in "$BENCH"/tools/*.c; do
    b=$BIN/$(basename "$s" .c)
    [ "$b" -nt "$s" ] || ${CC:-gcc} -O2 -pthread -o "$b" "$s" || die "cannot build $s"
  done
}
# A target is NAME or NAME:VAR=VALUE,VAR=VALUE; TARGET_DIR/NAME.sh is called with the variables set.
target() { local n=${1%%:*} v=; [[ $1 == *:* ]] && v=${1#*:}; env ${v//,/ } "$BENCH/${TARGET_DIR:-targets}/$n.sh" "$2" "$3"; }
tree() { local p; echo "$1"; for p in $(pgrep -P "$1"); do tree "$p"; done; }   # a process and all below it
new_run_dir() { local d; d=$(mktemp -d "$DATA/$1.XXXXXX") && chmod 755 "$d" && echo "$d"; }
# Run folders are removed only when a script ends (see chattr above); KEEP=1 keeps them.
cleanup() { [ -n "${KEEP:-}" ] || rm -rf "${DATA:?}"/*; touch "$BENCH_RUN/.last-cleanup"; }
settle() {                              # wait until ext4 forgets the last mass deletion (60 s)
  local s
  sync
  if [ -z "${NO_SETTLE:-}" ] && [ -e "$BENCH_RUN/.last-cleanup" ]; then
    s=$(( 65 - ( $(date +%s) - $(stat -c %Y "$BENCH_RUN/.last-cleanup") ) ))
    [ "$s" -le 0 ] || { echo "settling for $s s (NO_SETTLE=1 skips)" >&2; sleep "$s"; }
  fi
}
stop_pid() {                            # end one process that we started, and wait for it
  local p=$1 i
  kill "$p" 2>/dev/null || return 0
  for i in $(seq 100); do kill -0 "$p" 2>/dev/null || return 0; sleep 0.1; done
  kill -9 "$p" 2>/dev/null || true
}
wait_port() {                           # host:port or unix:path, 20 s
  python3 - "$1" <<'PY'
import socket, sys, time
a = sys.argv[1]
for _ in range(200):
    try:
        if a.startswith("unix:"):
            s = socket.socket(socket.AF_UNIX); s.connect(a[5:])
        else:
            h, p = a.rsplit(":", 1); s = socket.create_connection((h, int(p)), 2)
        s.settimeout(5)
        if s.recv(3) == b"220":
            s.sendall(b"QUIT\r\n"); sys.exit(0)
    except OSError:
        pass
    time.sleep(0.1)
sys.exit("no LMTP greeting at " + a)
PY
}
make_userdb() {                         # $1: run folder -> users.sqlite, users.passwd, mail/N/Maildir
  python3 - "$1" <<'PY'
import os, sqlite3, sys
run = sys.argv[1]
n, al = int(os.environ["USERS"]), int(os.environ["ALIASES"])
uid, gid = int(os.environ["MAIL_UID"]), int(os.environ["MAIL_GID"])
rows = [(f"{i}u", "bench.test", f"{run}/mail/{(i-1)%n+1}", uid, gid) for i in range(1, al + 1)]
db = sqlite3.connect(f"{run}/users.sqlite")
db.execute("PRAGMA journal_mode=WAL")
db.execute("CREATE TABLE users(userid TEXT NOT NULL, domain TEXT NOT NULL, home TEXT NOT NULL, uid INT, gid INT,"
           " PRIMARY KEY(userid, domain)) WITHOUT ROWID")
db.executemany("INSERT INTO users VALUES(?,?,?,?,?)", rows)
db.commit()
db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
db.close()
with open(f"{run}/users.passwd", "w") as f:
    for u, d, h, *_ in rows:
        f.write(f"{u}@{d}::{uid}:{gid}::{h}::\n")
os.makedirs(f"{run}/mail")
os.chown(f"{run}/mail", uid, gid)
for i in range(1, n + 1):
    b = f"{run}/mail/{i}"
    for p in (b, b + "/Maildir", *(f"{b}/Maildir/{s}" for s in ("tmp", "new", "cur"))):
        os.mkdir(p, 0o700)
        os.chown(p, uid, gid)
for f in ("users.sqlite", "users.passwd"):
    os.chmod(f"{run}/{f}", 0o644)
PY
}

# Sourced by directory.sh and cluster.sh: a private PostgreSQL with the settings that initdb writes (fsync on).
: "${PG_PROGRAMS:=$(ls -d /usr/lib/postgresql/*/bin 2>/dev/null | sort -V | tail -1)}"
: "${PG_USER:=postgres}"                # whom it runs as: not root
PG_PID=
# Where the kernel groups processes by session, niceness counts inside a session only: the session gets it, too.
[ "$BENCH_NICE" = 0 ] || { echo "$BENCH_NICE" >/proc/self/autogroup; } 2>/dev/null || true

# start_postgres FOLDER ADDRESSES PORT: role and database "pigeon", trusted from everywhere it listens at.
start_postgres() {
  local folder=$1 addresses=$2 port=$3
  [ -x "$PG_PROGRAMS/postgres" ] || die "no PostgreSQL: install postgresql, or set PG_PROGRAMS to where its programs are"
  id "$PG_USER" >/dev/null 2>&1 || die "no user $PG_USER to run PostgreSQL as: set PG_USER"
  PG_SOCKETS=$folder PG_PORT=$port
  install -d -o "$PG_USER" -m 755 "$folder" && install -d -o "$PG_USER" -m 700 "$folder/data"
  as_postgres "$PG_PROGRAMS/initdb" -D "$folder/data" -U postgres -A trust -E UTF8 --locale=C.UTF-8 \
    >"$folder/initdb.log" 2>&1 || die "initdb: $(tail -3 "$folder/initdb.log")"
  echo "host all all 198.18.0.0/15 trust" >>"$folder/data/pg_hba.conf"
  # -k and -c: where it listens; everything else is as initdb left it.
  # No function here: a shell between us and the server would get its signals.
  setpriv --reuid "$PG_USER" --regid "$(id -g "$PG_USER")" --clear-groups "$PG_PROGRAMS/postgres" -D "$folder/data" -p "$port" -k "$folder" \
    -c listen_addresses="$addresses" >"$folder/log" 2>&1 &
  PG_PID=$!
  for _ in $(seq 100); do
    psql_here postgres -c 'SELECT 1' >"$folder/ready" 2>&1 && break
    sleep 0.1
  done
  psql_here postgres -c 'CREATE ROLE pigeon LOGIN' || die "PostgreSQL does not start: $(tail -3 "$folder/log")"
  psql_here postgres -c 'CREATE DATABASE pigeon OWNER pigeon' || die "no database"
}
as_postgres() { setpriv --reuid "$PG_USER" --regid "$(id -g "$PG_USER")" --clear-groups "$@"; }
psql_here() { "$PG_PROGRAMS/psql" -XqAt -h "$PG_SOCKETS" -p "$PG_PORT" -U postgres -d "$@"; }
stop_postgres() {                       # setpriv becomes the server: its process is the one to end
  [ -n "$PG_PID" ] || return 0
  kill -INT "$PG_PID" 2>/dev/null || true
  wait "$PG_PID" 2>/dev/null || true
  PG_PID=
}

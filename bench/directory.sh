#!/bin/bash
# Plans over a PostgreSQL directory of up to a million accounts: cold, warm, and the memory of a node's kept plans.
# Env: SIZES (accounts, a database each), RUNS, OWN (settings of each account, 5), EXPLAIN=1 (the server's plans), PORT
# (and common.sh's, postgres.sh's).  Root.
. "$(dirname "$0")/common.sh"
. "$BENCH/postgres.sh"
: "${SIZES:=1000 100000 1000000}" "${PORT:=25432}" "${RUNS:=2}"
example=${EXAMPLE:-$BENCH/../target/release/examples/directory_scale_postgres}
[ -x "$example" ] || die "build it first: cargo build --release -p pigeondeliver --example directory_scale_postgres"
settle
run=$(new_run_dir postgres)
on_exit() { stop_postgres; cleanup; }
trap on_exit EXIT; trap 'exit 130' INT TERM
start_postgres "$run/postgres" 127.0.0.1 "$PORT"
urls=
for size in $SIZES; do
  psql_here postgres -c "CREATE DATABASE scale_$size OWNER pigeon" || exit 1
  urls="$urls postgres://pigeon@127.0.0.1:$PORT/scale_$size"
done
out=$RESULTS/directory.txt
{
  date -u; "$PG_PROGRAMS/postgres" --version
  psql_here postgres -c "SELECT name || ' = ' || current_setting(name) FROM unnest('{fsync,synchronous_commit,full_page_writes,shared_buffers,max_wal_size,work_mem}'::text[]) AS name"
  fill=--fill
  for n in $(seq "$RUNS"); do
    echo "run $n; load before: $(cut -d' ' -f1-3 /proc/loadavg)"
    PATH=$PG_PROGRAMS:$PATH "$example" $fill $urls || exit 1
    echo "load after: $(cut -d' ' -f1-3 /proc/loadavg)"
    fill=
  done
  for size in $SIZES; do
    echo "$size: $(psql_here "scale_$size" -c "SELECT pg_size_pretty(pg_database_size('scale_$size'))")"
  done
} | tee "$out"
[ -z "${EXPLAIN:-}" ] || for size in $SIZES; do
  echo "== $size"
  { echo "SET jit = off; PREPARE look (text) AS"; cat "$BENCH/../crates/pigeon-backends/src/directory/sql/fetch_postgres.sql"; echo ";"
    for n in 1 2 3 4 5 6; do echo "\\o /dev/null"; echo "EXECUTE look('[{\"local\": \"user3\", \"domain\": \"d$n.example.org\"}]');"; done
    echo "\\o"; echo "EXPLAIN (ANALYZE, BUFFERS) EXECUTE look('[{\"local\": \"user7\", \"domain\": \"d5.example.org\"}]');"; } | psql_here "scale_$size" -f -
done

#!/bin/bash
# One, two and three nodes, each in a network namespace, over one PostgreSQL and one mail root: deliveries a second,
# where the CPU time goes, and syncs.  All of them share this machine's cores and disk: it shows what a further node
# costs and what is limiting here, not how far separate machines would reach.
# Env: COUNTS SESSIONS SIZE CASE_S REPS (and common.sh's, postgres.sh's).  Root.
. "$(dirname "$0")/common.sh"
. "$BENCH/postgres.sh"
: "${COUNTS:=1 2 3}" "${SESSIONS:=30}" "${SIZE:=4096}" "${CASE_S:=5}" "${PORT:=25433}" "${COUNTED:=600}"
NET=198.18.255                          # RFC 2544; the tests use the third bytes below
HUB=pdbench-hub HOST_END=pdbench-host
nodes=$(tr ' ' '\n' <<<"$COUNTS" | sort -n | tail -1)
node_pids=()
out=$RESULTS/cluster.csv
[ "$(id -u)" = 0 ] || die "network namespaces need root"
build_tools; settle
unplug() {
  local n
  for n in $(seq "$nodes"); do ip netns delete "pdbench$n" 2>/dev/null; done
  ip netns delete "$HUB" 2>/dev/null; ip link delete "$HOST_END" 2>/dev/null; true
}
stop_nodes() { local p; for p in "${node_pids[@]}"; do stop_pid "$p"; done; node_pids=(); }
on_exit() { stop_nodes; stop_postgres; unplug; cleanup; }
trap on_exit EXIT; trap 'exit 130' INT TERM
plug() {                                # nodes on a switch in a namespace of its own, and the machine
  local n
  ip netns add "$HUB" && ip -n "$HUB" link add whole type bridge && ip -n "$HUB" link set whole up || die "no bridges here"
  ip link add "$HOST_END" type veth peer name host netns "$HUB" || die "no pairs of interfaces here"
  ip address add "$NET.254/24" dev "$HOST_END"; ip link set "$HOST_END" up
  ip -n "$HUB" link set host master whole up
  for n in $(seq "$nodes"); do
    ip netns add "pdbench$n"
    ip -n "$HUB" link add "v$n" type veth peer name eth0 netns "pdbench$n"
    ip -n "$HUB" link set "v$n" master whole up
    ip -n "pdbench$n" address add "$NET.$n/24" dev eth0
    ip -n "pdbench$n" link set eth0 up; ip -n "pdbench$n" link set lo up
  done
}
configure() {                           # node: its files and its configuration
  local state=$run/node$1
  install -d -o "$MAIL_UID" -g "$MAIL_GID" "$state"
  cat >"$state/pigeondeliver.toml" <<TOML
directory = "postgres://pigeon@$NET.254:$PORT/pigeon"
node = "node$1"
state = "$state"
hostname = "node$1.bench.test"

[mail]
root = "$run/mail"
user = "$MAIL_USER"

[[lmtp]]
listen = "$NET.$1:24"
TOML
}
pigeon() { PIGEON_CONFIG=$run/node1/pigeondeliver.toml setpriv --reuid "$MAIL_UID" --regid "$MAIL_GID" --clear-groups "$PD_BIN" "$@"; }
start_nodes() {
  local n
  for n in $(seq "$1"); do
    PIGEON_CONFIG=$run/node$n/pigeondeliver.toml ip netns exec "pdbench$n" "$PD_BIN" serve >>"$run/node$n/out" 2>&1 &
    node_pids+=($!)
  done
  for n in $(seq "$1"); do wait_port "$NET.$n:24" || die "node $n: $(tail -3 "$run/node$n/out")"; done
}
load() {                                # nodes, flags: one load generator for each node, at once
  local n pids=()
  for n in $(seq "$1"); do
    "$BIN/lmtpload" -a "$NET.$n:24" -c "$((SESSIONS / $1))" -s "$SIZE" -u "$USERS" "${@:2}" >"$run/load$n" 2>"$run/load$n.err" & pids+=($!)
  done
  wait "${pids[@]}" || { cat "$run"/load[0-9].err >&2; return 1; }
}
wal_syncs() { psql_here pigeon -c "SELECT wal_sync FROM pg_stat_wal"; }
receipts() { psql_here pigeon -c "SELECT count(*) FROM state_receipts"; }
busy() { awk '/^cpu /{print $2+$3+$4+$7+$8}' /proc/stat; }
idle() { awk '/^cpu /{print $5, $6}' /proc/stat; }
counted() {                             # nodes: syncs of the nodes for each delivery, by strace
  local n traces=()
  command -v strace >/dev/null || { echo "n/a"; return; }
  for n in $(seq "$1"); do
    strace -f -q -c -U name,calls -e trace=fsync,fdatasync,syncfs -o "$run/trace$n" -p "${node_pids[$((n - 1))]}" 2>/dev/null & traces+=($!)
  done
  sleep 1; load "$1" -n "$((COUNTED / $1))"
  kill -INT "${traces[@]}"; wait "${traces[@]}" 2>/dev/null
  # Columns: name, calls; the line "total" sums them up.
  cat "$run"/trace[0-9] | awk -v n="$COUNTED" '$1 ~ /^(fsync|fdatasync|syncfs)$/ {s += $2} $2 ~ /^(fsync|fdatasync|syncfs)$/ {s += $1} END {printf "%.2f", s / n}'
  rm -f "$run"/trace[0-9]
}
measure() {                             # repetition, nodes
  local watch=() p i=0 b0 b1 w0 w1 r0 r1
  start_nodes "$2"
  load "$2" -n "$((USERS / $2))" || exit 1   # not counted: plans are kept then, mailboxes made, connections open
  sums
  for p in "${node_pids[@]}" "$PG_PID"; do
    i=$((i + 1)); rm -f "$run/ps$i.ready"; python3 "$BENCH/tools/procstat.py" "$p" "$run/ps$i" & watch+=($!)
  done
  while [ "$(ls "$run"/ps*.ready 2>/dev/null | wc -l)" -lt "$i" ]; do sleep 0.02; done
  w0=$(wal_syncs); r0=$(receipts); b0="$(busy) $(idle)"
  load "$2" -T "$CASE_S" || exit 1
  b1="$(busy) $(idle)"; w1=$(wal_syncs); r1=$(receipts)
  sums
  kill "${watch[@]}"; wait "${watch[@]}" 2>/dev/null
  rm -f "$run"/ps*.ready
  python3 - "$run" "$out" "$1" "$2" "$((w1 - w0))" "$((r1 - r0))" "$b0" "$b1" <<'PY'
import json, os, sys
run, out, rep, nodes, wal, receipts, b0, b1 = sys.argv[1:]
nodes = int(nodes)
loads = [json.load(open(f"{run}/load{n}")) for n in range(1, nodes + 1)]
ps = [json.load(open(f"{run}/ps{n}")) for n in range(1, nodes + 2)]
n, sec = sum(d["deliveries"] for d in loads), max(d["seconds"] for d in loads)
busy, idle, wait = ((y - x) / 100 for x, y in zip(map(int, b0.split()), map(int, b1.split())))
mine = sum(p["cpu_s"] for p in ps[:-1])
client = sum(d.get("client_cpu_s", 0) for d in loads)
row = [rep, nodes, n, sum(d["failed"] for d in loads), round(n / sec, 1), max(d["lat_p99_ms"] for d in loads),
       round(mine / n * 1e6), round(ps[-1]["cpu_s"] / n * 1e6), round(client / n * 1e6),
       round(max(0, busy - mine - ps[-1]["cpu_s"] - client) / sec, 2), round(idle / sec, 2), round(wait / sec, 2), round(int(wal) / n, 3), round(int(receipts) / n, 2),
       round(sum(p["pss_peak_mib"] for p in ps[:-1]) / nodes, 1)]
new = not os.path.exists(out) or not os.path.getsize(out)
with open(out, "a") as f:
    if new:
        f.write("rep,nodes,deliveries,failed,deliv_per_s,lat_p99_ms,node_us_per_deliv,postgres_us_per_deliv,client_us_per_deliv,"
                "other_cores,idle_cores,waiting_for_disk_cores,wal_syncs_per_deliv,receipts_written,node_pss_mib\n")
    f.write(",".join(map(str, row)) + "\n")
print("run {}, {} nodes: {:.0f} deliv/s ({} failed), p99 {} ms; CPU us/deliv: nodes {}, PostgreSQL {}, load {}; cores: other {},"
      " idle {}, waiting for the disk {};\n   WAL syncs/deliv {}; receipts written meanwhile, of all {}; PSS a node {} MiB".format(rep, nodes, n / sec, row[3], *row[5:]), flush=True)
PY
  echo "   syncs of the nodes for each delivery: $(counted "$2")"
  sums
  stop_nodes
}
sums() { python3 -c 'import json,sys; print(sum(json.load(open(f))["deliveries"] for f in sys.argv[1:]))' "$run"/load[0-9] >>"$run/sum"; }
unplug; plug
run=$(new_run_dir cluster)
start_postgres "$run/postgres" "$NET.254,127.0.0.1" "$PORT"
install -d -o "$MAIL_UID" -g "$MAIL_GID" "$run/mail"
for n in $(seq "$nodes"); do configure "$n"; done
"$BENCH/tools/directory.py" "$USERS" "$ALIASES" >"$run/directory.jsonl"
for command in init "directory import $run/directory.jsonl"; do
  pigeon $command >"$run/setup.out" 2>&1 || die "pigeon $command: $(cat "$run/setup.out")"
done
for rep in $(seq "$REPS"); do
  for count in $COUNTS; do rm -f "$run"/load[0-9]; measure "$rep" "$count"; sync; done
done
awk -v f="$(find "$run/mail" -path '*/new/*' -type f | wc -l)" '{n += $1} END {printf "%d deliveries acknowledged, %d found in the mail root: %s\n", n, f, n == f ? "ok" : "MISMATCH"}' "$run/sum"
echo "rows: $out"

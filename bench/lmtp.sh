#!/bin/bash
# Side-by-side LMTP benchmark.  See README.md.  Env: TARGETS CASES REPS CASE_S PRE_S WARM LIMITS RESULTS (and common.sh's)
. "$(dirname "$0")/common.sh"
: "${TARGETS:=sink dovecot pigeondeliver}"      # words: NAME or NAME:VAR=VALUE,VAR=VALUE  -> targets/NAME.sh
# one case a line: sessions size recipients [more lmtpload flags]
: "${CASES:=1 4096 1
10 4096 1
50 4096 1
10 4096 1 -k1
1 65536 1
10 65536 1
10 1048576 1
1 4096 50
10 4096 50
10 65536 50}"
: "${CASE_S:=2}" "${PRE_S:=0.5}" "${WARM:=$USERS}"
: "${LIMITS:=1}"                        # whether a program that only writes and syncs the files takes its turn
out=$RESULTS/lmtp.csv
build_tools; settle
[ -s "$out" ] || echo "rep,target,sessions,size,rcpts,opts,deliveries,failed,seconds,deliv_per_s,msgs_per_s,lat_p50_ms,lat_p99_ms,txn_p50_ms,txn_p99_ms,cpu_s,cpu_us_per_deliv,user_s,sys_s,rss_peak_mib,pss_peak_mib,procs_peak,client_cpu_s,other_cpu_cores" >"$out"
limits=$RESULTS/limits.csv
[ -s "$limits" ] || echo "rep,fs,mode,threads,batch,size,files,seconds,files_per_s,syncs,p50_us,p99_us,cpu_us_per_file" >"$limits"
declare -A RUN EXP
cur=
on_exit() { local t=$cur; [ -z "$t" ] || target "$t" stop "${RUN[$t]}"; cleanup; }
trap on_exit EXIT; trap 'exit 130' INT TERM
stored() {
  local c; c=$(target "$1" count "${RUN[$1]}")
  [ -n "$c" ] || c=$(find "$(cat "${RUN[$1]}/store")" -path '*/new/*' -type f 2>/dev/null | wc -l)
  echo "$c"
}
busy() { awk '/^cpu /{print $2+$3+$4+$7+$8}' /proc/stat; }
load() {                                # target, sessions, size, recipients, seconds, more flags
  "$BIN/lmtpload" -a "$(cat "${RUN[$1]}/addr")" -c "$2" -s "$3" -r "$4" -u "$USERS" -n 1000000 -T "$5" "${@:6}"
}
measure() {                             # rep target case...
  local rep=$1 t=$2 c=$3 s=$4 r=$5 opts=${*:6} run=${RUN[$2]} ps b0 b1
  # Not counted: a server that starts a process for each session does so here.
  load "$t" "$c" "$s" "$r" "$PRE_S" $opts >"$run/pre" 2>"$run/load.err" && python3 -c "import json,sys; print(json.load(sys.stdin)['deliveries'])" <"$run/pre" >>"$run/sum"
  rm -f "$run/ps" "$run/ps.ready"
  python3 "$BENCH/tools/procstat.py" "$(cat "$run/pid")" "$run/ps" & ps=$!
  while [ ! -e "$run/ps.ready" ]; do sleep 0.02; done
  b0=$(busy)
  load "$t" "$c" "$s" "$r" "$CASE_S" $opts >"$run/load" 2>"$run/load.err"
  b1=$(busy)
  kill "$ps"; wait "$ps" 2>/dev/null
  python3 - "$run" "$out" "$rep" "$t" "$c" "$s" "$r" "$opts" "$((b1-b0))" <<'PY'
import json, sys
run, out, rep, t, c, s, r, opts, busy = sys.argv[1:]
try:
    d, p = json.load(open(run + "/load")), json.load(open(run + "/ps"))
except Exception:
    sys.exit(f"{t} c={c} s={s} r={r}: FAILED: " + open(run + "/load.err").read()[:300])
n, sec = d["deliveries"], d["seconds"]
g = lambda k: d.get(k, "")
ncl = d.get("client_cpu_s", 0)
other = max(0, int(busy) / 100 - p["cpu_s"] - ncl) / sec
row = [rep, t.replace(",", "+"), c, s, r, opts, n, d["failed"], sec, round(n / sec, 1), round(d["messages"] / sec, 1), g("lat_p50_ms"),
       g("lat_p99_ms"), g("txn_p50_ms"), g("txn_p99_ms"), p["cpu_s"], round(p["cpu_s"] / max(n, 1) * 1e6), p["user_s"], p["sys_s"],
       p["rss_peak_mib"], p["pss_peak_mib"], p["procs_peak"], ncl, round(other, 2)]
open(out, "a").write(",".join(map(str, row)) + "\n")
print(f"{rep} {t:34} c={c:>3} s={s:>7} r={r:>2} {opts:4} {n/sec:9.1f} deliv/s  p50 {g('lat_p50_ms')} p99 {g('lat_p99_ms')} ms"
      f"  cpu {row[16]} us/deliv  pss {p['pss_peak_mib']} MiB  other {row[-1]} cores" + (f"  FAILED {d['failed']}: {g('first_error')}" if d["failed"] else ""), flush=True)
open(run + "/sum", "a").write(f"{n}\n")
PY
}
for t in $TARGETS; do
  RUN[$t]=$(new_run_dir "${t%%:*}")
  cur=$t; target "$t" start "${RUN[$t]}"; wait_port "$(cat "${RUN[$t]}/addr")" || exit 1
  [ "$WARM" = 0 ] || "$BIN/lmtpload" -a "$(cat "${RUN[$t]}/addr")" -c 10 -n "$WARM" -u "$USERS" >"${RUN[$t]}/warm" || exit 1
  echo "$WARM" >"${RUN[$t]}/sum"
  target "$t" stop "${RUN[$t]}"; cur=
done
[ "$LIMITS" = 0 ] || alone=$(new_run_dir alone)
disk() {                                # rep sessions size recipients: as many durable files as there are sessions at once
  local l
  [ "$LIMITS" != 0 ] && [ "$4" = 1 ] && [ $# = 4 ] || return 0
  l=$("$BIN/durlimit" -d "$alone" -m fsync2 -t "$2" -s "$3" -T "$CASE_S" -n 100000) || return
  echo "$1,disk,${l// /,}" >>"$limits"
  set -- "$1" "$2" "$3" $l
  printf '%s %-34s c=%3s s=%7s r= 1      %9.1f files/s  p50 %s us  cpu %s us/file\n' "$1" "the disk alone" "$2" "$3" "${10}" "${12}" "${14}"
}
for rep in $(seq "$REPS"); do
  while read -r case_; do [ -z "$case_" ] || disk "$rep" $case_; sync; done <<<"$CASES"
  for t in $TARGETS; do
    cur=$t; target "$t" start "${RUN[$t]}"; wait_port "$(cat "${RUN[$t]}/addr")" || exit 1
    while read -r case_; do [ -z "$case_" ] || measure "$rep" "$t" $case_; sync; done <<<"$CASES"
    target "$t" stop "${RUN[$t]}"; cur=
  done
done
for t in $TARGETS; do
  [ "$(cat "${RUN[$t]}/store")" = none ] || awk -v t="$t" -v f="$(stored "$t")" '{n+=$1} END {printf "%s: %d deliveries acknowledged, %d found in the store: %s\n", t, n, f, n==f ? "ok" : "MISMATCH"}' "${RUN[$t]}/sum"
done
python3 "$BENCH/tools/summarise.py" "$out" >"$RESULTS/lmtp.md"; echo "rows: $out  table: $RESULTS/lmtp.md"

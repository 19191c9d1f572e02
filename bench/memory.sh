#!/bin/bash
# Memory of LMTP targets: busy sessions, idle connections, large messages; and of the pipe form.  See README.md.
# Env: TARGETS PTARGETS SESSIONS IDLE LARGE SMALL RESULTS (and common.sh's)
. "$(dirname "$0")/common.sh"
: "${TARGETS:=dovecot pigeondeliver}" "${PTARGETS=pigeondeliver}" "${SESSIONS:=50}" "${CASE_S:=3}"
: "${IDLE:=1000}"                       # idle connections; a tenth where a connection is a process
: "${SMALL:=1048576}" "${LARGE:=104857600}"
out=$RESULTS/memory.csv
build_tools
[ -s "$out" ] || echo "target,case,value,unit" >"$out"
cur= run=
on_exit() { [ -z "$cur" ] || target "$cur" stop "$run"; cleanup; }
trap on_exit EXIT; trap 'exit 130' INT TERM
row() { echo "${1//,/+},$2,$3,$4" >>"$out"; printf '%-28s %-28s %10s %s\n' "$1" "$2" "$3" "$4"; }
begin() { run=$(new_run_dir "mem-${1%%:*}"); cur=$1; again "$1"; }
again() { target "$1" start "$run"; wait_port "$(cat "$run/addr")" || exit 1; }
end() { target "$cur" stop "$run"; cur=; }
peak() {                                # peak PSS in MiB of the target while lmtpload runs with these flags
  local ps
  rm -f "$run/ps" "$run/ps.ready"
  python3 "$BENCH/tools/procstat.py" "$(cat "$run/pid")" "$run/ps" 0.02 & ps=$!
  while [ ! -e "$run/ps.ready" ]; do sleep 0.02; done
  "$BIN/lmtpload" -a "$(cat "$run/addr")" -u "$USERS" "$@" >"$run/load" || { kill "$ps"; echo "lmtpload $*: $(cat "$run/load")" >&2; return 1; }
  kill "$ps"; wait "$ps" 2>/dev/null
  python3 -c "import json,sys; print(json.load(sys.stdin)['pss_peak_mib'])" <"$run/ps"
}
for t in $TARGETS; do
  begin "$t"
  v=$(peak -c "$SESSIONS" -n 1000000 -T "$CASE_S") && row "$t" "sessions-$SESSIONS" "$v" MiB
  end; again "$t"; cur=$t
  n=$IDLE; [ "${t%%:*}" != dovecot ] || n=$((IDLE / 10))
  v=$(python3 "$BENCH/tools/idle.py" "$(cat "$run/addr")" "$(cat "$run/pid")" "$n") &&
    row "$t" "idle-connection" "$(python3 -c "import json,sys; print(json.load(sys.stdin)['kib_per_connection'])" <<<"$v")" KiB
  for s in "$SMALL" "$LARGE"; do        # a fresh server for each, so that none profits from the other's heap
    end; again "$t"; cur=$t
    n=2; [ "$s" -gt 10485760 ] || n=100  # long enough for the sampling to meet the peak
    v=$(peak -c 1 -n "$n" -s "$s") && row "$t" "message-$s" "$v" MiB
  done
  end
done
TARGET_DIR=pipe-targets
for t in $PTARGETS; do
  run=$(new_run_dir "mem-pipe-${t%%:*}"); make_userdb "$run"
  target "$t" prepare "$run" || die "$t: prepare failed"
  mapfile -t argv <"$run/argv"
  who=$(cat "$run/asuser" 2>/dev/null || echo "$MAIL_USER")
  for s in "$SMALL" "$LARGE"; do
    "$BENCH/tools/message.py" "$s" >"$BENCH_RUN/msg.$s"; chmod 644 "$BENCH_RUN/msg.$s"
    (cd /; setpriv --reuid "$who" --regid "$(id -g "$who")" --clear-groups "$BIN/pipeload" -f "$BENCH_RUN/msg.$s" -n 2 -w 1 -u 2 -- "${argv[@]}") >"$run/res" &&
      row "pipe-$t" "message-$s" "$(python3 -c "import json,sys; print(round(json.load(sys.stdin)['maxrss_kib'] / 1024, 1))" <"$run/res")" MiB
  done
  target "$t" finish "$run"
done
echo "rows: $out"

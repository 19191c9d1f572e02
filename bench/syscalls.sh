#!/bin/bash
# System calls per delivery of LMTP targets: how many syncs, renames, opens ... really happen.
# Env: TARGETS MESSAGES SESSIONS SIZE RCPTS (and common.sh's).  strace slows the target; only the counts mean something.
. "$(dirname "$0")/common.sh"
: "${TARGETS:=dovecot pigeondeliver}" "${MESSAGES:=1000}" "${SESSIONS:=10}" "${SIZE:=4096}" "${RCPTS:=1}"
mkdir -p "$RESULTS/strace"; build_tools
out=$RESULTS/syscalls.csv
[ -s "$out" ] || echo "target,sessions,size,rcpts,calls,syncs" >"$out"
cur=
on_exit() { [ -z "$cur" ] || target "$cur" stop "$run"; cleanup; }
trap on_exit EXIT; trap 'exit 130' INT TERM
for t in $TARGETS; do
  run=$(new_run_dir "sc-${t%%:*}"); cur=$t
  target "$t" start "$run"; wait_port "$(cat "$run/addr")" || exit 1
  "$BIN/lmtpload" -a "$(cat "$run/addr")" -c "$SESSIONS" -n 300 -u 20 >/dev/null
  args=(); for p in $(tree "$(cat "$run/pid")"); do args+=(-p "$p"); done
  o=$RESULTS/strace/${t//[:,=]/_}.s$SIZE.r$RCPTS
  strace -f -q -c -U name,calls,errors,time -S calls -o "$o" "${args[@]}" 2>/dev/null & s=$!
  sleep 1
  "$BIN/lmtpload" -a "$(cat "$run/addr")" -c "$SESSIONS" -n "$MESSAGES" -s "$SIZE" -r "$RCPTS" -u 20 >"$run/load" 2>&1
  kill -INT "$s"; wait "$s" 2>/dev/null
  target "$t" stop "$run"; cur=
  python3 - "$o" "${t//,/+}" "$((MESSAGES*RCPTS))" "$out" "$SESSIONS,$SIZE,$RCPTS" <<'PY'
import sys
o, t, n, out, case = sys.argv[1], sys.argv[2], int(sys.argv[3]), *sys.argv[4:]
c = {}
for l in open(o):
    p = l.split()
    if len(p) >= 2 and p[1].isdigit(): c[p[0]] = int(p[1])
tot = c.pop("total", sum(c.values()))
syncs = sum(v for k, v in c.items() if k in ("fsync", "fdatasync", "syncfs", "sync_file_range", "msync")) / n
open(out, "a").write(f"{t},{case},{tot/n:.2f},{syncs:.3f}\n")
print(f"{t}: {tot/n:.1f} calls per delivery; syncs {syncs:.2f}")
print("   " + ", ".join(f"{k} {v/n:.2f}" for k, v in sorted(c.items(), key=lambda x: -x[1]) if v/n >= .1))
PY
done

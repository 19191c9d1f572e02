#!/bin/bash
# Per-message cost of pipe MDAs: one process per message, stdin -> Maildir.  See README.md.
# Env: PTARGETS SIZES RUNS CASE_S JOBS REPS RESULTS (and common.sh's)
. "$(dirname "$0")/common.sh"
: "${PTARGETS:=minimda:MM_SYNC=1 procmail maildrop dovecot-lda pigeondeliver}"
: "${SIZES:=4096 1048576}" "${RUNS:=300}" "${CASE_S:=5}" "${JOBS:=1}"
out=$RESULTS/pipe.csv
build_tools; settle
[ -s "$out" ] || echo "rep,target,size,jobs,runs,failed,stored,per_s,min_ms,p50_ms,p90_ms,p99_ms,user_ms,sys_ms,cpu_ms,maxrss_kib" >"$out"
declare -A folders
on_exit() { for t in "${!folders[@]}"; do target "$t" finish "${folders[$t]}"; done; cleanup; }
trap on_exit EXIT; trap 'exit 130' INT TERM
TARGET_DIR=pipe-targets
for s in $SIZES; do "$BENCH/tools/message.py" "$s" >"$BENCH_RUN/msg.$s"; done
chmod 644 "$BENCH_RUN"/msg.*
for t in $PTARGETS; do
  run=$(new_run_dir "pipe-${t%%:*}")
  make_userdb "$run"
  folders[$t]=$run
  target "$t" prepare "$run" || die "$t: prepare failed"
done
# A new mailbox is synced once more with its first mails; we measure mailboxes that have been there for a while.
[ -n "${NO_SETTLE:-}" ] || { echo "waiting 125 s for the mailboxes to be old (NO_SETTLE=1 skips)" >&2; sleep 125; }
for rep in $(seq "$REPS"); do
  for t in $PTARGETS; do
    run=${folders[$t]}
    who=$(cat "$run/asuser" 2>/dev/null || echo "$MAIL_USER")
    mapfile -t argv <"$run/argv"
    for s in $SIZES; do
      # first a full round over the users, so that every mailbox exists (index files, first-use work)
      before=$(find "$run/mail" -type f -path '*/new/*' | wc -l)
      (cd /; setpriv --reuid "$who" --regid "$(id -g "$who")" --clear-groups "$BIN/pipeload" -f "$BENCH_RUN/msg.$s" -n "$RUNS" -T "$CASE_S" -j "$JOBS" -w 20 -u 20 -- "${argv[@]}") >"$run/res" 2>"$run/err"
      after=$(find "$run/mail" -type f -path '*/new/*' | wc -l)
      python3 - "$run/res" "$out" "$rep" "${t//,/+}" "$s" "$JOBS" "$((after-before))" <<'PY'
import json, sys
res, out, rep, t, s, j, stored = sys.argv[1:]
try:
    d = json.load(open(res))
except Exception:
    sys.exit(f"{t} {s}: FAILED " + open(res[:-3] + "err").read()[:300])
k = ["per_s", "min_ms", "p50_ms", "p90_ms", "p99_ms", "user_ms", "sys_ms", "cpu_ms", "maxrss_kib"]
open(out, "a").write(",".join(map(str, [rep, t, s, j, d["runs"], d["failed"], stored] + [d[x] for x in k])) + "\n")
print(f"{rep} {t:28} {s:>8} B  p50 {d['p50_ms']:8.2f} ms  cpu {d['cpu_ms']:7.2f} ms  rss {d['maxrss_kib']/1024:6.1f} MiB  {d['per_s']:7.1f}/s"
      + (f"  FAILED {d['failed']} rc {d['rc']}" if d["failed"] else "") + ("" if int(stored) == d["runs"] + 20 else f"  STORED {stored} of {d['runs']+20}"), flush=True)
PY
    done
  done
done
python3 - "$out" >"$RESULTS/pipe.md" <<'PY'
import csv, statistics as st, sys
g = {}
for r in csv.DictReader(open(sys.argv[1])):
    g.setdefault((int(r["size"]), int(r["jobs"]), r["target"]), []).append(r)
print("| size | jobs | target | n | p50 ms, min / median / max of the runs | CPU ms (user+sys) | max RSS MiB | messages/s |")
print("|---|---|---|---|---|---|---|---|")
for k, v in sorted(g.items(), key=lambda x: x[0][:2]):
    f = lambda n: [float(r[n]) for r in v]
    p = f("p50_ms")
    print(f"| {k[0]} | {k[1]} | {k[2]} | {len(v)} | {min(p):.2f} / {st.median(p):.2f} / {max(p):.2f} | {st.median(f('cpu_ms')):.2f}"
          f" | {st.median(f('maxrss_kib'))/1024:.1f} | {st.median(f('per_s')):.0f} |")
PY
echo "rows: $out  table: $RESULTS/pipe.md"

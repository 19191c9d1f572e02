#!/usr/bin/env python3
"""summarise.py CSV: min / median / max of every case, as a Markdown table (all rows in the CSV count)."""
import csv, statistics as st, sys

rows = list(csv.DictReader(open(sys.argv[1])))
groups = {}
for r in rows:
    groups.setdefault((int(r["size"]), int(r["rcpts"]), r["opts"], int(r["sessions"]), r["target"]), []).append(r)


def f(g, k):
    return [float(r[k]) for r in g if r[k] != ""]


def mmm(v, d=0):
    return " / ".join(f"{x:.{d}f}" for x in (min(v), st.median(v), max(v))) if v else "-"


order = {t: i for i, t in enumerate(dict.fromkeys(r["target"] for r in rows))}
print("| flags | sessions | size | rcpts | target | n | deliveries/s min / median / max | p50 ms | p99 ms | CPU us/delivery | peak PSS MiB | failed | other load, cores |")
print("|---|---|---|---|---|---|---|---|---|---|---|---|---|")
for k in sorted(groups, key=lambda k: (*k[:4], order[k[4]])):
    g = groups[k]
    med = lambda n, d=1: f"{st.median(f(g, n)):.{d}f}" if f(g, n) else "-"
    print(f"| {k[2]} | {k[3]} | {k[0]} | {k[1]} | {k[4]} | {len(g)} | {mmm(f(g,'deliv_per_s'))} | {med('lat_p50_ms',2)} | {med('lat_p99_ms')} |"
          f" {med('cpu_us_per_deliv',0)} | {med('pss_peak_mib')} | {sum(int(r['failed']) for r in g)} | {med('other_cpu_cores')} |")

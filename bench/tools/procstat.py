#!/usr/bin/env python3
"""procstat.py PID OUT [INTERVAL]: CPU and memory of a process tree, until SIGTERM.

On SIGTERM it writes one JSON object to OUT: cpu_s (user+system, with reaped children), user_s, sys_s,
rss_peak_mib (peak of the summed RSS), pss_peak_mib (shared pages counted once; sampled less often),
procs_peak, wall_s.
"""
import json, os, signal, sys, time

HZ = os.sysconf("SC_CLK_TCK")
PAGE = os.sysconf("SC_PAGE_SIZE")


def table():
    t = {}
    for d in os.listdir("/proc"):
        if not d.isdigit():
            continue
        try:
            with open(f"/proc/{d}/stat") as f:
                s = f.read()
        except OSError:
            continue
        x = s[s.rindex(")") + 2:].split()
        t[int(d)] = (int(x[1]), int(x[11]) + int(x[13]), int(x[12]) + int(x[14]), int(x[21]))
    return t


def tree(root, t):
    kids = {}
    for p, v in t.items():
        kids.setdefault(v[0], []).append(p)
    out, todo = [], [root]
    while todo:
        p = todo.pop()
        if p in t:
            out.append(p)
            todo += kids.get(p, [])
    return out


def pss(pids):
    n = 0
    for p in pids:
        try:
            with open(f"/proc/{p}/smaps_rollup") as f:
                for line in f:
                    if line.startswith("Pss:"):
                        n += int(line.split()[1])
                        break
        except OSError:
            pass
    return n / 1024


def main():
    root, out = int(sys.argv[1]), sys.argv[2]
    step = float(sys.argv[3]) if len(sys.argv) > 3 else 0.2
    stop = []
    signal.signal(signal.SIGTERM, lambda *a: stop.append(1))
    signal.signal(signal.SIGINT, lambda *a: stop.append(1))
    t = table()
    ps = tree(root, t)
    u0, s0 = sum(t[p][1] for p in ps), sum(t[p][2] for p in ps)
    w0 = time.monotonic()
    rss_peak = pss_peak = procs = k = 0
    open(out + ".ready", "w").close()
    while True:
        ps = tree(root, t)
        rss_peak = max(rss_peak, sum(t[p][3] for p in ps) * PAGE / 2**20)
        procs = max(procs, len(ps))
        if k % 4 == 0 or stop:
            pss_peak = max(pss_peak, pss(ps))
        if stop:
            break
        k += 1
        time.sleep(step)
        t = table()
    t = table()
    ps = tree(root, t)
    u1, s1 = sum(t[p][1] for p in ps), sum(t[p][2] for p in ps)
    json.dump(dict(cpu_s=(u1 - u0 + s1 - s0) / HZ, user_s=(u1 - u0) / HZ, sys_s=(s1 - s0) / HZ,
                   rss_peak_mib=round(rss_peak, 1), pss_peak_mib=round(pss_peak, 1), procs_peak=procs,
                   wall_s=round(time.monotonic() - w0, 3)), open(out, "w"))


if __name__ == "__main__":
    main()

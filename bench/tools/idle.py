#!/usr/bin/env python3
"""idle.py ADDRESS PID COUNT: the memory of an idle LMTP connection.

Opens COUNT connections, greets on each and leaves them open; prints one JSON object: connections, pss_before_mib,
pss_after_mib (of the process tree below PID, shared pages counted once), kib_per_connection.
"""
import json, resource, socket, sys, time

import procstat

address, root, count = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, max(soft, count + 64)), hard))


def connect():
    if address.startswith("unix:"):
        s = socket.socket(socket.AF_UNIX)
        s.settimeout(20)
        s.connect(address[5:])
    else:
        host, port = address.rsplit(":", 1)
        s = socket.create_connection((host, int(port)), 20)
        s.settimeout(20)
    got = s.recv(4096)
    if not got.startswith(b"220"):
        sys.exit(f"no greeting but {got!r}")
    s.sendall(b"LHLO bench.test\r\n")
    while b"250 " not in got:
        more = s.recv(4096)
        if not more:
            sys.exit(f"connection lost after {got!r}")
        got += more
    return s


def memory():
    time.sleep(1)
    return procstat.pss(procstat.tree(root, procstat.table()))


warm = connect()
before = memory()
kept = [connect() for _ in range(count)]
after = memory()
print(json.dumps(dict(connections=count, pss_before_mib=round(before, 2), pss_after_mib=round(after, 2),
                      kib_per_connection=round((after - before) * 1024 / count, 2))))

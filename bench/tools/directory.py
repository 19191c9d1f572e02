#!/usr/bin/env python3
"""directory.py USERS ADDRESSES: the benchmark's users as a PigeonDeliver directory, for `pigeon directory import`.

Address n of 1..ADDRESSES ("nu@bench.test") ends in mailbox (n-1) % USERS + 1: the first USERS are accounts, the others
aliases of them.  One JSON object a line, after a header.
"""
import json, os, sys, time

users, addresses = int(sys.argv[1]), int(sys.argv[2])
count = 0


def new_id():                            # UUIDv7: milliseconds, version, a counter, random bits
    global count
    count += 1
    value = int(time.time() * 1000) << 80 | 7 << 76 | (count & 0xfff) << 64 | 2 << 62 | int.from_bytes(os.urandom(7), "big")
    text = f"{value:032x}"
    return "-".join((text[:8], text[8:12], text[12:16], text[16:20], text[20:]))


def entry(kind, **fields):
    print(json.dumps({"kind": kind, "id": new_id(), **fields}))


print(json.dumps({"format": "pigeondeliver-directory", "version": 1, "made": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
                  "entries": addresses + 1}))
domain = new_id()
print(json.dumps({"kind": "domain", "id": domain, "name": "bench.test"}))
for n in range(1, addresses + 1):
    address = f"{n}u@bench.test"
    if n <= users:
        entry("account", domain=domain, address=address, name="", mailbox=f"{n}/Maildir")
    else:
        entry("alias", domain=domain, pattern=address, targets=[f"{(n - 1) % users + 1}u@bench.test"])

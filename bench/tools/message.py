#!/usr/bin/env python3
"""message.py BYTES: prints a message of exactly that size, with LF line ends."""
import sys

size = int(sys.argv[1])
head = ("Return-Path: <s@bench.test>\nFrom: Bench <s@bench.test>\nTo: <u@bench.test>\nSubject: pipe bench\n"
        "Message-ID: <1@bench.test>\nDate: Mon, 23 Nov 2026 19:00:00 +0000\n\n")
line = "abcdefghijklmnopqrstuvwxyz0123456789 abcdefghijklmnopqrstuvwxyz012345678\n"
text = head + line * ((size - len(head)) // len(line) + 1)
sys.stdout.write(text[:size - 1] + "\n")

#!/usr/bin/env python3
"""scanner.py SOCKET COUNT: what clamd does but for the scan: answers OK at once, and writes the number of scans to COUNT when it ends."""
import asyncio, os, signal, struct, sys

scans = 0


async def scan(reader, writer, answer):
    global scans
    while (size := struct.unpack(">I", await reader.readexactly(4))[0]):
        await reader.readexactly(size)
    scans += 1
    writer.write(answer)


async def client(reader, writer):
    try:
        number, session = 0, False
        while True:
            command = (await reader.readuntil(b"\0")).rstrip(b"\0")
            if command == b"zIDSESSION":
                session = True
            elif command == b"zEND":
                break
            elif command == b"zINSTREAM":
                number += 1
                await scan(reader, writer, b"%d: stream: OK\0" % number if session else b"stream: OK\0")
            else:
                writer.write(b"%d: PONG\0" % number if session else b"PONG\0")
            await writer.drain()
            if not session:
                break
    except (asyncio.IncompleteReadError, ConnectionError):
        pass
    writer.close()


async def main():
    server = await asyncio.start_unix_server(client, sys.argv[1])
    os.chmod(sys.argv[1], 0o777)
    ended = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ended.set)
    await ended.wait()
    server.close()
    open(sys.argv[2], "w").write(str(scans))


asyncio.run(main())

#!/usr/bin/python3
"""Asks a broker for its API versions: kafka-broker-api-versions.sh --bootstrap-server HOST:PORT."""

import socket
import struct
import sys

host, port = sys.argv[sys.argv.index("--bootstrap-server") + 1].split(":")
API_VERSIONS, CORRELATION = 18, 1
request = struct.pack(">hhih", API_VERSIONS, 0, CORRELATION, -1)
with socket.create_connection((host, int(port)), 5) as connection:
    connection.sendall(struct.pack(">i", len(request)) + request)
    answer = connection.recv(10, socket.MSG_WAITALL)
_, correlation, error = struct.unpack(">iih", answer)
sys.exit(0 if (correlation, error) == (CORRELATION, 0) else 1)

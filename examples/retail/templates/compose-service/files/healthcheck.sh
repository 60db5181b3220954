#!/bin/sh
# Runs in the container: whether the service answers. The image brings wget (BusyBox is enough).
exec wget -q -T 4 -O /dev/null "http://127.0.0.1:${PORT:?}/healthz"

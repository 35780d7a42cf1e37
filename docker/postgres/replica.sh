#!/bin/bash
# The replica of the composition: a copy of the primary the first time, then it streams.
set -euo pipefail
if [ ! -s "$PGDATA/PG_VERSION" ]; then
    # A copy that was broken off is begun again.
    rm --recursive --force "$PGDATA"
    pg_basebackup --host primary --username replicator --pgdata "$PGDATA" --write-recovery-conf --wal-method stream
    chmod 0700 "$PGDATA"
fi
exec postgres

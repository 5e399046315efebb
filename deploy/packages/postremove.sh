#!/bin/sh
# What units wrote stays in /var/lib/private/ktaudit: verdicts are not thrown away with the program.
set -e
if [ -d /run/systemd/system ]; then
  systemctl daemon-reload || true
fi

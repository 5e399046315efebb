#!/bin/sh
# Nothing is started before there is a configuration; after an upgrade, what runs is restarted.
set -e
if [ -d /run/systemd/system ]; then
  systemctl daemon-reload || true
  systemctl try-restart 'ktaudit*.service' || true
fi

#!/bin/sh
# dpkg says "remove", rpm how many versions stay: none, unless it is an upgrade.
set -e
case "$1" in
  remove | 0)
    if [ -d /run/systemd/system ]; then
      systemctl disable --now ktaudit.service ktaudit-scheduler.service ktaudit-serve.service ktaudit-worker.service || true
    fi
    ;;
esac

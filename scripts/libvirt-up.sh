#!/usr/bin/env bash
# Makes qemu:///system answer, if this machine can. Never fails: `parcela serve` says what it found.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=scripts/lib/common.sh
. scripts/lib/common.sh

LOG_DIR=${PARCELA_LOG_DIR:-.cache/log}

answers() { timeout 10 virsh --quiet --connect qemu:///system version >/dev/null 2>&1; }

# start_daemon NAME: directly, in the background, outliving this script and its terminal.
start_daemon() {
  local name=$1
  # Process 1 may be slow at reaping where systemd is not it; see subreaper.py.
  setsid python3 scripts/subreaper.py "$name" </dev/null >>"$LOG_DIR/$name.log" 2>&1 &
}

wait_until_answers() {
  local attempt
  for attempt in $(seq 150); do
    answers && return 0
    sleep 0.2
  done
  note "gave up after $attempt attempts"
  return 1
}

# Where no udev runs, /dev/kvm stays root's own, and libvirt (which sees it while probing, but not as
# QEMU's user) probes QEMU again for every guest: 17 s each instead of 0.4 s. Do what udev would have done.
give_kvm_to_its_group() {
  [ -c /dev/kvm ] && [ "$(stat -c %a:%U:%G /dev/kvm)" = 600:root:root ] || return 0
  getent group kvm >/dev/null || return 0
  note "/dev/kvm goes to the group kvm (mode 0660), as udev does it elsewhere"
  chgrp kvm /dev/kvm && chmod 0660 /dev/kvm
}

main() {
  if ! command -v virsh >/dev/null 2>&1; then
    note "libvirt is not installed: skipped"
    return 0
  fi
  answers && return 0
  if [ "$(id -u)" -ne 0 ]; then
    note "qemu:///system does not answer and this is not root: libvirt's session mode is used, which starts by itself"
    return 0
  fi
  if has_systemd; then
    say "starting libvirt (systemctl)"
    # One of them exists: the single daemon, or the modular ones of newer distributions.
    systemctl start libvirtd 2>/dev/null || systemctl start virtqemud.socket virtnetworkd.socket virtstoraged.socket ||
      true
  else
    say "starting virtlogd and libvirtd (no systemd here); logs in $LOG_DIR"
    mkdir -p "$LOG_DIR"
    # Usually made at boot; without it libvirt opens no serial line.
    [ -d /run/lock ] || install -d -m 1777 /run/lock || note "/run/lock could not be made: no consoles"
    give_kvm_to_its_group || note "/dev/kvm could not be given away: guests start slowly"
    pgrep -x virtlogd >/dev/null || start_daemon virtlogd
    pgrep -x libvirtd >/dev/null || start_daemon libvirtd
  fi
  wait_until_answers || note "libvirt does not answer at qemu:///system; see its log"
}

main

#!/bin/sh
# customize.sh ROOT: last changes to the unpacked system, run by mmdebstrap as (a possibly mapped) root.
set -eu
root=$1
chmod 755 "$root/usr/local/sbin/parcela-ready"
chroot "$root" systemctl --quiet enable systemd-networkd.service parcela-ready.service
# Housekeeping of long-lived servers; in a machine that lives for an hour it only costs start-up time.
chroot "$root" systemctl --quiet mask \
    apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer e2scrub_all.timer e2scrub_reap.service \
    fstrim.timer systemd-pstore.service cloud-init-hotplugd.socket
chroot "$root" passwd --quiet --lock root
# Every machine makes its own.
rm -f "$root"/etc/ssh/ssh_host_*
: > "$root/etc/machine-id"
echo localhost > "$root/etc/hostname"
rm -rf "$root"/var/lib/apt/lists/* "$root"/var/cache/apt/*

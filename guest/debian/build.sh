#!/bin/bash
# Builds a Debian 12 image in the style of the ones clouds use: cloud-init (NoCloud), ssh, qemu-guest-agent.
#
#   guest/debian/build.sh OUTDIR        -> OUTDIR/{debian-12.qcow2,debian-12.json}
#
# Needs the Debian packages of packages.txt. Uses neither loop devices nor mounts of the host, so it also works without
# root where user namespaces are allowed. Packages come from where this machine's own apt gets them;
# PARCELA_DEBIAN_SOURCES may name a file of one-line apt sources for bookworm instead.
# A second run with the same sources and package versions does nothing; it needs no network either.
set -euo pipefail
export LC_ALL=C
PATH=$PATH:/usr/sbin:/sbin
umask 022

readonly SUITE=bookworm
readonly SIZE_MIB=2048
readonly START_SECTOR=2048
readonly INCLUDE=linux-image-cloud-amd64,initramfs-tools,systemd-sysv,systemd-resolved,udev,dbus,kmod,iproute2,iputils-ping,\
openssh-server,cloud-init,qemu-guest-agent,sudo,less,procps,e2fsprogs,cloud-guest-utils,fdisk,netbase
export SOURCE_DATE_EPOCH=1700000000

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

die() {
    echo "guest/debian/build.sh: $*" >&2
    exit 1
}

hash_sources() {
    (cd "$here" && find build.sh customize.sh rootfs -type f -print0 | sort -z | xargs -0 sha256sum) | sha256sum | cut -d' ' -f1
}

# One-line apt sources of this machine for Debian 12, its updates and its security fixes.
apt_sources() {
    if [ -n "${PARCELA_DEBIAN_SOURCES:-}" ]; then
        cat "$PARCELA_DEBIAN_SOURCES"
        return
    fi
    # shellcheck disable=SC2016
    apt-get indextargets --format '$(ORIGIN) $(REPO_URI) $(RELEASE) $(COMPONENT)' 'Created-By: Packages' |
        awk -v suite="$SUITE" '
            $1 == "Debian" && index($3, suite) == 1 && $3 !~ /backports/ {
                print "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg]", $2, $3, $4
            }' | sort -u
}

# "NAME VERSION" of the packages asked for, as apt would install them now (without their dependencies).
resolve_packages() {
    # shellcheck disable=SC2086
    apt-cache show --no-all-versions ${INCLUDE//,/ } 2> /dev/null |
        awk -v wanted="${INCLUDE//[^,]/}," '
            /^Package:/ { name = $2 }
            /^Version:/ { print name, $2; found++ }
            END { exit found != length(wanted) }' | sort
}

is_built() {
    local out=$1 key=${2:-} sum
    [ -f "$out/debian-12.json" ] && [ -f "$out/debian-12.qcow2" ] || return 1
    grep -q "\"sources\": \"$sources\"" "$out/debian-12.json" || return 1
    [ -z "$key" ] || grep -q "\"build_key\": \"$key\"" "$out/debian-12.json" || return 1
    sum=$(sha256sum "$out/debian-12.qcow2" | cut -d' ' -f1)
    grep -q "\"sha256\": \"$sum\"" "$out/debian-12.json"
}

make_rootfs() {
    # The modes of the checkout depend on the umask of whoever made it.
    tar -C "$here/rootfs" --owner=0 --group=0 --numeric-owner --mode=u=rwX,go=rX \
        --mtime="@$SOURCE_DATE_EPOCH" -cf "$work/overlay.tar" . || return 1
    # The overlay goes in before the other packages: the initrd is made while the kernel is installed.
    # shellcheck disable=SC2016 # "$1" is for the shell that mmdebstrap starts
    mmdebstrap --quiet --variant=minbase --include="$INCLUDE" \
        --aptopt='APT::Install-Recommends "false"' \
        --dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/doc/*' \
        --dpkgopt='path-exclude=/usr/share/locale/*' --dpkgopt='path-exclude=/usr/share/info/*' \
        --essential-hook="tar-in $(printf %q "$work/overlay.tar") /" \
        --customize-hook="$(printf %q "$here/customize.sh")"' "$1"' \
        "$SUITE" "$work/rootfs.tar" - < "$work/sources.list"
}

# The part that must see files as root owns them; run under fakeroot when the caller is not root.
make_file_system() {
    local work=$1
    mkdir "$work/rootfs"
    tar -C "$work/rootfs" --numeric-owner -xpf "$work/rootfs.tar"
    rm "$work/rootfs.tar"
    E2FSPROGS_FAKE_TIME=$SOURCE_DATE_EPOCH mke2fs -q -t ext4 -L root -m 1 \
        -E "offset=$((START_SECTOR * 512)),lazy_itable_init=1" \
        -d "$work/rootfs" "$work/disk.raw" "$((SIZE_MIB * 1024 - START_SECTOR / 2))k" > /dev/null
    rm -rf "$work/rootfs"
}

make_disk() {
    truncate -s "${SIZE_MIB}M" "$work/disk.raw"
    echo "start=$START_SECTOR, type=83, bootable" | sfdisk -q --label dos "$work/disk.raw"
    if [ "$(id -u)" = 0 ]; then
        make_file_system "$work"
    else
        export START_SECTOR SIZE_MIB
        # As text: an exported function does not survive fakeroot, which is a script of another shell.
        fakeroot bash -euc "$(declare -f make_file_system); make_file_system \"\$1\"" bash "$work"
    fi
    # GRUB's own installer wants a block device; its two parts can as well be put where they belong by hand:
    # the boot sector into the first 440 bytes, the core into the gap before the first partition.
    cat > "$work/early.cfg" << 'END'
set root=(hd0,msdos1)
set prefix=(hd0,msdos1)/boot/grub
configfile (hd0,msdos1)/boot/grub/grub.cfg
END
    grub-mkimage -O i386-pc -p '(hd0,msdos1)/boot/grub' -c "$work/early.cfg" -o "$work/core.img" \
        biosdisk part_msdos ext2 linux normal configfile echo boot
    [ "$(stat -c %s "$work/core.img")" -le $(((START_SECTOR - 1) * 512)) ] || die "GRUB's core does not fit"
    dd if=/usr/lib/grub/i386-pc/boot.img of="$work/disk.raw" bs=440 count=1 conv=notrunc status=none
    dd if="$work/core.img" of="$work/disk.raw" bs=512 seek=1 conv=notrunc status=none
    # Not compressed: every read of a compressed cluster would be unpacked again for each guest.
    qemu-img convert -f raw -O qcow2 "$work/disk.raw" "$work/debian-12.qcow2"
    rm "$work/disk.raw"
}

[ $# -eq 1 ] || die "usage: guest/debian/build.sh OUTDIR"
mkdir -p "$1"
out=$(cd "$1" && pwd)
sources=$(hash_sources)
exec 9> "$out/.lock-debian"
flock 9
# In OUTDIR, so that the final move stays on one file system and is atomic; readable for mmdebstrap's own user.
work=$(mktemp -d "$out/.build-debian.XXXXXX")
trap 'rm -rf "$work"' EXIT
chmod 755 "$work"

if ! resolve_packages > "$work/packages.txt"; then
    is_built "$out" || die "apt does not know all packages (apt-get update?)"
    echo "guest/debian: up to date in $out (package versions unknown: apt has no lists)"
    exit 0
fi
key=$({ echo "$sources" && cat "$work/packages.txt"; } | sha256sum | cut -d' ' -f1)
if is_built "$out" "$key"; then
    echo "guest/debian: up to date in $out"
    exit 0
fi
for tool in dd grub-mkimage mke2fs mmdebstrap qemu-img sfdisk tar; do
    command -v "$tool" > /dev/null || die "$tool is missing; install the packages of guest/debian/packages.txt"
done
apt_sources > "$work/sources.list"
[ -s "$work/sources.list" ] || die "this machine's apt has no $SUITE sources; name some in PARCELA_DEBIAN_SOURCES"
if ! make_rootfs; then
    is_built "$out" || die "mmdebstrap failed"
    echo "guest/debian: kept the image in $out: newer packages exist but could not be downloaded"
    exit 0
fi
make_disk
cat > "$work/debian-12.json" << END
{
  "name": "debian-12",
  "version": "12-${key:0:12}",
  "architecture": "x86_64",
  "disk": {"file": "debian-12.qcow2", "sha256": "$(sha256sum "$work/debian-12.qcow2" | cut -d' ' -f1)", "size_bytes": $(stat -c %s "$work/debian-12.qcow2")},
  "disk_virtual_size_bytes": $((SIZE_MIB * 1024 * 1024)),
  "min_memory_mib": 512,
  "ready_marker": "PARCELA READY",
  "sources": "$sources",
  "build_key": "$key"
}
END
rm -f "$out/debian-12.json"
for file in debian-12.qcow2 debian-12.json; do
    chmod 644 "$work/$file"
    mv "$work/$file" "$out/$file"
done
echo "guest/debian: built $out/debian-12.qcow2, $(($(stat -c %s "$out/debian-12.qcow2") / 1048576)) MiB"

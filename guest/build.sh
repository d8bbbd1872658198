#!/bin/bash
# Builds the bundled guest "tiny" from Debian packages and the files beside this script.
#
#   guest/build.sh OUTDIR        -> OUTDIR/{vmlinuz,initrd.gz,disk.qcow2,manifest.json}
#
# Needs the Debian packages of packages.txt, not root. Nothing is installed on this machine: packages are downloaded
# with apt-get into a cache ($PARCELA_GUEST_CACHE, else ~/.cache/parcela/guest) and unpacked there.
# A second run with the same sources and package versions does nothing; it needs no network either.
set -euo pipefail
export LC_ALL=C
# depmod, modprobe and mke2fs are in sbin, which an ordinary user's PATH may lack.
PATH=$PATH:/usr/sbin:/sbin
umask 022

readonly CMDLINE='console=ttyS0 quiet nokaslr no_timer_check cryptomgr.notests=1 noreplace-smp panic=3'
readonly MODULES='virtio_pci virtio_net virtio_blk virtio-rng virtio_balloon virtio_console button evdev isofs ext4 loop squashfs'
readonly LIBRARIES='libc6 libcrypt1 zlib1g libtomcrypt1 libtommath1 libgmp10'
# Tools of a networking class. They live in a squashfs image inside the initrd: it is mounted, never unpacked, so that
# they cost neither boot time nor 20 MiB of memory.
readonly TOOL_PACKAGES='bash iproute2 ethtool nftables tcpdump iperf3'
readonly TOOL_LIBRARIES='libtinfo6 libbpf1 libelf1 libmnl0 libbsd0 libmd0 libcap2 libxtables12 libnftables1 libnftnl11
    libjansson4 libedit2 libpcap0.8 libdbus-1-3 libsystemd0 libgcrypt20 libgpg-error0 liblzma5 libzstd1 liblz4-1
    libssl3 libiperf0 libsctp1'
readonly TOOLS='bin/bash sbin/ip sbin/tc sbin/bridge sbin/ethtool usr/sbin/nft usr/bin/tcpdump usr/bin/iperf3'
# Kernel modules that the kernel loads by itself (modprobe) when something asks for them.
readonly TOOL_MODULES='8021q bridge bonding dummy veth vxlan geneve ip_gre ip6_gre ipip sit macvlan ipvlan vrf ifb tun
    mpls_router mpls_iptunnel br_netfilter sch_netem sch_tbf sch_htb sch_prio sch_sfq sch_fq sch_hfsc sch_cake sch_codel
    sch_red sch_ingress cls_u32 cls_flower cls_matchall cls_basic cls_fw act_mirred act_police act_gact act_nat
    act_skbedit act_vlan act_pedit nf_tables nft_ct nft_limit nft_log nf_log_syslog nft_masq nft_nat nft_redir nft_objref
    nft_quota nft_reject nft_reject_inet nft_reject_ipv4 nft_reject_ipv6 nft_hash nft_numgen nft_fib nft_fib_inet
    nft_connlimit nft_meta_bridge nft_reject_bridge nft_dup_ipv4 nft_fwd_netdev nft_chain_nat nf_conntrack_bridge'
readonly BOOT_LIMIT_BYTES=$((32 * 1024 * 1024))
readonly DISK_SIZE_MIB=64
# Everything that goes into an image carries this time, so that equal inputs give equal bytes (and one sha256).
readonly EPOCH=1700000000

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# The _apt user of apt's sandbox cannot write into a directory of ours, hence no sandbox for the download.
apt_get() { apt-get -q -o APT::Sandbox::User="$(id -un)" "$@"; }

die() {
    echo "guest/build.sh: $*" >&2
    exit 1
}

# The hash of every source of the guest. The big Debian image beside it has its own script and its own hash.
hash_sources() {
    (cd "$here" && find build.sh rootfs -type f -print0 | sort -z | xargs -0 sha256sum) | sha256sum | cut -d' ' -f1
}

# All packages with their versions, one per line. The meta-package only tells which kernel is the current one.
resolve_packages() {
    local kernel names
    # No early exit of a reader here: it would make the writer fail, and pipefail would report that.
    kernel=$(apt-cache show --no-all-versions linux-image-cloud-amd64 2> /dev/null |
        sed -n 's/^Depends:.*\(linux-image-[0-9][^ ,]*-cloud-amd64\).*/\1/p')
    [ -n "$kernel" ] || return 1
    names="$kernel busybox busybox-static dropbear-bin $LIBRARIES $TOOL_PACKAGES $TOOL_LIBRARIES"
    # Since the transition to 64-bit times some libraries are called NAMEt64; apt-cache fails when one name is unknown.
    # shellcheck disable=SC2086,SC2046
    { apt-cache show --no-all-versions $names $(printf '%st64 ' $names) 2> /dev/null || true; } | awk -v names="$names" '
        /^Package:/ { name = $2 }
        /^Version:/ { version[name] = $2 }
        END {
            count = split(names, wanted, /[ \n]+/)
            for (i = 1; i <= count; i++) {
                name = wanted[i] in version ? wanted[i] : wanted[i] "t64"
                if (!(name in version)) exit 1
                print name, version[name]
            }
        }'
}

# Succeeds when OUTDIR holds a complete build of these sources; $2, if given, must be its build key.
is_built() {
    local out=$1 key=${2:-} file sum
    [ -f "$out/manifest.json" ] || return 1
    grep -q "\"sources\": \"$sources\"" "$out/manifest.json" || return 1
    [ -z "$key" ] || grep -q "\"build_key\": \"$key\"" "$out/manifest.json" || return 1
    for file in vmlinuz initrd.gz disk.qcow2; do
        [ -f "$out/$file" ] || return 1
        sum=$(sha256sum "$out/$file" | cut -d' ' -f1)
        grep -q "\"file\": \"$file\", \"sha256\": \"$sum\"" "$out/manifest.json" || return 1
    done
}

# Puts the packages listed on standard input into the cache and unpacks them below $1.
fetch_and_unpack() {
    local root=$1 name version deb
    while read -r name version; do
        # apt-get writes a colon in a version (the epoch) as %3a.
        deb=$cache/${name}_${version//:/%3a}_amd64.deb
        if [ ! -f "$deb" ]; then
            (cd "$work/download" && apt_get download "$name:amd64=$version") > "$work/apt.log" 2>&1 < /dev/null || {
                cat "$work/apt.log" >&2
                return 1
            }
            # Moved only when whole: an interrupted download must not be mistaken for a package.
            mv "$work/download/${deb##*/}" "$deb" || return 1
        fi
        case $name in
        # Both kinds of BusyBox have the same path.
        busybox-static) dpkg-deb -x "$deb" "$root/static" || return 1 ;;
        *) dpkg-deb -x "$deb" "$root" || return 1 ;;
        esac
    done
}

# Copies the wanted kernel modules and writes, for each, the list of what to load in which order.
add_modules() {
    local packages=$1 root=$2 kernel_version=$3 wanted action path name
    local target=$root/lib/parcela/modules
    mkdir -p "$target"
    depmod -b "$packages" "$kernel_version"
    for wanted in $MODULES; do
        modprobe -d "$packages" -S "$kernel_version" --show-depends "$wanted" > "$work/depends"
        while read -r action path _; do
            [ "$action" = insmod ] || continue # the others are built in
            name=${path##*/}
            name=${name%%.ko*}
            strip_module "$path" "$target/$name.ko"
            echo "$name"
        done < "$work/depends" > "$target/$wanted.list"
    done
}

# Unpacks one kernel module and strips it. Stripping also drops the signature, whose check is dear under emulation
# (and taints: harmless here).
strip_module() {
    case $1 in
    *.xz) xz -dc "$1" > "$work/module.ko" ;;
    *) cp "$1" "$work/module.ko" ;;
    esac
    objcopy --strip-debug "$work/module.ko" "$2"
}

# Everything of the squashfs image, which is mounted on /usr/local. The links that make its files appear where programs
# look for them (libraries, modules, tables of tc) go into the initrd itself.
build_tools() {
    local packages=$1 root=$2 kernel_version=$3 tools=$4 file modules path
    for file in $TOOLS; do
        # Where /bin is a link to /usr/bin, packages may hold it there.
        [ -e "$packages/$file" ] || file=usr/$file
        add_program "$packages" "$tools/tree" "$file"
    done
    mkdir -p "$tools/image/bin" "$tools/image/sbin" "$tools/image/lib"
    find "$tools/tree" -type f -path '*/sbin/*' -exec mv -t "$tools/image/sbin" {} +
    find "$tools/tree" -type f -path '*/bin/*' -exec mv -t "$tools/image/bin" {} +
    mkdir -p "$root/usr/lib/x86_64-linux-gnu"
    find "$tools/tree" -type f -name '*.so*' | while read -r path; do
        file=${path##*/}
        # The initrd has some of them already, for dropbear.
        [ -z "$(find "$root" -name "$file" -print -quit)" ] || continue
        mv "$path" "$tools/image/lib/$file"
        ln -s "/usr/local/lib/$file" "$root/usr/lib/x86_64-linux-gnu/$file"
    done
    ln -s /usr/local/bin/bash "$root/bin/bash"
    mkdir -p "$tools/image/lib/tc" # the tables of netem's distributions
    cp "$packages"/usr/lib/x86_64-linux-gnu/tc/*.dist "$tools/image/lib/tc/"
    ln -s /usr/local/lib/tc "$root/usr/lib/x86_64-linux-gnu/tc"
    mkdir -p "$root/etc/iproute2"
    cp -R "$packages/etc/iproute2/." "$root/etc/iproute2/"
    modules=lib/modules/$kernel_version
    for file in $TOOL_MODULES; do
        modprobe -d "$packages" -S "$kernel_version" --show-depends "$file" || die "the kernel has no module $file"
    done | awk '$1 == "insmod" { print $2 }' | sort -u | while read -r path; do
        file=${path#*/lib/modules/"$kernel_version"/}
        mkdir -p "$tools/image/$modules/${file%/*}"
        strip_module "$path" "$tools/image/$modules/${file%%.ko*}.ko"
    done
    cp "$packages/$modules"/modules.{builtin,builtin.modinfo,order} "$tools/image/$modules/"
    depmod -b "$tools/image" "$kernel_version"
    rm -f "$tools/image/$modules/"*.bin
    mkdir -p "$root/lib/modules"
    ln -s "/usr/local/$modules" "$root/$modules"
    find "$tools/image" -type d -exec chmod 755 {} +
    # zstd: a fifth larger than xz, and four times as fast to read under emulation.
    SOURCE_DATE_EPOCH=$EPOCH mksquashfs "$tools/image" "$tools/tools.squashfs" -quiet -no-progress -no-xattrs -all-root \
        -comp zstd -Xcompression-level 19 -processors 1 > /dev/null
}

# Copies a program and, recursively, the shared libraries it names, all from the unpacked packages:
# ldd would answer with the libraries of this machine.
add_program() {
    local packages=$1 root=$2 file=$3 needed found
    [ ! -e "$root/$file" ] || return 0
    install -D -m 755 "$packages/$file" "$root/$file"
    for needed in $(objdump -p "$packages/$file" | awk '$1 == "NEEDED" { print $2 }'); do
        found=$(cd "$packages" && find lib usr/lib -name "$needed" -print -quit)
        [ -n "$found" ] || die "no package holds $needed, which $file needs"
        add_program "$packages" "$root" "$found"
    done
}

# Links the names of the programs that the BusyBox at $2 has, unless they are taken, to $3 (its place in the guest).
# Done here rather than by "busybox --install" at every boot.
link_applets() {
    local root=$1 file=$2 target=$3 applet
    # Run by the loader and the libraries of the packages: this machine may have other ones.
    run_packaged "$file" --list-full | while read -r applet; do
        case $applet in linuxrc | bin/busybox) continue ;; esac # linuxrc: for a start from an old-style initrd
        [ -e "$root/$applet" ] || [ -L "$root/$applet" ] || {
            mkdir -p "$root/${applet%/*}" && ln -s "$target" "$root/$applet"
        }
    done
}

run_packaged() {
    local loader
    loader=$(cd "$work/packages" && find lib usr/lib -name 'ld-linux-x86-64.so.2' -print -quit)
    if objdump -p "$1" | grep -q NEEDED; then
        "$work/packages/$loader" --library-path \
            "$work/packages/lib/x86_64-linux-gnu:$work/packages/usr/lib/x86_64-linux-gnu" "$@"
    else
        "$@"
    fi
}

build_initrd() {
    local packages=$1 root=$2 kernel_version=$3 applet loader
    mkdir -p "$root"/{bin,sbin,usr/bin,usr/sbin,usr/local,dev,proc,sys,root,run,tmp,mnt,data,srv,lib64}
    cp -R "$here/rootfs/." "$root/"
    # The modes of the checkout depend on the umask of whoever made it.
    find "$root" -type d -exec chmod 755 {} + -o -type f -exec chmod 644 {} +
    chmod 755 "$root"/lib/parcela/* "$root"/etc/acpi/PWRF/*
    chmod 700 "$root/root"
    chmod 1777 "$root/tmp"
    # Two BusyBoxes. The static one starts the machine: its shell runs its commands without starting programs, which is
    # dear under emulation. But then it runs its own small ip and tc, whatever PATH says, and so do timeout, xargs and
    # watch; people and their scripts get the other one, which looks into PATH.
    install -m 755 "$packages/static/bin/busybox" "$root/lib/parcela/busybox"
    add_program "$packages" "$root" bin/busybox
    link_applets "$root" "$packages/bin/busybox" /bin/busybox
    link_applets "$root" "$packages/static/bin/busybox" /lib/parcela/busybox # what only this one has
    ln -s /lib/parcela/busybox "$root/init"
    add_program "$packages" "$root" usr/sbin/dropbear
    add_program "$packages" "$root" usr/bin/dbclient
    ln -s dbclient "$root/usr/bin/ssh"
    loader=$(cd "$packages" && find lib usr/lib -name 'ld-linux-x86-64.so.2' -print -quit)
    [ -e "$root/$loader" ] || install -D -m 755 "$packages/$loader" "$root/$loader"
    [ -e "$root/lib64/ld-linux-x86-64.so.2" ] || ln -s "/$loader" "$root/lib64/ld-linux-x86-64.so.2"
    add_modules "$packages" "$root" "$kernel_version"
    build_tools "$packages" "$root" "$kernel_version" "$work/tools"
    find "$root" -exec touch -h -d "@$EPOCH" {} +
    (cd "$root" && archive) | gzip -9 -n > "$work/initrd.gz"
    # Two archives: compressed data would only cost time to compress again. The kernel wants the second one aligned.
    # Its last file tells the boot script that nothing is missing: the kernel goes on when memory ends in the middle.
    mkdir -p "$work/second/lib/parcela"
    mv "$work/tools/tools.squashfs" "$work/second/lib/parcela/tools.squashfs"
    : > "$work/second/lib/parcela/unpacked"
    find "$work/second" -exec touch -h -d "@$EPOCH" {} +
    truncate -s %4 "$work/initrd.gz"
    (cd "$work/second" && archive) | cat "$work/initrd.gz" -
}

# The files below this folder, in the order of their names, as the kernel unpacks them.
archive() {
    find . | sort | cpio -o -H newc --quiet --reproducible -R 0:0
}

build_disk() {
    local output=$1
    local uuid=6f1c1f5e-7061-4263-8c61-000000000001
    mkdir -p "$work/data"
    touch -d "@$EPOCH" "$work/data"
    # The journal is the smallest there is: a machine that is destroyed while it writes must still mount next time.
    E2FSPROGS_FAKE_TIME=$EPOCH mke2fs -q -t ext4 -b 1024 -L data -U "$uuid" -J size=1 -m 0 \
        -E "hash_seed=$uuid,lazy_itable_init=0,lazy_journal_init=0,root_owner=0:0" \
        -d "$work/data" "$work/disk.raw" "${DISK_SIZE_MIB}M" > /dev/null
    qemu-img convert -f raw -O qcow2 -c "$work/disk.raw" "$output"
}

# "kernel": {...} and so on for the manifest.
describe() {
    printf '"%s": {"file": "%s", "sha256": "%s", "size_bytes": %d}' \
        "$1" "$2" "$(sha256sum "$work/out/$2" | cut -d' ' -f1)" "$(stat -c %s "$work/out/$2")"
}

write_manifest() {
    local kernel_version=$1 key=$2
    cat << END
{
  "name": "tiny",
  "version": "${kernel_version%-cloud-amd64}-${key:0:12}",
  "architecture": "x86_64",
  $(describe kernel vmlinuz),
  $(describe initrd initrd.gz),
  $(describe disk disk.qcow2),
  "disk_virtual_size_bytes": $((DISK_SIZE_MIB * 1024 * 1024)),
  "min_memory_mib": 128,
  "cmdline": "$CMDLINE",
  "ready_marker": "PARCELA READY",
  "packages": {
$(awk '{ printf "%s    \"%s\": \"%s\"", sep, $1, $2; sep = ",\n" } END { print "" }' "$work/packages.txt")
  },
  "sources": "$sources",
  "build_key": "$key"
}
END
}

build() {
    local out=$1 key=$2 kernel kernel_version boot_bytes file
    mkdir -p "$work"/{root,out}
    kernel=$(find "$work/packages/boot" -name 'vmlinuz-*' -print -quit)
    kernel_version=${kernel##*/vmlinuz-}
    # Debian 13 packages put the modules into usr/lib.
    [ -e "$work/packages/lib/modules" ] || ln -sfn ../usr/lib/modules "$work/packages/lib/modules"
    cp "$kernel" "$work/out/vmlinuz"
    build_initrd "$work/packages" "$work/root" "$kernel_version" > "$work/out/initrd.gz"
    boot_bytes=$(($(stat -c %s "$work/out/vmlinuz") + $(stat -c %s "$work/out/initrd.gz")))
    [ "$boot_bytes" -le "$BOOT_LIMIT_BYTES" ] || die "kernel and initrd together are $boot_bytes bytes, above 32 MiB"
    build_disk "$work/out/disk.qcow2"
    write_manifest "$kernel_version" "$key" > "$work/out/manifest.json"
    # The manifest goes first and comes last: while it is there, it tells the truth about its three files.
    rm -f "$out/manifest.json"
    for file in vmlinuz initrd.gz disk.qcow2 manifest.json; do
        chmod 644 "$work/out/$file"
        mv "$work/out/$file" "$out/$file"
    done
    echo "guest: built ${kernel_version} in $out: kernel and initrd $((boot_bytes / 1024)) KiB," \
        "disk $(($(stat -c %s "$out/disk.qcow2") / 1024)) KiB"
}

[ $# -eq 1 ] || die "usage: guest/build.sh OUTDIR"
mkdir -p "$1"
out=$(cd "$1" && pwd)
cache=${PARCELA_GUEST_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/parcela/guest}
mkdir -p "$cache"
sources=$(hash_sources)
# Two builds into one directory at a time would mix their files.
exec 9> "$out/.lock"
flock 9
# In OUTDIR, so that the final moves stay on one file system and are atomic.
work=$(mktemp -d "$out/.build.XXXXXX")
trap 'rm -rf "$work"' EXIT

if ! resolve_packages > "$work/packages.txt"; then
    is_built "$out" || die "apt knows no linux-image-cloud-amd64, busybox-static or dropbear-bin (apt-get update?)"
    echo "guest: up to date in $out (package versions unknown: apt has no lists)"
    exit 0
fi
key=$({ echo "$sources" && cat "$work/packages.txt"; } | sha256sum | cut -d' ' -f1)
if is_built "$out" "$key"; then
    echo "guest: up to date in $out"
    exit 0
fi
for tool in cpio depmod dpkg-deb gzip mke2fs mksquashfs modprobe objcopy objdump qemu-img xz; do
    command -v "$tool" > /dev/null || die "$tool is missing; install the packages of guest/packages.txt"
done
mkdir "$work"/{download,packages}
if ! fetch_and_unpack "$work/packages" < "$work/packages.txt"; then
    is_built "$out" || die "a package could not be downloaded"
    echo "guest: kept the build in $out: newer packages exist but could not be downloaded"
    exit 0
fi
# Not inside a condition: there, the shell would go on after a failing command.
build "$out" "$key"

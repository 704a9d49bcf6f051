#!/usr/bin/env bash
# A command beside a phone: the real adbd over an emulated arm64 system, in namespaces of its own.
#   emulated_phone.sh make ROOT       once, with the network: fetches Debian 13's packages, touches no system directory
#   emulated_phone.sh run ROOT COMMAND...    the phone is 127.0.0.1:6001; nothing outside the namespaces sees it
# As on a phone, /lib holds no loader and no C library. Times are those of a program, not of a processor.
set -euo pipefail
export LC_ALL=C
here=$(realpath "$0") verb=$1 root=$(realpath -m "$2") && shift 2

make_phone() {
    local apt=$root/apt mirror
    mkdir -p "$apt"/{etc/preferences.d,state/lists/partial,cache/archives/partial} "$root"/{debs,arm,x86}
    mirror=$(cat /etc/apt/sources.list /etc/apt/sources.list.d/* 2>/dev/null | grep -oE 'https?://[^ ]+/debian/?( |$)' | head -1) || true
    echo "deb [arch=amd64,arm64 signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror trixie main" >"$apt/etc/sources.list"
    cat >"$apt/conf" <<END
Dir::Etc "$apt/etc"; Dir::Etc::sourcelist "$apt/etc/sources.list"; Dir::Etc::sourceparts "-";
Dir::State "$apt/state"; Dir::State::status "/dev/null"; Dir::Cache "$apt/cache";
APT::Architecture "amd64"; APT::Architectures {"amd64"; "arm64";}; APT::Sandbox::User "root";
END
    export APT_CONFIG=$apt/conf
    apt-get update --quiet
    cd "$root/debs"
    apt-get download --quiet qemu-user adbd android-lib{base,boringssl,cutils,log} lib{brotli1,bsd0,cap2,lz4-1,md0} \
        libprotobuf32t64 lib{systemd0,xxhash0,zstd1} zlib1g lib{c6,gcc-s1,stdc++6}:amd64 \
        {mksh,toybox,libc6,libcrypt1}:arm64
    for deb in *_arm64.deb; do dpkg-deb -x "$deb" ../arm; done
    for deb in *_amd64.deb; do dpkg-deb -x "$deb" ../x86; done
    lay_out
}

lay_out() {
    local phone=$root/phone libraries=$root/x86/usr/lib/x86_64-linux-gnu command
    mkdir -p "$phone"/{dev,sys,proc,tmp,bin,data/local/tmp,system/bin,opt/adbd/lib,opt/arm}
    cp "$root/arm/usr/lib/aarch64-linux-musl/bin/mksh" "$phone/system/bin/sh"  # linked statically
    ln -sf /system/bin/sh "$phone/bin/sh"
    cp -L "$root"/arm/usr/lib/aarch64-linux-gnu/{ld-linux-aarch64.so.1,lib{c,m}.so.6,libcrypt.so.1} \
        "$root/arm/usr/bin/toybox" "$phone/opt/arm/"
    for command in cat ls mkdir rm grep kill uname env; do
        script "$command" "exec /opt/arm/ld-linux-aarch64.so.1 --library-path /opt/arm /opt/arm/toybox $command \"\$@\""
    done
    script getprop 'echo "[ro.product.cpu.abilist]: [arm64-v8a]"; echo "[ro.product.model]: [emulated phone]"'
    cp "$root/x86/usr/lib/android-sdk/platform-tools/adbd" "$phone/opt/adbd/"
    cp -L "$libraries"/*.so* "$libraries"/android/*.so* "$phone/opt/adbd/lib/"
    # adbd would also listen on a VSOCK, which no namespace hides: it gets none.
    echo '#include <errno.h>
#include <sys/syscall.h>
#include <unistd.h>
int socket(int d, int t, int p) { if (d == 40) { errno = EAFNOSUPPORT; return -1; } return syscall(SYS_socket, d, t, p); }' |
        gcc -shared -fPIC -x c -o "$phone/opt/adbd/no_vsock.so" -
}

script() {
    printf '#!/system/bin/sh\n%s\n' "$2" >"$root/phone/system/bin/$1"
    chmod 755 "$root/phone/system/bin/$1"
}

inside() {
    local phone=$root/phone
    ip link set lo up
    mount -t binfmt_misc none /proc/sys/fs/binfmt_misc
    printf '%s' ':aarch64:M::\x7fELF\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\xb7\x00:\xff\xff\xff\xff\xff\xff\xff\x00\xff\xff\xff\xff\xff\xff\xff\xff\xfe\xff\xff\xff:'"$root/x86/usr/bin/qemu-aarch64:F" >/proc/sys/fs/binfmt_misc/register
    mount --rbind /dev "$phone/dev" && mount --rbind /sys "$phone/sys" && mount -t proc proc "$phone/proc"
    QEMU_CPU=cortex-a76 ADBD_PORT=6001 PATH=/system/bin /usr/sbin/chroot "$phone" /opt/adbd/lib/ld-linux-x86-64.so.2 \
        --preload /opt/adbd/no_vsock.so --library-path /opt/adbd/lib /opt/adbd/adbd >/dev/null 2>&1 &
    export ANDROID_ADB_SERVER_PORT=5137
    adb start-server 2>/dev/null
    for _ in $(seq 30); do adb connect 127.0.0.1:6001 | grep -q '^connected' && break || sleep 0.5; done
    "$@"
}

case $verb in
make) make_phone ;;
run) exec unshare -Urmnpf --mount-proc --kill-child bash "$here" inside "$root" "$@" ;;
inside) inside "$@" ;;
esac

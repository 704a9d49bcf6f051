#!/usr/bin/env bash
# An Arm userland on an x86 Debian, for tests/devices/test_aarch64.py: aarch64_userland.sh DIRECTORY
#
# DIRECTORY/qemu-aarch64 is trixie's emulator (bookworm's 7.2 crashes LiteRT), DIRECTORY/root has bookworm's arm64
# Python 3.11 with the runtimes' wheels. The system's own package sources stay as they are; no root is needed.
set -euo pipefail
export LC_ALL=C
directory=$(realpath -m "$1")
constraints=$(realpath "$(dirname "$0")/../../constraints.txt")
mkdir -p "$directory"/{apt/etc/preferences.d,apt/lists/partial,apt/archives/partial,packages,wheels,root}
cd "$directory"

mirror=$(grep -hoE '^(deb|URIs:) .*https?://[^ ]+/debian/?( |$)' /etc/apt/sources.list /etc/apt/sources.list.d/* 2>/dev/null |
    grep -oE 'https?://[^ ]+' | head -n 1 || true)
[ -n "$mirror" ] || { echo "no Debian mirror in /etc/apt" >&2; exit 2; }
keys=/usr/share/keyrings/debian-archive-keyring.gpg
for suite in bookworm trixie; do
    echo "deb [signed-by=$keys] $mirror $suite main"
done > apt/etc/sources.list
cat > apt/conf <<END
Dir::Etc "$directory/apt/etc";
Dir::State "$directory/apt";
Dir::State::status "$directory/apt/status";
Dir::Cache "$directory/apt";
APT::Architectures { "amd64"; "arm64"; };
APT::Sandbox::User "";
END
touch apt/status
export APT_CONFIG=$directory/apt/conf
apt-get update --quiet
(cd packages && apt-get download --quiet qemu-user/trixie $(printf '%s:arm64/bookworm ' \
    python3.11-minimal libpython3.11-minimal libpython3.11-stdlib libc6 libgcc-s1 libstdc++6 libgomp1 \
    zlib1g libexpat1 libffi8 libbz2-1.0 liblzma5 libssl3 libuuid1))
for package in packages/*_arm64.deb; do dpkg-deb -x "$package" root; done
dpkg-deb -x packages/qemu-user_*.deb emulator
ln -sf emulator/usr/bin/qemu-aarch64 qemu-aarch64

# Without torch, which brings gigabytes of CUDA on Arm too: ExecuTorch is called from C++ there.
python3 -m pip download --quiet --dest wheels --only-binary :all: --no-deps --constraint "$constraints" \
    --python-version 3.11 --implementation cp --abi cp311 --abi abi3 --abi none \
    --platform manylinux_2_28_aarch64 --platform manylinux_2_27_aarch64 --platform manylinux_2_17_aarch64 \
    --platform manylinux2014_aarch64 \
    executorch ai-edge-litert numpy backports-strenum flatbuffers protobuf tqdm typing-extensions
for wheel in wheels/*.whl; do python3 -m zipfile -e "$wheel" root/usr/lib/python3/dist-packages; done

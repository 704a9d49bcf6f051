#!/usr/bin/env bash
# What building the Android demo needs where there is no SDK, taken from Debian's archive; no system directory is touched.
#   android_platform.sh DIR    once, with the network: fills DIR with aapt2, zipalign, apksigner.jar, dx.jar, the framework's
#                              resources, the list of its public API, and API level 23 as a jar
set -euo pipefail
export LC_ALL=C
root=$(realpath -m "$1")
part=$root.part apt=$root.part/apt
rm -rf "$part"
mkdir -p "$apt"/{etc/{apt.conf.d,preferences.d},state/lists/partial,cache/archives/partial} "$part"/{system,source}

mirror=$(cat /etc/apt/sources.list /etc/apt/sources.list.d/* 2>/dev/null | grep -oE 'https?://[^ ]+/debian/?( |$)' | head -1) || true
signed="[signed-by=/usr/share/keyrings/debian-archive-keyring.gpg]"
cat >"$apt/etc/sources.list" <<END
deb $signed $mirror trixie main
deb-src $signed $mirror trixie main
deb $signed $mirror bullseye main
END
cat >"$apt/conf" <<END
Dir::Etc "$apt/etc"; Dir::Etc::sourcelist "$apt/etc/sources.list"; Dir::Etc::sourceparts "-";
Dir::State "$apt/state"; Dir::State::status "/dev/null"; Dir::Cache "$apt/cache";
APT::Sandbox::User "root"; APT::Install-Recommends "false"; Acquire::Languages "none"; Debug::NoLocking "true";
END
export APT_CONFIG=$apt/conf
apt-get update --quiet

# Programs come with everything they are linked against, the C library too, since this system's may be older.
apt-get install --quiet --yes --download-only aapt zipalign
cd "$apt/cache/archives"
apt-get download --quiet android-framework-res apksigner libapksig-java
apt-get download --quiet dalvik-exchange libandroid-23-java  # in bullseye only
for deb in *.deb; do dpkg-deb -x "$deb" "$part/system"; done
tools=$part/system/usr/lib/android-sdk/build-tools/debian
loader=$(realpath "$part"/system/usr/lib*/ld-linux-*.so.*)
for tool in aapt2 zipalign; do
    cat >"$part/$tool" <<END
#!/bin/sh
here=\$(dirname "\$(realpath "\$0")")
loader=\$here/${loader#"$part/"}
lib=\$here/system/usr/lib
exec "\$loader" --library-path "\${loader%/*}:\${loader%/*}/android:\$lib/7zip:\$lib" "\$here/${tools#"$part/"}/$tool" "\$@"
END
    chmod +x "$part/$tool"
done
cp -L "$tools/apksigner.jar" "$part/system/usr/share/java/apksig.jar" "$part/"
cp -L "$part/system/usr/share/java/com.android.dx.jar" "$part/dx.jar"
cp "$part/system/usr/share/android-framework-res/framework-res.apk" "$part/"
cp "$part/system/usr/share/java/com.android.android-23.jar" "$part/android-23.jar"

# Of the framework's source one file: its public API.
cd "$part/source"
framework=android-platform-frameworks-base
sum=$(apt-cache showsrc --only-source $framework | sed -n '/^Checksums-Sha256/,/^[^ ]/p' | awk '/orig.tar.xz/ {print $1 "  " $3; exit}')
apt-get source --quiet --tar-only $framework
sha256sum --check --quiet <<<"$sum"
tar -xJf ./*.orig.tar.xz -O ./core/api/current.txt >"$part/api.txt"

rm -rf "$part/source" "$apt" "$part"/system/usr/{bin,sbin,share} "$part/system/etc"
rm -rf "$root"
mv "$part" "$root"

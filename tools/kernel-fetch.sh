#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# tools/kernel-fetch.sh DIR [FLAVOUR...] - the kernels that the module is tried on, or those flavours of them: Debian 12's
# 6.1 for amd64 and 686-pae, and 6.12 for amd64 from its security archive; their headers, and a busybox for each, unpacked below
# DIR/amd64, DIR/686-pae and DIR/amd64-6.12. Nothing is installed on this machine: apt works in roots of its own below DIR/apt, from the Debian mirrors
# that the machine uses. A flavour that is there is not fetched again; then no network is needed.
#
#   DIR/FLAVOUR/vmlinuz config busybox version    what is booted
#   DIR/FLAVOUR/root/usr/src/linux-headers-...    what is built against: DIR/FLAVOUR/build leads there
#   DIR/FLAVOUR/modules                           the kernel's own upper layers, and in "deps" what each needs
#   DIR/FLAVOUR/tools                             programs with their libraries: rdma, ip, mkfs.ext4, iscsiadm, ...
#   DIR/checkpatch.pl                             of the same kernel's sources
set -u

dir=$1
all='amd64 686-pae amd64-6.12'
flavours=${*:2}
flavours=${flavours:-$all}
# Modules that a machine loads, with whatever these need; and programs, from these packages.
modules='rdma_cm ib_cm nvme_rdma nvmet_rdma ib_srp ib_srpt sd_mod target_core_iblock target_core_file brd loop ext4 crc32c_generic
	crct10dif_generic dummy veth bridge ib_iser ib_isert rds_rdma smc smc_diag rpcrdma nfsd nfsv4 ib_ipoib
	rdma_rxe crc32_generic nvme_loop tcm_loop iscsi_tcp'
packages='iproute2 e2fsprogs libc6 libmnl0 libbsd0 libcap2 libmd0 libbpf1 libelf1 zlib1g libext2fs2 libcom-err2 libblkid1 libuuid1
	open-iscsi libopeniscsiusr libisns0 libkmod2 libmount1 libssl3 libsystemd0 libselinux1 libpcre2-8-0 liblzma5 libzstd1 liblz4-1
	libgcrypt20 libgpg-error0 perl-base libcrypt1 fio libaio1 libnuma1'
programs='rdma ip mkfs.ext4 e2fsck iscsid iscsiadm perl fio'
# What stands for all this in DIR/FLAVOUR/.done: other words where more is fetched than before.
fetched="4 $modules $packages $programs"
keyring=/usr/share/keyrings/debian-archive-keyring.gpg

die() {
	echo "kernel-fetch: $*" >&2
	exit 1
}

mkdir -p "$dir" || exit 1
dir=$(cd "$dir" && pwd)
exec 7>"$dir/.fetch.lock"
flock 7

# mirror SUITE OTHERWISE - the mirror of this machine; Debian's own where apt can't say
mirror() {
	local uri
	# shellcheck disable=SC2016 # apt's own dollars
	uri=$(apt-get indextargets --format '$(REPO_URI) $(RELEASE) $(COMPONENT)' 2>/dev/null |
		awk -v suite="$1" '$2 == suite && $3 == "main" { print $1; exit }')
	echo "deb [signed-by=$keyring] ${uri:-http://deb.debian.org/$2} $1 main"
}

# apt ROOT COMMAND... - apt in a root of its own, which knows no installed package and no architecture but that of its name:
# amd64, i386, or amd64-6.12, which alone knows the security archive: its kernels 6.1 are others
apt() {
	local root=$dir/apt/$1 arch=${1%%-*} tool=$2
	mkdir -p "$root/lists/partial" "$root/cache/archives/partial" "$root/empty"
	if [ ! -f "$root/status" ]; then
		mirror bookworm debian >"$root/sources.list"
		[ "$arch" = "$1" ] || mirror bookworm-security debian-security >>"$root/sources.list"
		: >"$root/status"
	fi
	"$tool" -q -o APT::Architecture="$arch" -o APT::Architectures::="$arch" -o Dir::State="$root" -o Dir::State::Lists="$root/lists" \
		-o Dir::State::status="$root/status" -o Dir::Cache="$root/cache" -o Dir::Etc::sourcelist="$root/sources.list" \
		-o Dir::Etc::sourceparts="$root/empty" -o Dir::Etc::preferencesparts="$root/empty" -o APT::Sandbox::User=root \
		-o Acquire::Retries=3 -o Acquire::Languages=none -o APT::Get::List-Cleanup=false "${@:3}"
}

# fetch ROOT PACKAGE... - into DIR/apt/ROOT/deb
fetch() {
	mkdir -p "$dir/apt/$1/deb"
	(cd "$dir/apt/$1/deb" && apt "$1" apt-get download "${@:2}") || die "apt-get could not download ${*:2} ($1)"
}

# unpack ROOT PACKAGE WHERE [PATH...] - all of it, or those paths in it
unpack() {
	local deb=("$dir/apt/$1/deb/$2"_*.deb)
	mkdir -p "$3"
	dpkg --fsys-tarfile "${deb[-1]}" | tar -x -C "$3" "${@:4}"
}

# behind ROOT PACKAGE PATTERN - the first package that another one depends on, and that looks like this
behind() {
	apt "$1" apt-cache depends "$2" | sed -n "s/^ *Depends: \($3\)$/\1/p" | head -n 1
}

# get_modules FROM TO - copy the modules, by their names with "_" for "-", and list what each needs
get_modules() {
	local from=$1 to=$2 todo=$modules name file needs next
	mkdir -p "$to"
	: >"$to/deps"
	while [ -n "$todo" ]; do
		next=
		for name in $todo; do
			[ ! -f "$to/$name.ko" ] || continue
			file=$(find "$from" \( -name "$name.ko*" -o -name "${name//_/-}.ko*" \) -print -quit)
			# Some of them are in one kernel's own image.
			[ -n "$file" ] || continue
			case $file in *.xz) xz -dc "$file" ;; *) cat "$file" ;; esac >"$to/$name.ko"
			needs=$(tr '\0' '\n' <"$to/$name.ko" | sed -n 's/^depends=//p' | tr ',-' ' _')
			echo "$name: $needs" >>"$to/deps"
			next="$next $needs"
		done
		todo=${next// /}
		todo=${todo:+$next}
	done
}

# get_tools ROOT TO - programs and all libraries of their packages, as they lie in a root file system
get_tools() {
	local arch=$1 to=$2 all=$2.all p name
	# shellcheck disable=SC2086 # a list of names
	fetch "$arch" $packages
	for p in $packages; do
		unpack "$arch" "$p" "$all"
	done
	mkdir -p "$to/bin" "$to/lib"
	for name in $programs; do
		# The program itself, if there is one: a link may lead to this machine's.
		find "$all" \( -path "*/bin/$name" -o -path "*/sbin/$name" \) -type f -exec cp {} "$to/bin/$name" \; -quit
		[ -f "$to/bin/$name" ] ||
			find "$all" \( -path "*/bin/$name" -o -path "*/sbin/$name" \) -exec cp -L {} "$to/bin/$name" \; -quit
		[ -f "$to/bin/$name" ] || die "no program $name in the packages ($arch)"
	done
	find "$all" -path '*-linux-gnu/*.so.*' ! -path '*/gconv/*' -exec cp -L {} "$to/lib" \;
	find "$all" -name 'ld-linux*.so.2' -exec cp -L {} "$to/lib" \; -quit
	rm -rf "$all"
	stand_in "$to" fio || die "no stand-ins for what fio lacks ($arch)"
}

# stand_in TOOLS PROGRAM - in place of the libraries that a program wants and that aren't there, one that has their names, and nothing
# behind them. fio brings those of Ceph, Gluster and others, for disks that no machine here has: 60 libraries, 100 MB.
stand_in() {
	local to=$1 program=$1/bin/$2 names=$1/lib/names format lib
	format=$(objdump -f "$program" | sed -n 's/.*file format //p')
	comm -23 <(nm -D --undefined-only "$program" | awk '$1 == "U" { print $2 }' | sort -u) \
		<(find "$to/lib" -type f -exec nm -D --defined-only {} + 2>/dev/null | awk 'NF == 3 { sub("@@", "@", $3); print $3 }' | sort -u) >"$names"
	sed 's/@.*//; s/.*/.globl &\n&:/' "$names" >"$names.s"
	awk -F@ 'NF > 1 { of[$2] = of[$2] " " $1 ";" } END { for (v in of) print v " {" of[v] " };" }' "$names" >"$names.map"
	case $format in
	elf32-i386) as --32 -o "$names.o" "$names.s" && ld -m elf_i386 -shared --version-script "$names.map" -o "$names.so" "$names.o" ;;
	*) as --64 -o "$names.o" "$names.s" && ld -m elf_x86_64 -shared --version-script "$names.map" -o "$names.so" "$names.o" ;;
	esac || return 1
	for lib in $(objdump -p "$program" | sed -n 's/^ *NEEDED *//p'); do
		[ -e "$to/lib/$lib" ] || cp "$names.so" "$to/lib/$lib" || return 1
	done
	rm -f "$names" "$names".*
}

get_flavour() {
	local flavour=$1 root=amd64 host=amd64 name=$1 image headers version common kbuild to=$dir/$1.new
	case $flavour in
	686-pae) root=i386 ;;
	amd64-*) root=$flavour host=$flavour name=${flavour#*-}-amd64 ;;
	esac
	apt "$root" apt-get update >"$dir/apt.log" 2>&1 || cat "$dir/apt.log" >&2
	image=$(behind "$root" "linux-image-$name" 'linux-image-[0-9].*')
	headers=$(behind "$root" "linux-headers-$name" 'linux-headers-[0-9].*')
	version=${image#linux-image-}
	[ "$headers" = "linux-headers-${version:-none}" ] || die "no kernel for $flavour: '$image', '$headers'"
	common=$(behind "$root" "$headers" 'linux-headers-.*-common')
	kbuild=$(behind "$root" "$headers" 'linux-kbuild-.*')
	rm -rf "$to" "$dir/apt/$root/deb"
	fetch "$root" "$image" "$headers" busybox-static
	# Headers for all architectures and the tools that build modules are this machine's.
	fetch "$host" "$common" "$kbuild"
	unpack "$root" "$image" "$to/root" ./boot ./lib/modules
	unpack "$root" "$headers" "$to/root"
	unpack "$root" busybox-static "$to/root" ./bin/busybox
	unpack "$host" "$common" "$to/root"
	unpack "$host" "$kbuild" "$to/root"
	if ! mv "$to/root/boot/vmlinuz-$version" "$to/vmlinuz" || ! mv "$to/root/boot/config-$version" "$to/config" ||
		! mv "$to/root/bin/busybox" "$to/busybox"; then
		die "a package of $version lacks what is needed"
	fi
	get_modules "$to/root/lib/modules/$version" "$to/modules"
	rm -rf "$to/root/lib/modules"
	get_tools "$root" "$to/tools"
	echo "$version" >"$to/version"
	# The packages lead to each other by absolute paths, as if they were installed.
	ln -sfn "root/usr/src/$headers" "$to/build"
	sed -i "s|/usr/src/linux-headers|$dir/$flavour/root&|g" "$to/build/Makefile"
	find "$to/root/usr/src" -type l -printf '%p %l\n' | while read -r link target; do
		case $target in /usr/*) ln -sfn "$dir/$flavour/root$target" "$link" ;; esac
	done
	rm -rf "${dir:?}/$flavour" "$dir/apt/$root/deb"
	mv "$to" "$dir/$flavour"
	echo "$dir $fetched" >"$dir/$flavour/.done"
	echo "kernel-fetch: $version"
}

for f in $flavours; do
	# It has this folder's path in it.
	[ "$(cat "$dir/$f/.done" 2>/dev/null)" = "$dir $fetched" ] || get_flavour "$f"
done
# What looks at sources comes with all of them.
if [ "$flavours" = "$all" ] && [ ! -f "$dir/checkpatch.pl" ]; then
	apt amd64 apt-get update >"$dir/apt.log" 2>&1 || cat "$dir/apt.log" >&2
	fetch amd64 linux-source-6.1
	# It is one of the first of 80,000 files; the rest isn't unpacked.
	unpack amd64 linux-source-6.1 "$dir/apt/source" ./usr/src/linux-source-6.1.tar.xz
	tar -xJf "$dir/apt/source/usr/src/linux-source-6.1.tar.xz" -O --occurrence=1 linux-source-6.1/scripts/checkpatch.pl \
		>"$dir/checkpatch.pl.new"
	[ -s "$dir/checkpatch.pl.new" ] || die 'no checkpatch.pl in linux-source-6.1'
	mv "$dir/checkpatch.pl.new" "$dir/checkpatch.pl"
fi
rm -rf "$dir/apt"

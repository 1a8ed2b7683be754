#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# tools/check-install.sh DIR - `make install` into DIR, then what a user of the
# library would do with it, as TAP: each public header alone in C and in C++, a
# program that takes the address of every exported function (so each is declared,
# has C linkage and can be linked) in C, in C++ and statically, the man pages, the examples as
# they are installed, the plugin's path, and `make uninstall`.
set -u

cd "$(dirname "$0")/.." || exit 1
mkdir -p "$1" || exit 1
dest=$(cd "$1" && pwd)
prefix=/opt/softhca
there=$dest$prefix
number=0 failures=0

# verdict NAME STATUS OUTPUT - one TAP line
verdict() {
	number=$((number + 1))
	if [ "$2" -eq 0 ]; then
		echo "ok $number - $1"
	else
		awk '{ print "# " $0 }' <<<"$3"
		echo "not ok $number - $1"
		failures=$((failures + 1))
	fi
}

# try NAME COMMAND... - one TAP line
try() {
	local name=$1 out
	shift
	out=$("$@" 2>&1)
	verdict "$name" $? "$out"
}

rm -rf "$dest"
mkdir -p "$dest"
try 'make install DESTDIR= PREFIX=' env SOFTHCA_DEPS=skip make --no-print-directory install \
	DESTDIR="$dest" PREFIX="$prefix"
if [ "$failures" -gt 0 ]; then
	echo "1..$number"
	exit 1
fi
for f in lib/libsofthca.so lib/libsofthca.so.0 lib/libsofthca.a lib/pkgconfig/softhca.pc include/softhca/config.h \
	bin/softhca bin/softhca-bench lib/nbdkit/plugins/nbdkit-softhca-plugin.so share/doc/softhca/README.md \
	share/doc/softhca/examples/map_and_look.c share/bash-completion/completions/softhca; do
	try "installed: $f" test -e "$there/$f"
done
outside=$(find "$dest" -type f -not -path "$there/*")
try "nothing is installed outside the prefix${outside:+: $outside}" test -z "$outside"

export PKG_CONFIG_PATH=$there/lib/pkgconfig PKG_CONFIG_SYSROOT_DIR=$dest
version=$(sed -n "s/^ *version: '\(.*\)',$/\1/p" meson.build | head -n 1)
try "pkg-config says version $version" test "$(pkg-config --modversion softhca)" = "$version"
read -ra cflags < <(pkg-config --cflags softhca)
read -ra libs < <(pkg-config --libs softhca)
strict=(-Wall -Wextra -Werror)

kept=$(find docs examples -type f | sort)
made=$(cd "$there/share/doc/softhca" && find docs examples -type f | sort)
try 'the installed documents and examples are those of the tree' test "$kept" = "$made"
for f in "$there"/bin/*; do
	try "${f##*/} has a page" test -e "$there/share/man/man1/${f##*/}.1"
done
pages=$(cd man && ls ib_*.3 rdma_*.3 softhca-*.7)
unnamed=$(for f in $pages; do
	# By its own name, or that of another call in it.
	grep -qE "\bXr ($(sed -n 's/^\.Nm \([a-z_]*\).*/\1/p' "man/$f" | paste -sd '|')|${f%.*}) ${f##*.}" man/softhca.7 || echo "$f"
done)
try "softhca(7) names the pages of the verbs${unnamed:+: not }${unnamed//$'\n'/ }" test -z "$unnamed"

mapfile -t headers < <(cd "$there/include" && find softhca -name '*.h' | sort)
kept=$(cd include && find softhca -name '*.h' | sort)
made=$(printf '%s\n' "${headers[@]}" | grep -vx softhca/config.h)
try 'the installed headers are those of the tree' test "$kept" = "$made"
# Kernel sources are C.
mapfile -t both < <(printf '%s\n' "${headers[@]}" | grep -vE '^softhca/(kernel\.h$|kernel/|compat/)')
is_both() {
	printf '%s\n' "${both[@]}" | grep -qxF "$1"
}
for h in "${headers[@]}"; do
	echo "#include <$h>" >"$dest/one.c"
	cp "$dest/one.c" "$dest/one.cc"
	try "$h alone, C" gcc -std=gnu11 "${strict[@]}" "${cflags[@]}" -fsyntax-only "$dest/one.c"
	is_both "$h" && try "$h alone, C++" g++ -std=c++17 "${strict[@]}" "${cflags[@]}" -fsyntax-only "$dest/one.cc"
done

mapfile -t exported < <(nm -D --defined-only "$there/lib/libsofthca.so" | awk '$2 ~ /[TDBRWV]/ { print $3 }' | sort)
try "the library exports something (${#exported[@]} names)" test "${#exported[@]}" -gt 0
# every NAME... - a program that names each function; its headers are on standard input
every() {
	sed 's/.*/#include <&>/'
	echo 'static const void *volatile all[] = {'
	printf '\t(const void *)&%s,\n' "$@"
	echo '};'
	echo 'int main(void)'
	echo '{'
	echo '	for (unsigned int i = 0; i < sizeof(all) / sizeof(all[0]); i++)'
	echo '		if (!all[i])'
	echo '			return 1;'
	echo '	return 0;'
	echo '}'
}
printf '%s\n' "${headers[@]}" | grep -v '^softhca/compat/' | every "${exported[@]}" >"$dest/every.c"
mapfile -t in_both < <(cd "$there/include" && printf '%s\n' "${exported[@]}" | grep -xF "$(grep -ohE '\b\w+\b' "${both[@]}" | sort -u)")
printf '%s\n' "${both[@]}" | every "${in_both[@]}" >"$dest/every.cc"
try 'a program with every function, C' gcc -std=gnu11 "${strict[@]}" -Wno-address "${cflags[@]}" "$dest/every.c" \
	-o "$dest/every-c" "${libs[@]}"
try 'it runs' env LD_LIBRARY_PATH="$there/lib" "$dest/every-c"
try 'a program with every function, C++' g++ -std=c++17 "${strict[@]}" -Wno-address "${cflags[@]}" "$dest/every.cc" \
	-o "$dest/every-cc" "${libs[@]}"
try 'it runs' env LD_LIBRARY_PATH="$there/lib" "$dest/every-cc"
unset PKG_CONFIG_SYSROOT_DIR
read -ra needs < <(pkg-config --static --libs softhca | sed "s|-L$prefix/lib||; s|-lsofthca\b||")
try 'the same against the static library' gcc -std=gnu11 "${strict[@]}" -Wno-address "${cflags[@]}" "$dest/every.c" \
	-o "$dest/every-static" "$there/lib/libsofthca.a" "${needs[@]}"
try 'it runs' "$dest/every-static"

# shellcheck disable=SC2317 # called by try
# says FILE COMMAND... - it succeeds and prints as many lines as FILE has, each as the pattern in that line of FILE
says() {
	local file=$1 i
	local -a got want
	shift
	"$@" >"$dest/said" 2>&1 || { cat "$dest/said"; return 1; }
	mapfile -t got <"$dest/said"
	mapfile -t want <"$file" || return 1
	for ((i = 0; i < ${#want[@]} || i < ${#got[@]}; i++)); do
		[[ ${got[i]-} =~ ^(${want[i]-})$ ]] && continue
		echo "line $((i + 1)): '${got[i]-}' is not '${want[i]-}'"
		return 1
	done
}

# The examples, and programs written for this check: built as C and as C++, and run. What an example prints is told
# by tests/install/NAME.expect.
for f in examples/*.c tests/install/*.c; do
	[ -f "$f" ] || continue
	name=$(basename "$f" .c)
	try "$f, C" gcc -std=gnu11 "${strict[@]}" "${cflags[@]}" "$f" -o "$dest/$name-c" "${libs[@]}"
	run=(env LD_LIBRARY_PATH="$there/lib")
	[ "${f%/*}" = examples ] && run=(says "tests/install/$name.expect" "${run[@]}")
	try "$f runs" "${run[@]}" "$dest/$name-c"
	try "$f, C++" g++ -x c++ -std=c++20 "${strict[@]}" "${cflags[@]}" "$f" -o "$dest/$name-cc" "${libs[@]}"
	try "$f runs, C++" "${run[@]}" "$dest/$name-cc"
done

# The kernel ULP: its sources find the kernel's headers by their path. It judges itself.
try 'examples/rstore' gcc -std=gnu11 "${strict[@]}" -Wno-unused-parameter -I"$there/include/softhca/compat" "${cflags[@]}" \
	examples/rstore/*.c -o "$dest/rstore" "${libs[@]}"
try 'examples/rstore runs' env LD_LIBRARY_PATH="$there/lib" "$dest/rstore"

kept=$(cd man && find . -name '*.[1-9]' -printf '%f\n' | sort)
made=$(find "$there/share/man" -type f -printf '%f\n' 2>/dev/null | sort)
try 'the installed man pages are those of the tree' test "$kept" = "$made"
# A call NAME that is a macro has a function NAME_at behind it; NAME_long is the long way of an inline one.
unpaged=$(for n in "${exported[@]}"; do
	n=${n%_at}
	[ -e "$there/share/man/man3/$n.3" ] || case $n in *_long) ;; *) echo "$n" ;; esac
done)
try "every exported call has a page, or is named by one${unpaged:+: not }${unpaged//$'\n'/ }" test -z "$unpaged"
for f in man/*.[1-9]; do
	[ -f "$f" ] && try "$f: mandoc" mandoc -T lint -W warning "$f"
done

# --- uninstall ---
touch "$there/bin/of-somebody"
try 'make uninstall DESTDIR= PREFIX=' make --no-print-directory uninstall DESTDIR="$dest" PREFIX="$prefix"
left=$(find "$dest/${prefix%%/*}" -path "$there/*" ! -type d)
try "nothing is left but what was not ours: $left" test "$left" = "$there/bin/of-somebody"
left=$(find "$there" -mindepth 1 -type d)
try "nor a folder: $left" test "$left" = "$there/bin"

# fails NAME STATUS WORDS COMMAND... - it ends with that status of make and says those words
fails() {
	local name=$1 words=$2 out status
	shift 2
	out=$("$@" 2>&1)
	status=$?
	[ "$status" -eq 2 ] && grep -qF -- "$words" <<<"$out"
	verdict "$name" $? "status $status: $out"
}
install=(env SOFTHCA_DEPS=skip make --no-print-directory install)
fails 'a second make uninstall says that nothing is there' "there is no softhca in $there" \
	make --no-print-directory uninstall DESTDIR="$dest" PREFIX="$prefix"
# shellcheck disable=SC2016 # make says $HOME
fails 'PREFIX must be absolute' 'PREFIX=here is no absolute path; for example: make install PREFIX=$HOME/.local' \
	"${install[@]}" PREFIX=here

# --- as a distribution does: nbdkit's own folder has the plugin then ---
package=$dest/package
try 'make install PREFIX=/usr DESTDIR=' "${install[@]}" PREFIX=/usr DESTDIR="$package"
plugin=$package$(pkg-config --variable=plugindir nbdkit)/nbdkit-softhca-plugin.so
try 'the plugin is where nbdkit looks' test -f "$plugin"
mv "$package" "$dest/moved"
try 'softhca-bench finds it' "$dest/moved/usr/bin/softhca-bench" srp
mv "$dest/moved" "$package"
try 'make uninstall PREFIX=/usr DESTDIR=' make --no-print-directory uninstall PREFIX=/usr DESTDIR="$package"

# --- as a user: a folder of one's own, no DESTDIR ---
home=$dest/home
try 'make install PREFIX=, a folder of the user' "${install[@]}" PREFIX="$home/.local"
"${install[@]}" PREFIX="$home/.local" >"$dest/said" 2>&1
verdict 'once more' $? "$(cat "$dest/said")"
try 'it says how to find the command' grep -qF "export PATH=\"$home/.local/bin:\$PATH\"" "$dest/said"
try 'it says how to remove it' grep -qF "make uninstall PREFIX=$home/.local" "$dest/said"
export PKG_CONFIG_PATH=$home/.local/lib/pkgconfig
plugin=$(sed -n 's/^  nbdkit plugin   nbdkit \(.*\) FILE$/\1/p' "$dest/said")
try 'it says where the plugin is' test -f "$plugin"
try 'pkg-config says the same' test "$(pkg-config --variable=nbdkit_plugin softhca)" = "$plugin"
try 'nbdkit loads it from there' nbdkit "$plugin" --dump-plugin
try 'the command runs' "$home/.local/bin/softhca" devices
cp -r "$home/.local/share/doc/softhca/examples" "$dest/examples"
try 'the installed examples build with their Makefile' make --no-print-directory -C "$dest/examples" CFLAGS='-O2 -Wall -Werror'
for f in examples/*.c; do
	name=$(basename "$f" .c)
	try "$name runs" says "tests/install/$name.expect" "$dest/examples/$name"
done
try 'rstore runs' "$dest/examples/rstore/rstore"
# A file that an older version had: the list of what was installed has it, the new one hasn't.
echo "$home/.local/share/softhca-old" >>"$home/.local/share/softhca/installed"
touch "$home/.local/share/softhca-old"
try 'make install over an older version' "${install[@]}" PREFIX="$home/.local"
try 'its files are gone' test ! -e "$home/.local/share/softhca-old"
try 'make uninstall PREFIX=' make --no-print-directory uninstall PREFIX="$home/.local"
try 'nothing is left' test -z "$(find "$dest" -path "$home/*" ! -type d)"
# As a user who may not write where root may; this tree may lie where that user can't even read.
as_nobody=()
[ "$(id -u)" != 0 ] || as_nobody=(setpriv --reuid=65534 --regid=65534 --clear-groups)
script=$PWD/tools/install.sh
other=$(mktemp -d)
trap 'chmod -R u+w "$other"; rm -rf "$other"' EXIT
mkdir -p "$other/share/softhca"
touch "$other/share/softhca/installed" # so that there is one to remove
chmod -R a+rX,a-w "$other"
for what in install uninstall; do
	out=$(cd / && "${as_nobody[@]}" bash -s "$what" "$other" <"$script" 2>&1)
	status=$?
	[ $status -eq 1 ] && grep -qF "you can't write to $other. Either:" <<<"$out" && grep -qF "sudo make $what PREFIX=$other" <<<"$out"
	verdict "$what where the user may not write" $? "status $status: $out"
done

echo "1..$number"
exit $((failures > 0))

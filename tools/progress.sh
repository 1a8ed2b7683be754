# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# How a wait says how far it is: on a terminal by one line that is written over, elsewhere by a line every PROGRESS_SECONDS
# (10). Sourced by the scripts in tools/.

progress_seconds=${PROGRESS_SECONDS:-10}
progress_at=0

# progress_say TEXT - on standard output
progress_say() {
	if [ -t 1 ]; then
		printf '\r\033[K%s' "$1"
	elif [ $((SECONDS - progress_at)) -ge "$progress_seconds" ]; then
		echo "$1"
		progress_at=$SECONDS
	fi
}

# progress_end - the terminal's line is free again
progress_end() {
	if [ -t 1 ]; then printf '\r\033[K'; fi
}

# progress_ninja NAME LOG - what ninja says on standard input goes to LOG, and how far it is to standard output. Set
# NINJA_STATUS='[%f/%t] ' for ninja.
progress_ninja() {
	local line began=$SECONDS
	progress_at=$SECONDS
	while IFS= read -r line; do
		printf '%s\n' "$line" >&7
		if [[ $line =~ ^\[([0-9]+)/([0-9]+)\] ]]; then
			progress_say "$1: $((100 * BASH_REMATCH[1] / BASH_REMATCH[2]))%, ${BASH_REMATCH[1]} of ${BASH_REMATCH[2]} steps, $((SECONDS - began)) s"
		fi
	done 7>"$2"
	progress_end
}

# progress_apt LOG - the same of `apt-get -o APT::Status-Fd=1`
progress_apt() {
	local line began=$SECONDS kind percent what last=
	progress_at=$SECONDS
	while IFS= read -r line; do
		case $line in
		dlstatus:* | pmstatus:*)
			IFS=: read -r kind _ percent _ <<<"$line"
			what='downloading'
			[ "$kind" = dlstatus ] || what='installing'
			# Each of the two has a first line, however short it is.
			if [ "$what" != "$last" ]; then progress_at=$((SECONDS - progress_seconds)); fi
			last=$what
			progress_say "deps: $what: ${percent%%.*}%, $((SECONDS - began)) s"
			;;
		*) printf '%s\n' "$line" >&7 ;;
		esac
	done 7>>"$1"
	progress_end
}

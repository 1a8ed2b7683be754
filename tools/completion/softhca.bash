# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# Completion of the softhca command for bash: the command itself knows its words. Behind an option that takes a
# file, and behind `softhca run PROGRAM`, bash completes file names.
_softhca() {
	local i words=()

	# bash makes three words of --option=value; the command is asked about two, --option value.
	for ((i = 1; i <= COMP_CWORD; i++)); do
		if [ "${COMP_WORDS[i]}" != '=' ]; then
			words+=("${COMP_WORDS[i]}")
		elif [ "$i" = "$COMP_CWORD" ]; then
			words+=('')
		fi
	done
	mapfile -t COMPREPLY < <("${COMP_WORDS[0]}" complete "${words[@]}" 2>/dev/null)
}
complete -o default -F _softhca softhca

/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Strings for those who read the command's output by a program; see cli.h. */
#include <stdio.h>
#include <string.h>

#include "cli.h"

/*
 * Return: bytes of the character that begins at @s, 0 if that is no UTF-8 (RFC 3629, section 4): too long a form, a surrogate, a
 * character above U+10FFFF, or a sequence that breaks off.
 */
static size_t utf8_length(const unsigned char *s)
{
	size_t length = s[0] < 0x80 ? 1 : s[0] < 0xc2 ? 0 : s[0] < 0xe0 ? 2 : s[0] < 0xf0 ? 3 : s[0] < 0xf5 ? 4 : 0;
	size_t i;

	for (i = 1; i < length; i++)
		if ((s[i] & 0xc0) != 0x80)
			return 0;
	if ((s[0] == 0xe0 && s[1] < 0xa0) || (s[0] == 0xed && s[1] > 0x9f) || (s[0] == 0xf0 && s[1] < 0x90) ||
	    (s[0] == 0xf4 && s[1] > 0x8f))
		return 0;
	return length;
}

void cli_json_text(const char *text)
{
	const unsigned char *s = (const unsigned char *)text;

	putchar('"');
	while (*s) {
		size_t length = utf8_length(s);

		if (!length)
			fputs("\\ufffd", stdout);
		else if (*s == '"' || *s == '\\')
			printf("\\%c", *s);
		else if (*s < 0x20)
			printf("\\u%04x", (unsigned int)*s);
		else
			fwrite(s, 1, length, stdout);
		s += length ? length : 1;
	}
	putchar('"');
}

/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Why a request ends in an error: what is wrong with a key or a list of entries, and the
 * words of enum hca_vendor_err. Called after a check has said no, from inside; a key
 * may have come or gone since, and is then reported as one that isn't valid.
 */
#ifndef HCA_WHY_H
#define HCA_WHY_H

#include "hca/sge.h"

/* Room for the words of a key. */
#define HCA_WHY_BYTES 160u

/**
 * hca_key_why() - why hca_key_check() of the same arguments found nothing
 * @words: set to what is wrong, with the key and the numbers; HCA_WHY_BYTES
 *
 * Return: HCA_VENDOR_KEY, _PD, _RIGHT, _BOUNDS or _MW
 */
enum hca_vendor_err hca_key_why(const struct hca_keys *keys, u32 key, u64 pd, u32 qpn, u64 addr, u64 len, u32 access,
				char *words);

/** hca_sge_why() - the same of the first entry that hca_sge_check() of this list, from its beginning, refuses */
enum hca_vendor_err hca_sge_why(const struct hca_sge_cursor *g, u64 len, char *words);

/** hca_rights_str() - "REMOTE_WRITE, REMOTE_READ", in @buf. Return: @buf */
const char *hca_rights_str(u32 access, char *buf, size_t size);

/** hca_vendor_err_msg() - the words of a vendor_err */
const char *hca_vendor_err_msg(u32 vendor_err);

/** hca_wc_status_msg() - the words of a status */
const char *hca_wc_status_msg(enum hca_wc_status status);

#endif

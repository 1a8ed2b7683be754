/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Why a request ends in an error; see why.h. */
#include "hca/why.h"

const char *hca_rights_str(u32 access, char *buf, size_t size)
{
	static const char *const names[] = { "LOCAL_WRITE", "REMOTE_WRITE", "REMOTE_READ", "REMOTE_ATOMIC",
					     "MW_BIND",	    "ZERO_BASED",   "ON_DEMAND" };
	size_t n = 0;
	u32 bit;

	buf[0] = 0;
	for (bit = 0; bit < 32; bit++) {
		if (!(access >> bit & 1))
			continue;
		if (bit < HCA_ARRAY_SIZE(names))
			n += hca_snprintf(buf + n, size - n, "%s%s", n ? ", " : "", names[bit]);
		else
			n += hca_snprintf(buf + n, size - n, "%sbit %u", n ? ", " : "", bit);
	}
	return buf;
}

enum hca_vendor_err hca_key_why(const struct hca_keys *keys, u32 key, u64 pd, u32 qpn, u64 addr, u64 len, u32 access,
				char *words)
{
	const struct hca_key_entry *e = hca_key_find(keys, key);
	char rights[64];

	if (!e) {
		hca_snprintf(words, HCA_WHY_BYTES,
			     "key 0x%x isn't valid: never given, not registered yet, invalidated or deregistered", key);
		return HCA_VENDOR_KEY;
	}
	if (e->pd != pd) {
		hca_snprintf(words, HCA_WHY_BYTES, "key 0x%x is of another protection domain", key);
		return HCA_VENDOR_PD;
	}
	if ((e->access & access) != access) {
		hca_snprintf(words, HCA_WHY_BYTES, "key 0x%x doesn't allow %s", key,
			     hca_rights_str(access & ~e->access, rights, sizeof(rights)));
		return HCA_VENDOR_RIGHT;
	}
	if (len > hca_key_length(e) || addr - e->iova > hca_key_length(e) - len) {
		hca_snprintf(words, HCA_WHY_BYTES, "key 0x%x covers %llu bytes from 0x%llx, not %llu from 0x%llx", key,
			     (unsigned long long)hca_key_length(e), (unsigned long long)e->iova,
			     (unsigned long long)len, (unsigned long long)addr);
		return HCA_VENDOR_BOUNDS;
	}
	if (e->access & HCA_KEY_MW && !(access & HCA_ACCESS_REMOTE)) {
		hca_snprintf(words, HCA_WHY_BYTES, "key 0x%x is a memory window's, which is for peers alone", key);
		return HCA_VENDOR_MW;
	}
	if (e->access & HCA_KEY_MW && e->qpn != HCA_KEY_ANY_QP && e->qpn != qpn) {
		hca_snprintf(words, HCA_WHY_BYTES, "key 0x%x is a type 2 memory window's, bound to QP %u", key, e->qpn);
		return HCA_VENDOR_MW;
	}
	hca_snprintf(words, HCA_WHY_BYTES, "key 0x%x wasn't valid a moment ago", key);
	return HCA_VENDOR_KEY;
}

enum hca_vendor_err hca_sge_why(const struct hca_sge_cursor *g, u64 len, char *words)
{
	u64 sum = 0;
	u32 i;

	for (i = 0; i < g->num_sge && sum < len; i++) {
		const struct hca_sge *s = &g->sge[i];
		u64 need = HCA_MIN((u64)s->length, len - sum);

		sum += s->length;
		if (need && !hca_key_check(g->keys, s->lkey, g->pd, g->qpn, s->addr, need, g->access))
			return hca_key_why(g->keys, s->lkey, g->pd, g->qpn, s->addr, need, g->access, words);
	}
	hca_snprintf(words, HCA_WHY_BYTES, "a key wasn't valid a moment ago");
	return HCA_VENDOR_KEY;
}

/* --- words --- */

const char *hca_vendor_err_msg(u32 vendor_err)
{
	static const char *const words[2][HCA_VENDOR_ERRS] = {
		{
			[HCA_VENDOR_NONE] = "no reason given",
			[HCA_VENDOR_KEY] = "key not valid",
			[HCA_VENDOR_PD] = "key of another protection domain",
			[HCA_VENDOR_RIGHT] = "key lacks a right",
			[HCA_VENDOR_BOUNDS] = "bytes outside of what the key covers",
			[HCA_VENDOR_MW] = "memory window of peers, or of another queue pair",
			[HCA_VENDOR_MEMORY] = "adapter can't reach the memory",
			[HCA_VENDOR_LENGTH] = "message too long",
			[HCA_VENDOR_QP_RIGHT] = "queue pair lacks a right",
			[HCA_VENDOR_NO_READS] = "queue pair takes no reads and atomics",
			[HCA_VENDOR_ALIGN] = "atomic not on 8 bytes in one piece",
			[HCA_VENDOR_GID] = "source GID not in the table any more",
			[HCA_VENDOR_SEQUENCE] = "message malformed or out of sequence",
			[HCA_VENDOR_NO_ANSWER] = "no answer from the peer",
			[HCA_VENDOR_NO_RECV] = "no receive request at the peer",
			[HCA_VENDOR_REGISTER] = "registration not possible",
			[HCA_VENDOR_BIND] = "bind not possible",
			[HCA_VENDOR_INVALIDATE] = "key can't be invalidated",
			[HCA_VENDOR_SRQ] = "no such shared receive queue",
			[HCA_VENDOR_PEER_GONE] = "peer's message broke off",
		},
		{
			[HCA_VENDOR_NONE] = "at the peer: no reason given",
			[HCA_VENDOR_KEY] = "at the peer: key not valid",
			[HCA_VENDOR_PD] = "at the peer: key of another protection domain",
			[HCA_VENDOR_RIGHT] = "at the peer: key lacks a right",
			[HCA_VENDOR_BOUNDS] = "at the peer: bytes outside of what the key covers",
			[HCA_VENDOR_MW] = "at the peer: memory window of another queue pair",
			[HCA_VENDOR_MEMORY] = "at the peer: adapter can't reach the memory",
			[HCA_VENDOR_LENGTH] = "at the peer: receive request too small",
			[HCA_VENDOR_QP_RIGHT] = "at the peer: queue pair lacks a right",
			[HCA_VENDOR_NO_READS] = "at the peer: queue pair takes no reads and atomics",
			[HCA_VENDOR_ALIGN] = "at the peer: atomic not on 8 bytes in one piece",
			[HCA_VENDOR_SEQUENCE] = "at the peer: message malformed or out of sequence",
			[HCA_VENDOR_INVALIDATE] = "at the peer: key can't be invalidated",
			[HCA_VENDOR_SRQ] = "at the peer: no such shared receive queue",
		},
	};
	u32 code = vendor_err & ~(u32)HCA_VENDOR_REMOTE;
	const char *text = code < HCA_VENDOR_ERRS ? words[vendor_err != code][code] : NULL;

	return text ? text : "unknown reason";
}

const char *hca_wc_status_msg(enum hca_wc_status status)
{
	static const char *const words[] = {
		[HCA_WC_SUCCESS] = "success",
		[HCA_WC_LOC_LEN_ERR] = "local length error",
		[HCA_WC_LOC_QP_OP_ERR] = "local QP operation error",
		[HCA_WC_LOC_EEC_OP_ERR] = "local EE context operation error",
		[HCA_WC_LOC_PROT_ERR] = "local protection error",
		[HCA_WC_WR_FLUSH_ERR] = "WR flushed",
		[HCA_WC_MW_BIND_ERR] = "memory management operation error",
		[HCA_WC_BAD_RESP_ERR] = "bad response error",
		[HCA_WC_LOC_ACCESS_ERR] = "local access error",
		[HCA_WC_REM_INV_REQ_ERR] = "remote invalid request error",
		[HCA_WC_REM_ACCESS_ERR] = "remote access error",
		[HCA_WC_REM_OP_ERR] = "remote operation error",
		[HCA_WC_RETRY_EXC_ERR] = "transport retry counter exceeded",
		[HCA_WC_RNR_RETRY_EXC_ERR] = "RNR retry counter exceeded",
		[HCA_WC_LOC_RDD_VIOL_ERR] = "local RDD violation error",
		[HCA_WC_REM_INV_RD_REQ_ERR] = "remote invalid RD request",
		[HCA_WC_REM_ABORT_ERR] = "operation aborted by the remote side",
		[HCA_WC_INV_EECN_ERR] = "invalid EE context number",
		[HCA_WC_INV_EEC_STATE_ERR] = "invalid EE context state",
		[HCA_WC_FATAL_ERR] = "fatal error",
		[HCA_WC_RESP_TIMEOUT_ERR] = "response timeout error",
		[HCA_WC_GENERAL_ERR] = "general error",
	};

	return (u32)status < HCA_ARRAY_SIZE(words) ? words[status] : "unknown status";
}

/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Encoding and decoding of the communication manager's messages; see mad.h. Pure functions over bytes. */
#include "cm/mad.h"

#define GID_BITS 128u
/* The longest field that is a number. */
#define NUMBER_BITS 64u

/* --- bits in network order --- */

/* A field lies within whole bytes: no number of ours has more than 64 bits, nor goes over more than 8 bytes. */
static u64 get_bits(const u8 *body, u32 bit, u32 width)
{
	u32 first = bit / 8, last = (bit + width - 1) / 8, i;
	u64 v = 0;

	for (i = first; i <= last; i++)
		v = v << 8 | body[i];
	v >>= (last + 1) * 8 - (bit + width);
	return width < NUMBER_BITS ? v & ((1ull << width) - 1) : v;
}

/* The bits are zeros before. */
static void put_bits(u8 *body, u32 bit, u32 width, u64 v)
{
	u32 first = bit / 8, i = (bit + width - 1) / 8;

	v <<= (i + 1) * 8 - (bit + width);
	for (;; i--, v >>= 8) {
		body[i] |= (u8)v;
		if (i == first)
			break;
	}
}

/* --- members of the structure --- */

static u64 get_member(const void *from, const struct hca_cm_field *f)
{
	const void *at = (const char *)from + f->at;

	switch (f->size) {
	case 1:
		return *(const u8 *)at;
	case 2:
		return *(const u16 *)at;
	case 4:
		return *(const u32 *)at;
	default:
		return *(const u64 *)at;
	}
}

static void set_member(void *to, const struct hca_cm_field *f, u64 v)
{
	void *at = (char *)to + f->at;

	switch (f->size) {
	case 1:
		*(u8 *)at = (u8)v;
		break;
	case 2:
		*(u16 *)at = (u16)v;
		break;
	case 4:
		*(u32 *)at = (u32)v;
		break;
	default:
		*(u64 *)at = v;
	}
}

int hca_cm_set_ece(struct hca_cm_msg *msg, u32 vendor_id, u32 options)
{
	if (vendor_id > HCA_CM_VENDOR_MAX)
		return -EINVAL;
	msg->vendor_id[0] = (u8)(vendor_id >> 16);
	msg->vendor_id[1] = (u8)(vendor_id >> 8);
	msg->vendor_id[2] = (u8)vendor_id;
	msg->attr_mod = options;
	return 0;
}

u32 hca_cm_vendor_id(const struct hca_cm_msg *msg)
{
	return (u32)msg->vendor_id[0] << 16 | (u32)msg->vendor_id[1] << 8 | msg->vendor_id[2];
}

/* --- whole messages --- */

int hca_mad_put(const void *from, const struct hca_cm_field *f, u8 *body)
{
	u64 v;

	if (f->width == GID_BITS) {
		hca_memcpy(body + f->bit / 8, (const char *)from + f->at, GID_BITS / 8);
		return 0;
	}
	v = get_member(from, f);
	if (f->width < NUMBER_BITS && v >> f->width)
		return -EINVAL;
	put_bits(body, f->bit, f->width, v);
	return 0;
}

static int put_bytes(const struct hca_cm_msg *msg, const struct hca_cm_format *format, u8 *body)
{
	if (msg->private_len > HCA_CM_BODY - format->private_at ||
	    msg->ari_len > (format->ari_len_width ? HCA_CM_ARI_MAX : 0))
		return -EINVAL;
	if (msg->private_len)
		hca_memcpy(body + format->private_at, msg->private_data, msg->private_len);
	if (msg->ari_len) {
		put_bits(body, format->ari_len_bit, format->ari_len_width, msg->ari_len);
		hca_memcpy(body + format->ari_at, msg->ari, msg->ari_len);
	}
	return 0;
}

int hca_cm_encode(const struct hca_cm_msg *msg, u8 *out)
{
	const struct hca_cm_format *format = hca_cm_format(msg->attr);
	u32 i;

	if (!format)
		return -EINVAL;
	hca_memset(out, 0, HCA_MAD_BYTES);
	out[0] = HCA_MAD_BASE_VERSION;
	out[1] = HCA_MAD_CLASS_CM;
	out[2] = HCA_CM_CLASS_VERSION;
	out[3] = HCA_MAD_SEND;
	put_bits(out, 64, 64, msg->tid);
	put_bits(out, 128, 16, msg->attr);
	put_bits(out, 160, 32, msg->attr_mod);
	for (i = 0; i < format->count; i++)
		if (hca_mad_put(msg, &format->fields[i], out + HCA_MAD_HEADER))
			return -EINVAL;
	return put_bytes(msg, format, out + HCA_MAD_HEADER);
}

void hca_mad_get(const u8 *body, const struct hca_cm_field *f, void *to)
{
	if (f->width == GID_BITS)
		hca_memcpy((char *)to + f->at, body + f->bit / 8, GID_BITS / 8);
	else
		set_member(to, f, get_bits(body, f->bit, f->width));
}

int hca_cm_decode(const void *bytes, u32 len, struct hca_cm_msg *msg)
{
	const struct hca_cm_format *format;
	const u8 *at = bytes, *body = at + HCA_MAD_HEADER;
	u32 i;

	hca_memset(msg, 0, sizeof(*msg));
	if (len != HCA_MAD_BYTES || at[0] != HCA_MAD_BASE_VERSION || at[1] != HCA_MAD_CLASS_CM ||
	    at[2] != HCA_CM_CLASS_VERSION || at[3] != HCA_MAD_SEND)
		return -EINVAL;
	msg->attr = (u16)get_bits(at, 128, 16);
	msg->tid = get_bits(at, 64, 64);
	msg->attr_mod = (u32)get_bits(at, 160, 32);
	format = hca_cm_format(msg->attr);
	if (!format)
		return -EINVAL;
	for (i = 0; i < format->count; i++)
		hca_mad_get(body, &format->fields[i], msg);
	if (format->ari_len_width) {
		msg->ari_len = (u8)get_bits(body, format->ari_len_bit, format->ari_len_width);
		msg->ari = body + format->ari_at;
	}
	msg->private_data = body + format->private_at;
	msg->private_len = (u8)(HCA_CM_BODY - format->private_at);
	return msg->ari_len > HCA_CM_ARI_MAX ? -EINVAL : 0;
}

/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Iterators over pieces of memory and pages of scatterlists; see softhca/kernel/uio.h. */
#include "os.h"
#include "softhca/kernel/uio.h"

/* --- pieces --- */

static size_t piece_bytes(const struct iov_iter *i)
{
	return iov_iter_is_bvec(i) ? i->bvec->bv_len : i->kvec->iov_len;
}

/* The rest of the first piece, less what is behind the end, and of a page: up to its end, and addressable until unmapped. */
static size_t show(const struct iov_iter *i, char **at, void **mapped)
{
	size_t bytes = HCA_MIN(piece_bytes(i) - i->iov_offset, i->count), offset;

	*mapped = NULL;
	if (iov_iter_is_kvec(i)) {
		*at = (char *)i->kvec->iov_base + i->iov_offset;
		return bytes;
	}
	offset = i->bvec->bv_offset + i->iov_offset;
	*mapped = kmap_local_page(i->bvec->bv_page + offset / PAGE_SIZE);
	*at = (char *)*mapped + offset % PAGE_SIZE;
	return HCA_MIN(bytes, (size_t)(PAGE_SIZE - offset % PAGE_SIZE));
}

void iov_iter_advance(struct iov_iter *i, size_t bytes)
{
	bytes = HCA_MIN(bytes, i->count);
	i->count -= bytes;
	i->iov_offset += bytes;
	while (i->nr_segs && i->iov_offset >= piece_bytes(i)) {
		i->iov_offset -= piece_bytes(i);
		i->nr_segs--;
		if (iov_iter_is_bvec(i))
			i->bvec++;
		else
			i->kvec++;
	}
}

static size_t copy(char *buf, size_t bytes, struct iov_iter *i, bool to_iter)
{
	size_t done = 0;

	while (done < bytes && i->count && i->nr_segs) {
		void *mapped;
		char *at;
		size_t n = HCA_MIN(show(i, &at, &mapped), bytes - done);

		memcpy(to_iter ? at : buf + done, to_iter ? buf + done : at, n);
		if (mapped)
			kunmap_local(mapped);
		done += n;
		iov_iter_advance(i, n);
	}
	return done;
}

size_t copy_to_iter(const void *from, size_t bytes, struct iov_iter *i)
{
	HCA_WARN_ON(i->data_source);
	return i->data_source ? 0 : copy((char *)(uintptr_t)from, bytes, i, true);
}

size_t copy_from_iter(void *to, size_t bytes, struct iov_iter *i)
{
	HCA_WARN_ON(!i->data_source);
	return i->data_source ? copy(to, bytes, i, false) : 0;
}

/* --- scatterlists --- */

void sg_miter_start(struct sg_mapping_iter *m, struct scatterlist *sgl, unsigned int nents, unsigned int flags)
{
	(void)flags;
	*m = (struct sg_mapping_iter){ .sg = sgl, .nents = nents };
}

/* To the entry with the next byte. Return: false: there is none. */
static bool settle(struct sg_mapping_iter *m)
{
	while (m->nents && m->offset >= m->sg->length) {
		m->offset -= m->sg->length;
		m->sg = sg_next(m->sg);
		m->nents--;
	}
	return m->nents;
}

bool sg_miter_next(struct sg_mapping_iter *m)
{
	size_t at;

	sg_miter_stop(m);
	if (!settle(m))
		return false;
	at = m->sg->offset + m->offset;
	m->page = sg_page(m->sg) + at / PAGE_SIZE;
	m->addr = (char *)kmap_local_page(m->page) + at % PAGE_SIZE;
	m->length = HCA_MIN((size_t)(m->sg->length - m->offset), (size_t)(PAGE_SIZE - at % PAGE_SIZE));
	m->consumed = m->length;
	return true;
}

void sg_miter_stop(struct sg_mapping_iter *m)
{
	if (!m->addr)
		return;
	kunmap_local(m->addr);
	m->offset += m->consumed;
	m->addr = NULL;
	m->length = 0;
	m->consumed = 0;
}

bool sg_miter_skip(struct sg_mapping_iter *m, off_t offset)
{
	sg_miter_stop(m);
	m->offset += (size_t)offset;
	return settle(m);
}

size_t sg_zero_buffer(struct scatterlist *sgl, unsigned int nents, size_t buflen, off_t skip)
{
	struct sg_mapping_iter m;
	size_t done = 0;

	sg_miter_start(&m, sgl, nents, SG_MITER_TO_SG);
	if (skip && !sg_miter_skip(&m, skip))
		return 0;
	while (done < buflen && sg_miter_next(&m)) {
		size_t n = HCA_MIN(m.length, buflen - done);

		memset(m.addr, 0, n);
		done += n;
	}
	sg_miter_stop(&m);
	return done;
}

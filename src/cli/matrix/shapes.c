/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Scatterlists of seeded shapes; see shapes.h. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "shapes.h"

/* splitmix64, Steele, Lea and Flood 2014: any state will do, also 0. */
static u64 next(struct shapes *s)
{
	u64 z = s->state += 0x9e3779b97f4a7c15ull;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ z >> 27) * 0x94d049bb133111ebull;
	return z ^ z >> 31;
}

u32 shapes_upto(struct shapes *s, u32 n)
{
	return (u32)((next(s) >> 32) * n >> 32) + 1;
}

static bool coin(struct shapes *s)
{
	return shapes_upto(s, 2) == 2;
}

int pieces_add(struct pieces *ps, struct page *page, u32 offset, u32 len)
{
	if (ps->n == ps->room) {
		u32 room = ps->room ? 2 * ps->room : 64;
		struct piece *p = realloc(ps->p, room * sizeof(*p));

		if (!p)
			return -ENOMEM;
		ps->p = p;
		ps->room = room;
	}
	ps->p[ps->n++] = (struct piece){ .page = page, .offset = offset, .len = len };
	return 0;
}

void pieces_free(struct pieces *ps)
{
	free(ps->p);
	memset(ps, 0, sizeof(*ps));
}

/* Two parts of any lengths, where sg_alloc_table() would chain long lists only. */
static int chain_parts(struct shapes *s, u32 n, struct shape_table *t)
{
	u32 first = shapes_upto(s, n - 1);

	t->part[0] = calloc(first + 1, sizeof(struct scatterlist));
	t->part[1] = calloc(n - first, sizeof(struct scatterlist));
	if (!t->part[0] || !t->part[1]) {
		free(t->part[0]);
		free(t->part[1]);
		return -ENOMEM;
	}
	sg_init_table(t->part[0], first + 1);
	sg_init_table(t->part[1], n - first);
	sg_chain(t->part[0], first + 1, t->part[1]);
	t->sgt.sgl = t->part[0];
	t->sgt.nents = n;
	t->sgt.orig_nents = n;
	return 0;
}

int shape_table_make(struct shapes *s, const struct pieces *ps, struct shape_table *out)
{
	struct scatterlist *sg;
	unsigned int i;
	int err;

	memset(out, 0, sizeof(*out));
	if (!ps->n)
		return -EINVAL;
	if (ps->n > 1 && coin(s))
		err = chain_parts(s, ps->n, out);
	else
		err = sg_alloc_table(&out->sgt, ps->n, GFP_KERNEL);
	if (err)
		return err;
	for_each_sgtable_sg(&out->sgt, sg, i) {
		const struct piece *p = &ps->p[i];

		sg_set_page(sg, nth_page(p->page, p->offset >> PAGE_SHIFT), p->len,
			    p->offset & (unsigned int)~PAGE_MASK);
	}
	return 0;
}

void shape_table_free(struct shape_table *t)
{
	if (t->part[0]) {
		free(t->part[0]);
		free(t->part[1]);
	} else if (t->sgt.sgl) {
		sg_free_table(&t->sgt);
	}
	memset(t, 0, sizeof(*t));
}

struct page *shape_alloc(struct shapes *s, struct machine *m, unsigned int *order)
{
	const struct machine_map *map = machine_map(m);
	u32 all = (u32)(map->all_bytes >> PAGE_SHIFT), low = (u32)(map->low_bytes >> PAGE_SHIFT);
	gfp_t gfp = shapes_upto(s, all) <= low ? GFP_KERNEL : GFP_HIGHUSER;

	for (;; (*order)--) {
		struct page *page = machine_alloc_pages(m, gfp, *order);

		/* Low memory may be what has run out. */
		if (!page)
			page = machine_alloc_pages(m, GFP_HIGHUSER, *order);
		if (page || !*order)
			return page;
	}
}

static int take_block(struct shapes *s, struct machine *m, unsigned int *order, struct shape_list *l)
{
	struct page *page;

	if (l->blocks == l->room) {
		u32 room = l->room ? 2 * l->room : 64;
		struct shape_block *b = realloc(l->block, room * sizeof(*b));

		if (!b)
			return -ENOMEM;
		l->block = b;
		l->room = room;
	}
	page = shape_alloc(s, m, order);
	if (!page)
		return -ENOMEM;
	l->block[l->blocks++] = (struct shape_block){ .page = page, .order = *order };
	return 0;
}

/* One entry: a page, a piece of one, a block, or a piece of one that begins and ends anywhere. */
static int add_entry(struct shapes *s, struct machine *m, u32 left, struct shape_list *l, struct pieces *ps, u32 *len)
{
	bool whole = coin(s);
	unsigned int order = coin(s) ? 0 : shapes_upto(s, 4);
	u32 offset = 0, size;
	int err;

	err = take_block(s, m, &order, l);
	if (err)
		return err;
	size = (u32)PAGE_SIZE << order;
	if (!whole) {
		offset = shapes_upto(s, size) - 1;
		size = shapes_upto(s, size - offset);
	}
	*len = size < left ? size : left;
	return pieces_add(ps, l->block[l->blocks - 1].page, offset, *len);
}

int shape_list_make(struct shapes *s, struct machine *m, u32 len, struct shape_list *out)
{
	struct pieces ps = { .n = 0 };
	int err = 0;
	u32 done;

	memset(out, 0, sizeof(*out));
	while (len && !err) {
		err = add_entry(s, m, len, out, &ps, &done);
		if (!err)
			len -= done;
	}
	if (!err)
		err = shape_table_make(s, &ps, &out->table);
	pieces_free(&ps);
	if (err)
		shape_list_free(out);
	return err;
}

void shape_list_free(struct shape_list *l)
{
	u32 i;

	shape_table_free(&l->table);
	for (i = 0; i < l->blocks; i++)
		__free_pages(l->block[i].page, l->block[i].order);
	free(l->block);
	memset(l, 0, sizeof(*l));
}

/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Protection domains, parent and thread domains, and memory regions. To register memory
 * means to hand out a key: its pages are neither touched nor pinned.
 */
#include "shim.h"

/* --- protection domains --- */

struct shim_pd *shim_pd_get(const struct ibv_pd *ib)
{
	struct shim_pd *p = ib ? shim_pd(ib) : NULL;

	if (!p || !(shim_known(&p->obj, SHIM_PD) || shim_known(&p->obj, SHIM_PARENT)))
		return NULL;
	return p->parent;
}

SHIM_NOT_OLD(ibv_alloc_pd);
SHIM_EXPORT struct ibv_pd *ibv_alloc_pd(struct ibv_context *context)
{
	struct shim_context *c = shim_context_get(context);
	struct shim_pd *p;

	if (!c)
		return shim_null(shim_why(EINVAL, SHIM_LOG_MEMORY, "ibv_alloc_pd: no such context"));
	p = shim_object_new(SHIM_PD, sizeof(*p), c);
	if (!p)
		return shim_null(ENOMEM);
	hca_pd_init(&p->pd, &c->device->hca);
	p->parent = p;
	p->ib = (struct ibv_pd){ .context = context, .handle = p->obj.handle };
	shim_object_publish(&p->obj);
	return &p->ib;
}

int shim_end_pd(struct shim_object *o, bool abandon)
{
	struct shim_pd *p = hca_container_of(o, struct shim_pd, obj);

	if ((hca_load_acquire(&p->pd.users) || hca_load_acquire(&p->users)) && !abandon)
		return EBUSY;
	if (p->parent != p)
		hca_fetch_add(&p->parent->pd.users, (u32)-1);
	if (p->td)
		hca_fetch_add(&p->td->users, (u32)-1);
	return 0;
}

SHIM_NOT_OLD(ibv_dealloc_pd);
SHIM_EXPORT int ibv_dealloc_pd(struct ibv_pd *pd)
{
	struct shim_pd *p = pd ? shim_pd(pd) : NULL;
	int err;

	if (!p || !(shim_claim(&p->obj, SHIM_PD) || shim_claim(&p->obj, SHIM_PARENT)))
		return shim_why(EINVAL, SHIM_LOG_MEMORY, "ibv_dealloc_pd: no such domain");
	err = shim_end_pd(&p->obj, false);
	if (err) {
		shim_unclaim(&p->obj);
		return shim_why(err, SHIM_LOG_MEMORY, "ibv_dealloc_pd: %u objects use it",
				hca_load(&p->pd.users) + hca_load(&p->users));
	}
	shim_object_free(&p->obj);
	return 0;
}

/* --- thread and parent domains: promises of the program that nothing here needs --- */

struct ibv_td *shim_alloc_td(struct ibv_context *context, struct ibv_td_init_attr *attr)
{
	struct shim_context *c = shim_context_get(context);
	struct shim_td *t;

	if (!c || !attr || attr->comp_mask)
		return shim_null(
			shim_why(EINVAL, SHIM_LOG_MEMORY, "ibv_alloc_td: mask 0x%x", attr ? attr->comp_mask : 0));
	t = shim_object_new(SHIM_TD, sizeof(*t), c);
	if (!t)
		return shim_null(ENOMEM);
	t->ib.context = context;
	shim_object_publish(&t->obj);
	return &t->ib;
}

int shim_end_td(struct shim_object *o, bool abandon)
{
	return hca_load_acquire(&hca_container_of(o, struct shim_td, obj)->users) && !abandon ? EBUSY : 0;
}

int shim_dealloc_td(struct ibv_td *td)
{
	struct shim_td *t = hca_container_of(td, struct shim_td, ib);
	int err;

	if (!td || !shim_claim(&t->obj, SHIM_TD))
		return shim_why(EINVAL, SHIM_LOG_MEMORY, "ibv_dealloc_td: no such domain");
	err = shim_end_td(&t->obj, false);
	if (err) {
		shim_unclaim(&t->obj);
		return shim_why(err, SHIM_LOG_MEMORY, "ibv_dealloc_td: parent domains use it");
	}
	shim_object_free(&t->obj);
	return 0;
}

struct ibv_pd *shim_alloc_parent_domain(struct ibv_context *context, struct ibv_parent_domain_init_attr *attr)
{
	const u32 known = IBV_PARENT_DOMAIN_INIT_ATTR_ALLOCATORS | IBV_PARENT_DOMAIN_INIT_ATTR_PD_CONTEXT;
	struct shim_context *c = shim_context_get(context);
	struct shim_pd *parent, *p;
	struct shim_td *t = NULL;

	/* The program's allocators are for queues, which the library has elsewhere: it needs none. */
	parent = attr ? shim_pd_get(attr->pd) : NULL;
	if (!c || !parent || parent->obj.context != c || attr->comp_mask & ~known)
		return shim_null(shim_why(EINVAL, SHIM_LOG_MEMORY, "ibv_alloc_parent_domain: %s, mask 0x%x",
					  parent ? "domain" : "no such domain", attr ? attr->comp_mask : 0));
	if (attr->td) {
		t = hca_container_of(attr->td, struct shim_td, ib);
		if (!shim_is_of(&t->obj, SHIM_TD, c))
			return shim_null(
				shim_why(EINVAL, SHIM_LOG_MEMORY, "ibv_alloc_parent_domain: no such thread domain"));
	}
	p = shim_object_new(SHIM_PARENT, sizeof(*p), c);
	if (!p)
		return shim_null(ENOMEM);
	p->parent = parent;
	p->td = t;
	p->ib = (struct ibv_pd){ .context = context, .handle = p->obj.handle };
	hca_fetch_add(&parent->pd.users, 1);
	if (t)
		hca_fetch_add(&t->users, 1);
	shim_object_publish(&p->obj);
	return &p->ib;
}

/* --- memory regions --- */

#define REGION_ACCESS ((u32)(HCA_ACCESS_SUPPORTED | HCA_ACCESS_OPTIONAL | IBV_ACCESS_HUGETLB))

static void fill_mr(void *addr, size_t length, u64 iova, u32 access, struct hca_mr_attr *attr)
{
	*attr = (struct hca_mr_attr){
		.kind = HCA_MR_LINEAR,
		.access = access & ~(u32)IBV_ACCESS_HUGETLB,
		.iova = iova,
		.length = length,
		.base = (uintptr_t)addr,
	};
}

/* For any of these an adapter's driver asks for pages that can be written (ib_access_writable() of Linux, include/rdma/ib_verbs.h). */
#define WRITES (IBV_ACCESS_LOCAL_WRITE | IBV_ACCESS_REMOTE_WRITE | IBV_ACCESS_REMOTE_ATOMIC | IBV_ACCESS_MW_BIND)

/* @ours: memory of the library's. Return: 0 or an errno. */
static int check_mr(const struct shim_pd *p, const void *addr, size_t length, u32 access, bool ours)
{
	enum shim_mapped mapped;

	if (access & ~REGION_ACCESS)
		return shim_why(EINVAL, SHIM_LOG_MEMORY, "ibv_reg_mr: access 0x%x has unknown bits", access);
	/* Of memory on demand it is enough that it is there when bytes move. */
	if (ours || !length || access & IBV_ACCESS_ON_DEMAND)
		return 0;
	mapped = shim_mapped(p->obj.context->device->maps, addr, length, access & WRITES);
	if (mapped == SHIM_MAPPED)
		return 0;
	return shim_why(EFAULT, SHIM_LOG_MEMORY, "ibv_reg_mr: %p + %zu is not all mapped%s", addr, length,
			mapped == SHIM_MAPPED_NOT ? "" :
			access & WRITES		  ? " for reading and writing" :
						    " for reading");
}

static void set_mr(struct shim_mr *m, void *addr, size_t length, u32 access, const struct hca_mr_attr *attr)
{
	m->attr = *attr;
	m->ib.addr = addr;
	m->ib.length = length;
	m->ib.lkey = m->mr->key;
	m->ib.rkey = m->mr->key;
	m->access = access;
}

struct ibv_mr *shim_reg(struct ibv_pd *pd, void *addr, size_t length, u64 iova, u32 access, struct shim_dm *dm)
{
	struct shim_pd *p = shim_pd_get(pd);
	struct hca_mr_attr attr;
	struct shim_mr *m;
	int err;

	if (!p)
		return shim_null(shim_why(EINVAL, SHIM_LOG_MEMORY, "ibv_reg_mr: no such domain"));
	m = shim_object_new(SHIM_MR, sizeof(*m), p->obj.context);
	if (!m)
		return shim_null(ENOMEM);
	err = check_mr(p, addr, length, access, dm);
	if (!err) {
		fill_mr(addr, length, iova, access, &attr);
		err = hca_mr_create(&p->pd, &attr, &m->mr);
	}
	if (err) {
		shim_object_free(&m->obj);
		return shim_null(
			shim_why(err, SHIM_LOG_MEMORY, "ibv_reg_mr: %p + %zu, access 0x%x", addr, length, access));
	}
	m->pd = p;
	m->obj.under = shim_parent(pd);
	m->dm = dm;
	m->ib.context = pd->context;
	m->ib.pd = pd;
	m->ib.handle = m->obj.handle;
	set_mr(m, addr, length, access, &attr);
	shim_object_publish(&m->obj);
	return &m->ib;
}

SHIM_NOT_OLD(ibv_reg_mr);
SHIM_EXPORT struct ibv_mr *ibv_reg_mr(struct ibv_pd *pd, void *addr, size_t length, int access)
{
	return shim_reg(pd, addr, length, (uintptr_t)addr, (u32)access, NULL);
}

SHIM_EXPORT struct ibv_mr *ibv_reg_mr_iova(struct ibv_pd *pd, void *addr, size_t length, uint64_t iova, int access)
{
	return shim_reg(pd, addr, length, iova, (u32)access, NULL);
}

SHIM_EXPORT struct ibv_mr *ibv_reg_mr_iova2(struct ibv_pd *pd, void *addr, size_t length, uint64_t iova,
					    unsigned int access)
{
	return shim_reg(pd, addr, length, iova, access, NULL);
}

SHIM_EXPORT struct ibv_mr *ibv_reg_dmabuf_mr(struct ibv_pd *pd, uint64_t offset, size_t length, uint64_t iova, int fd,
					     int access)
{
	(void)pd;
	(void)offset;
	(void)length;
	(void)iova;
	(void)fd;
	(void)access;
	return shim_null(shim_why(EOPNOTSUPP, SHIM_LOG_MEMORY, "ibv_reg_dmabuf_mr"));
}

/* The keys stay: a peer may have them. @addr: NULL: so do the bytes, and what they are called. */
static int change_mr(struct shim_mr *m, struct shim_pd *p, void *addr, size_t length, u32 access)
{
	struct hca_mr_attr attr = m->attr;
	int err;

	if (!addr) {
		addr = m->ib.addr;
		length = m->attr.length;
		err = check_mr(p, (void *)(uintptr_t)attr.base, length, access, m->dm);
		attr.access = access & ~(u32)IBV_ACCESS_HUGETLB;
	} else {
		err = m->dm ? EINVAL : check_mr(p, addr, length, access, false);
		fill_mr(addr, length, (uintptr_t)addr, access, &attr);
	}
	if (err)
		return err;
	err = -hca_mr_change(m->mr, &p->pd, &attr);
	if (!err)
		set_mr(m, addr, length, access, &attr);
	return err;
}

SHIM_EXPORT int ibv_rereg_mr(struct ibv_mr *mr, int flags, struct ibv_pd *pd, void *addr, size_t length, int access)
{
	struct shim_mr *m = mr ? shim_mr(mr) : NULL;
	struct shim_pd *p;
	int err = EINVAL;

	if (!m || !shim_known(&m->obj, SHIM_MR) || !flags || flags & ~IBV_REREG_MR_FLAGS_SUPPORTED)
		goto out;
	p = flags & IBV_REREG_MR_CHANGE_PD ? shim_pd_get(pd) : m->pd;
	if (!p || (flags & IBV_REREG_MR_CHANGE_TRANSLATION && !addr))
		goto out;
	if (p->obj.context != m->obj.context) {
		err = shim_why(EINVAL, SHIM_LOG_MEMORY, "ibv_rereg_mr: the domain is of another context");
		goto out;
	}
	if (!(flags & IBV_REREG_MR_CHANGE_TRANSLATION))
		addr = NULL;
	err = change_mr(m, p, addr, length, flags & IBV_REREG_MR_CHANGE_ACCESS ? (u32)access : m->access);
	if (!err && flags & IBV_REREG_MR_CHANGE_PD) {
		m->pd = p;
		m->ib.pd = pd;
		shim_object_move(&m->obj, shim_parent(pd));
	}
out:
	if (!err)
		return 0;
	errno = shim_why(err, SHIM_LOG_MEMORY, "ibv_rereg_mr: flags 0x%x", flags);
	return IBV_REREG_MR_ERR_INPUT;
}

int shim_end_mr(struct shim_object *o, bool abandon)
{
	struct shim_mr *m = hca_container_of(o, struct shim_mr, obj);
	int err = hca_mr_destroy(m->mr);

	(void)abandon;
	if (!err && m->dm)
		hca_fetch_add(&m->dm->users, (u32)-1);
	return -err;
}

SHIM_NOT_OLD(ibv_dereg_mr);
SHIM_EXPORT int ibv_dereg_mr(struct ibv_mr *mr)
{
	struct shim_mr *m = mr ? shim_mr(mr) : NULL;
	int err;

	if (!m || !shim_claim(&m->obj, SHIM_MR))
		return shim_why(EINVAL, SHIM_LOG_MEMORY, "ibv_dereg_mr: no such region");
	err = shim_end_mr(&m->obj, false);
	if (err) {
		shim_unclaim(&m->obj);
		return shim_why(err, SHIM_LOG_MEMORY, "ibv_dereg_mr: memory windows are bound to it");
	}
	shim_object_free(&m->obj);
	return 0;
}

int shim_advise_mr(struct ibv_pd *pd, enum ibv_advise_mr_advice advice, uint32_t flags, struct ibv_sge *sg_list,
		   uint32_t num_sges)
{
	if (!shim_pd_get(pd) || flags & ~(u32)IBV_ADVISE_MR_FLAG_FLUSH || !sg_list || !num_sges)
		return shim_why(EINVAL, SHIM_LOG_MEMORY, "ibv_advise_mr: flags 0x%x, %u entries", flags, num_sges);
	if ((u32)advice > IBV_ADVISE_MR_ADVICE_PREFETCH_NO_FAULT)
		return shim_why(EOPNOTSUPP, SHIM_LOG_MEMORY, "ibv_advise_mr: advice %d", (int)advice);
	return 0;
}

/* --- what another process would have to give --- */

SHIM_EXPORT struct ibv_pd *ibv_import_pd(struct ibv_context *context, uint32_t handle)
{
	(void)context;
	(void)handle;
	return shim_null(shim_why(EOPNOTSUPP, SHIM_LOG_MEMORY, "ibv_import_pd"));
}

SHIM_EXPORT void ibv_unimport_pd(struct ibv_pd *pd)
{
	(void)pd;
}

SHIM_EXPORT struct ibv_mr *ibv_import_mr(struct ibv_pd *pd, uint32_t handle)
{
	(void)pd;
	(void)handle;
	return shim_null(shim_why(EOPNOTSUPP, SHIM_LOG_MEMORY, "ibv_import_mr"));
}

SHIM_EXPORT void ibv_unimport_mr(struct ibv_mr *mr)
{
	(void)mr;
}

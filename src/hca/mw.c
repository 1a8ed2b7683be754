/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Memory windows; see mw.h. Called by the verbs of a face, by the requester for
 * binds and invalidations, and by the responder for those of the peer.
 *
 * A thread that takes an MW out of VALID waits for the threads inside, and then lets go of
 * the MR that it was bound to. No lock is held during the wait.
 */
#include "hca/mw.h"

#include "hca/qp.h"

#define WINDOW_ACCESS (HCA_ACCESS_REMOTE | HCA_ACCESS_ZERO_BASED | HCA_ACCESS_OPTIONAL)

int hca_mw_create(struct hca *hca, struct hca_pd *pd, enum hca_mw_type type, struct hca_mw **out)
{
	struct hca_mw *w;
	int err;

	if (pd->keys != &hca->keys || (type != HCA_MW_TYPE_1 && type != HCA_MW_TYPE_2))
		return hca_refuse(-EINVAL,
				  "%s: memory window not made: type %d, must be 1 or 2, with a domain of this adapter",
				  hca->name, (int)type);
	w = hca_alloc(sizeof(*w), HCA_MAY_SLEEP);
	if (!w)
		return -ENOMEM;
	w->hca = hca;
	w->pd = pd;
	w->type = type;
	w->refs = 1;
	w->state = HCA_MW_FREE;
	err = hca_key_alloc(&hca->keys, &w->key, &w->entry);
	if (err) {
		hca_free(w);
		return err;
	}
	hca_share_room(hca->keys.share, w->key);
	hca_fetch_add(&pd->users, 1);
	*out = w;
	return 0;
}

void hca_mw_put(struct hca_mw *w)
{
	if (hca_fetch_add(&w->refs, (u32)-1) == 1)
		hca_free(w);
}

/* --- a queue pair's list --- */

static void link_to(struct hca_mw *w, struct hca_qp *qp)
{
	hca_spin_assert(&w->hca->mw_lock);
	w->qp = qp;
	w->prev = &qp->mws;
	w->next = qp->mws;
	if (w->next)
		w->next->prev = &w->next;
	qp->mws = w;
}

static void unlink_from(struct hca_mw *w)
{
	hca_spin_assert(&w->hca->mw_lock);
	if (!w->qp)
		return;
	*w->prev = w->next;
	if (w->next)
		w->next->prev = w->prev;
	w->qp = NULL;
}

/* --- becoming void --- */

/* Valid, and bound to these bytes. */
static void put_up(struct hca_mw *w, struct hca_qp *qp, const struct hca_send_wr *wr, struct hca_mr *r, u64 offset)
{
	struct hca_key_entry *e = w->entry;

	hca_spin_assert(&w->hca->mw_lock);
	e->access = (wr->bind.access & HCA_ACCESS_SUPPORTED) | HCA_KEY_MW;
	hca_key_cover(e, wr->bind.access & HCA_ACCESS_ZERO_BASED ? 0 : wr->bind.addr, wr->bind.length);
	e->offset = offset;
	e->pd = w->pd->number;
	e->qpn = w->type == HCA_MW_TYPE_2 ? qp->qpn : HCA_KEY_ANY_QP;
	e->number = r->key >> 8;
	hca_store_release(&e->mr, r);
	e->mw = w;
	w->mr = r;
	w->valid = wr->bind.rkey;
	w->state = HCA_MW_VALID;
	if (w->type == HCA_MW_TYPE_2) {
		w->key = w->valid;
		link_to(w, qp);
	}
	hca_store_release(&e->key, w->valid);
	hca_share_publish(w->hca->keys.share, e, w->valid);
}

/* The key is void; the rest is let_go(), by the caller, who has a reference. */
static void take_down(struct hca_mw *w, enum hca_mw_state state)
{
	hca_spin_assert(&w->hca->mw_lock);
	HCA_ASSERT(w->state == HCA_MW_VALID);
	hca_key_retract(w->entry, w->valid);
	hca_share_retract(w->hca->keys.share, w->valid);
	hca_store(&w->entry->mr, NULL);
	unlink_from(w);
	w->state = state;
}

/*
 * No thread is inside with the old key when this returned, and the MR may go. If the MW is destroyed while another
 * thread takes it down, both come here, and the first lets go of the MR: it is free when either has returned.
 */
static void let_go(struct hca_mw *w)
{
	hca_irqflags_t flags;
	struct hca_mr *r;

	hca_quiesce_wait(&w->hca->quiesce);
	hca_spin_lock(&w->hca->mw_lock, flags);
	r = w->mr;
	w->mr = NULL;
	if (r)
		hca_mr_unbind(r);
	hca_spin_unlock(&w->hca->mw_lock, flags);
}

void hca_mw_destroy(struct hca_mw *w)
{
	struct hca *hca = w->hca;
	struct hca_pd *pd = w->pd;
	hca_irqflags_t flags;

	hca_spin_lock(&hca->mw_lock, flags);
	HCA_ASSERT(w->state != HCA_MW_DEAD);
	if (w->state == HCA_MW_VALID)
		take_down(w, HCA_MW_DEAD);
	w->state = HCA_MW_DEAD;
	hca_spin_unlock(&hca->mw_lock, flags);
	let_go(w);
	/* What was handed out last isn't handed out next, though it may never have been valid. */
	w->entry->last = w->key;
	hca_key_free(&hca->keys, w->key);
	hca_mw_put(w);
	hca_fetch_add(&pd->users, (u32)-1);
}

/* The rest of an invalidation: the caller has made it BUSY and taken a reference. */
static void finish_invalidation(struct hca_mw *w)
{
	hca_irqflags_t flags;

	let_go(w);
	hca_spin_lock(&w->hca->mw_lock, flags);
	if (w->state == HCA_MW_BUSY)
		w->state = HCA_MW_FREE;
	hca_spin_unlock(&w->hca->mw_lock, flags);
	hca_mw_put(w);
}

void hca_mw_end_qp(struct hca_qp *qp)
{
	struct hca_spinlock *lock = &qp->hca->mw_lock;
	hca_irqflags_t flags;
	struct hca_mw *w;

	do {
		hca_spin_lock(lock, flags);
		w = qp->mws;
		if (w) {
			hca_mw_get(w);
			take_down(w, HCA_MW_BUSY);
		}
		hca_spin_unlock(lock, flags);
		if (w)
			finish_invalidation(w);
	} while (w);
}

/* --- binding --- */

u32 hca_mw_next_key(struct hca_mw *w)
{
	hca_irqflags_t flags;
	u32 key;

	hca_spin_lock(&w->hca->mw_lock, flags);
	key = hca_key_next(w->key);
	hca_store(&w->key, key); /* a peer's look-up may be under way */
	hca_spin_unlock(&w->hca->mw_lock, flags);
	return key;
}

int hca_mw_check(const struct hca_send_wr *wr)
{
	const struct hca_mw *w = wr->bind.mw;

	if (!w)
		return hca_refuse(-EINVAL, "memory window not bound: the request names none");
	if (wr->bind.access & ~(u32)WINDOW_ACCESS)
		return hca_refuse(-EINVAL,
				  "memory window with key 0x%x not bound: access 0x%x has more than rights of peers",
				  w->key, wr->bind.access);
	/* To no bytes: that is how a type 1 MW is unbound. The other has its invalidation for it. */
	if (!wr->bind.length && w->type != HCA_MW_TYPE_1)
		return hca_refuse(-EINVAL,
				  "memory window with key 0x%x not bound: no bytes; type 2 is invalidated instead",
				  w->key);
	return 0;
}

static int refuse_bind(const struct hca_qp *qp, u32 key, const char *why)
{
	return hca_refuse(-EINVAL, "%s QP %u: memory window with key 0x%x not bound: %s", qp->hca->name, qp->qpn, key,
			  why);
}

/* Make it ours to bind. If it was bound before, @old is set, and the wait for that is the caller's. */
static int begin(struct hca_mw *w, const struct hca_qp *qp, u32 key, bool *old)
{
	struct hca_spinlock *lock = &w->hca->mw_lock;
	const char *why = "it is bound already: invalidate it before";
	hca_irqflags_t flags;
	int err = 0;

	*old = false;
	hca_spin_lock(lock, flags);
	if (w->state == HCA_MW_DEAD || w->pd != qp->pd || key >> 8 != w->key >> 8) {
		why = w->state == HCA_MW_DEAD ? "it was destroyed" :
		      w->pd != qp->pd	      ? "it is of another protection domain" :
						"the new key is one of another memory window";
		err = -EINVAL;
	}
	/* Two queue pairs may bind one MW of type 1: one after the other. */
	else if (w->state == HCA_MW_BUSY && w->type == HCA_MW_TYPE_1)
		err = -EAGAIN;
	else if (w->state == HCA_MW_FREE)
		w->state = HCA_MW_BUSY;
	else if (w->state == HCA_MW_VALID && w->type == HCA_MW_TYPE_1)
		*old = true;
	else
		err = -EINVAL;
	if (*old)
		take_down(w, HCA_MW_BUSY);
	hca_spin_unlock(lock, flags);
	return err == -EINVAL ? refuse_bind(qp, key, why) : err;
}

/* It is ours, and no thread is inside with an old key of it. */
static int finish(struct hca_mw *w, struct hca_qp *qp, const struct hca_send_wr *wr, struct hca_mr *r, u64 offset)
{
	hca_irqflags_t flags;
	int err = 0;

	hca_spin_lock(&w->hca->mw_lock, flags);
	if (w->state != HCA_MW_BUSY)
		err = -EINVAL; /* destroyed: the entry isn't ours any more */
	else if (r)
		put_up(w, qp, wr, r, offset);
	else
		w->state = HCA_MW_FREE;
	hca_spin_unlock(&w->hca->mw_lock, flags);
	return err ? refuse_bind(qp, wr->bind.rkey, "it was destroyed meanwhile") : 0;
}

int hca_mw_bind(struct hca_qp *qp, const struct hca_send_wr *wr)
{
	struct hca_mw *w = wr->bind.mw;
	struct hca_mr *r = NULL;
	struct hca_quiesce_mark mark;
	u64 offset = 0;
	int err = 0;
	bool old;

	if (wr->bind.length) {
		hca_quiesce_enter(&qp->hca->quiesce, &mark);
		err = hca_mr_bind(&qp->hca->keys, qp->pd->number, wr->bind.lkey, wr->bind.addr, wr->bind.length,
				  wr->bind.access, &r, &offset);
		hca_quiesce_leave(&mark);
	}
	if (err)
		return err;
	err = begin(w, qp, wr->bind.rkey, &old);
	if (old)
		let_go(w);
	if (!err)
		err = finish(w, qp, wr, r, offset);
	if (err && r)
		hca_mr_unbind(r);
	return err;
}

/* --- invalidation by key --- */

int hca_key_invalidate_begin(struct hca_qp *qp, u32 key, bool remote, struct hca_invalidation *out)
{
	const struct hca_key_entry *e = hca_key_find(&qp->hca->keys, key);
	hca_irqflags_t flags;
	struct hca_mw *w;
	int err = -EINVAL;

	*out = (struct hca_invalidation){ 0 };
	if (!e || !(e->access & HCA_KEY_MW))
		return hca_mr_invalidate_begin_key(&qp->hca->keys, qp->pd->number, key, remote, &out->mr);
	hca_spin_lock(&qp->hca->mw_lock, flags);
	w = hca_load(&e->key) == key ? e->mw : NULL;
	/* A type 1 MW is on no queue pair, and can't be invalidated (IBTA 10.6.7.2.5). */
	if (w && w->qp == qp) {
		hca_mw_get(w);
		out->mw = w;
		take_down(w, HCA_MW_BUSY);
		err = 0;
	}
	hca_spin_unlock(&qp->hca->mw_lock, flags);
	if (err)
		return hca_refuse(err, "%s QP %u: key 0x%x not invalidated: no type 2 memory window that is bound here",
				  qp->hca->name, qp->qpn, key);
	return 0;
}

void hca_key_invalidate_finish(const struct hca_invalidation *v)
{
	if (v->mw)
		finish_invalidation(v->mw);
	else if (v->mr)
		hca_mr_invalidate_finish(v->mr);
}

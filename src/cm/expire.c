/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What happens when an ID's time has come: a message goes again, or the wait is over. */
#include "cm/private.h"

/* IDs that one call looks at; other work comes in between. */
#define AT_ONCE 32u

void hca_cm_wake(void *arg)
{
	struct hca_cm *cm = arg;

	hca_work_start(&cm->expirer);
}

static void expire_one(struct hca_cm_id *id, struct hca_cm_out *out)
{
	enum hca_cm_input input = HCA_CM_GOT_END;

	if (hca_cm_rows[id->state].timer != HCA_CM_TIMER_TIMEWAIT && id->retries) {
		id->retries--;
		input = HCA_CM_GOT_LATE;
	}
	(void)hca_cm_step(id, input, NULL, NULL, out);
	if (id->orphan && hca_cm_rows[id->state].timer == HCA_CM_TIMER_NONE)
		hca_cm_ids_free(id);
}

void hca_cm_expire(void *arg)
{
	struct hca_cm *cm = arg;
	struct hca_cm_out out;
	struct hca_cm_id *id;
	hca_irqflags_t flags;
	u32 i;

	hca_spin_lock(&cm->lock, flags);
	cm->timer_at = 0;
	for (i = 0; i < AT_ONCE && (id = hca_cm_deadline_due(cm, hca_now_ns())); i++) {
		hca_cm_out_init(&out);
		expire_one(id, &out);
		hca_spin_unlock(&cm->lock, flags);
		hca_cm_flush(cm, &out);
		if (out.told)
			hca_eq_run(cm->eq);
		hca_spin_lock(&cm->lock, flags);
	}
	hca_cm_deadline_arm(cm);
	hca_spin_unlock(&cm->lock, flags);
}

/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What other modules may call of the engine and of the ledger: the rooms themselves
 * know nothing of exporting. A driver that joins the wire with memory of its own,
 * the ib_core face and the tests need these.
 */
#include "dma/ledger.h"
#include "dma/mem.h"
#include "hca/count.h"
#include "hca/mcast.h"
#include "hca/srq.h"
#include "transport/transport.h"

#include <linux/export.h>

EXPORT_SYMBOL_GPL(hca_close);
EXPORT_SYMBOL_GPL(hca_counts);
EXPORT_SYMBOL_GPL(hca_cq_fini);
EXPORT_SYMBOL_GPL(hca_cq_init);
EXPORT_SYMBOL_GPL(hca_cq_moderate);
EXPORT_SYMBOL_GPL(hca_cq_ring_notify);
EXPORT_SYMBOL_GPL(hca_cq_ring_poll_odd);
EXPORT_SYMBOL_GPL(hca_key_allows_odd);
EXPORT_SYMBOL_GPL(hca_quiesce_first);
EXPORT_SYMBOL_GPL(hca_quiesce_wait);
EXPORT_SYMBOL_GPL(hca_ledger_abandon);
EXPORT_SYMBOL_GPL(hca_ledger_checked);
EXPORT_SYMBOL_GPL(hca_ledger_create);
EXPORT_SYMBOL_GPL(hca_ledger_destroy);
EXPORT_SYMBOL_GPL(hca_ledger_end);
EXPORT_SYMBOL_GPL(hca_ledger_enter);
EXPORT_SYMBOL_GPL(hca_ledger_prepare);
EXPORT_SYMBOL_GPL(hca_ledger_seg);
EXPORT_SYMBOL_GPL(hca_ledger_totals);
EXPORT_SYMBOL_GPL(hca_mem_copy_for);
EXPORT_SYMBOL_GPL(hca_mem_read);
EXPORT_SYMBOL_GPL(hca_mem_write);
EXPORT_SYMBOL_GPL(hca_post_recv);
EXPORT_SYMBOL_GPL(hca_post_send_at);
EXPORT_SYMBOL_GPL(hca_open);
EXPORT_SYMBOL_GPL(hca_qp_create);
EXPORT_SYMBOL_GPL(hca_qp_destroy);
EXPORT_SYMBOL_GPL(hca_qp_modify);
EXPORT_SYMBOL_GPL(hca_mr_create);
EXPORT_SYMBOL_GPL(hca_mr_destroy);
EXPORT_SYMBOL_GPL(hca_timer_destroy);
EXPORT_SYMBOL_GPL(hca_timer_init);
EXPORT_SYMBOL_GPL(hca_timer_start);
EXPORT_SYMBOL_GPL(hca_timer_stop);
EXPORT_SYMBOL_GPL(hca_now_ns);
EXPORT_SYMBOL_GPL(hca_cq_resize);
EXPORT_SYMBOL_GPL(hca_gid_add);
EXPORT_SYMBOL_GPL(hca_gid_remove);
EXPORT_SYMBOL_GPL(hca_mcast_attach);
EXPORT_SYMBOL_GPL(hca_mcast_detach);
EXPORT_SYMBOL_GPL(hca_qp_query);
EXPORT_SYMBOL_GPL(hca_srq_fini);
EXPORT_SYMBOL_GPL(hca_srq_init);
EXPORT_SYMBOL_GPL(hca_srq_modify);
EXPORT_SYMBOL_GPL(hca_srq_post);
EXPORT_SYMBOL_GPL(hca_srq_query);

/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The ledger on demand: debugfs softhca/DEVICE/ledger. Write 1 or 0 to keep one or
 * none; reading tells what went through it and how often each rule was broken. Each
 * misuse is a line of the kernel's log, not more often than the log likes.
 */
#include "glue.h"

#include <linux/debugfs.h>
#include <linux/dma-mapping.h>
#include <linux/err.h>
#include <linux/printk.h>
#include <linux/ratelimit.h>
#include <linux/rcupdate.h>
#include <linux/seq_file.h>
#include <linux/uaccess.h>

static struct dentry *folder;

static const char *const names[HCA_MISUSE_KINDS] = {
	[HCA_MISUSE_LEAK] = "leak",
	[HCA_MISUSE_DOUBLE_UNMAP] = "double-unmap",
	[HCA_MISUSE_UNMAP_UNKNOWN] = "unmap-unknown",
	[HCA_MISUSE_UNMAP_SIZE] = "unmap-size",
	[HCA_MISUSE_UNMAP_DIR] = "unmap-direction",
	[HCA_MISUSE_UNMAP_KIND] = "unmap-kind",
	[HCA_MISUSE_USE_AFTER_UNMAP] = "use-after-unmap",
	[HCA_MISUSE_USE_UNMAPPED] = "use-unmapped",
	[HCA_MISUSE_USE_DIR] = "use-direction",
	[HCA_MISUSE_UNCHECKED] = "unchecked-error",
	[HCA_MISUSE_SYNC_OUTSIDE] = "sync-outside",
	[HCA_MISUSE_SYNC_DIR] = "sync-direction",
	[HCA_MISUSE_CPU_WRITE] = "cpu-write",
	[HCA_MISUSE_LIST] = "bad-list",
};

static void report(void *ctx, const struct hca_misuse_report *r)
{
	static DEFINE_RATELIMIT_STATE(limit, DEFAULT_RATELIMIT_INTERVAL, 2 * DEFAULT_RATELIMIT_BURST);
	struct softhca *s = ctx;

	if (s->muted || !__ratelimit(&limit))
		return;
	dev_notice(s->dev, "%s: %llu at 0x%llx, by %pS\n", names[r->what], r->size, hca_dma_u64(r->addr), r->site);
	if (r->has_map)
		dev_notice(s->dev, "    mapped: %llu at 0x%llx, by %pS, unmapped by %pS\n", r->map_size,
			   hca_dma_u64(r->map_addr), r->map_site, r->end_site);
}

/* With the mask, kernels since 6.12 notice whether there is anything to call for a sync. */
static void set_ops(struct softhca *s, const struct dma_map_ops *ops)
{
	set_dma_ops(s->dev, ops);
	WARN_ON(dma_set_mask(s->dev, DMA_BIT_MASK(64)));
}

static int begin(struct softhca *s)
{
	struct hca_ledger_attr attr = { .device = dev_name(s->dev), .report = report, .ctx = s };
	struct hca_ledger *l;
	int err = hca_ledger_create(&attr, &l);

	if (err)
		return err;
	/* A thread that finds it finds it ready: pairs with the dependent loads in map_ledger.c. */
	smp_store_release(&s->ledger, l);
	hca_store(&s->soft.mem.ledger, l);
	set_ops(s, &softhca_map_ops_ledger);
	return 0;
}

static void stop(struct softhca *s)
{
	struct hca_ledger *l = s->ledger;

	set_ops(s, &softhca_map_ops);
	hca_store(&s->soft.mem.ledger, NULL);
	WRITE_ONCE(s->ledger, NULL);
	/* A thread that maps is in a read section; a thread that moves bytes is inside the engine. */
	synchronize_rcu();
	hca_quiesce_wait(&s->hca.quiesce);
	hca_ledger_destroy(l);
}

int softhca_ledger_set(struct softhca *s, bool on)
{
	int err = 0;

	mutex_lock(&s->ledger_lock);
	if (on && !s->ledger) {
		err = begin(s);
	} else if (!on && s->ledger) {
		s->muted = true;
		stop(s);
		s->muted = false;
	}
	mutex_unlock(&s->ledger_lock);
	return err;
}

int softhca_ledger_totals(struct softhca *s, struct hca_ledger_totals *t)
{
	int err = -ENOENT;

	mutex_lock(&s->ledger_lock);
	if (s->ledger) {
		hca_ledger_totals(s->ledger, t);
		err = 0;
	}
	mutex_unlock(&s->ledger_lock);
	return err;
}

static int show(struct seq_file *file, void *unused)
{
	struct hca_ledger_totals t;
	int i;

	if (softhca_ledger_totals(file->private, &t)) {
		seq_puts(file, "off\n");
		return 0;
	}
	seq_printf(file, "on\nmade %llu\nlive %llu\nbytes %llu\n", t.made, t.live, t.live_bytes);
	for (i = 0; i < HCA_MISUSE_KINDS; i++)
		seq_printf(file, "%s %llu\n", names[i], t.misuse[i]);
	return 0;
}

static int open_file(struct inode *inode, struct file *file)
{
	return single_open(file, show, inode->i_private);
}

static ssize_t write_file(struct file *file, const char __user *text, size_t len, loff_t *at)
{
	struct softhca *s = ((struct seq_file *)file->private_data)->private;
	bool on;
	int err = kstrtobool_from_user(text, len, &on);

	if (!err)
		err = softhca_ledger_set(s, on);
	return err ? err : (ssize_t)len;
}

static const struct file_operations ledger_file = {
	.owner = THIS_MODULE,
	.open = open_file,
	.read = seq_read,
	.write = write_file,
	.llseek = seq_lseek,
	.release = single_release,
};

void softhca_ledger_init(struct softhca *s)
{
	mutex_init(&s->ledger_lock);
	s->debugfs = debugfs_create_dir(dev_name(s->dev), folder);
	debugfs_create_file("ledger", 0600, s->debugfs, s, &ledger_file);
}

void softhca_ledger_fini(struct softhca *s)
{
	debugfs_remove_recursive(s->debugfs);
	if (s->ledger)
		stop(s);
	mutex_destroy(&s->ledger_lock);
}

void softhca_debugfs_init(void)
{
	folder = debugfs_create_dir("softhca", NULL);
}

void softhca_debugfs_exit(void)
{
	debugfs_remove_recursive(folder);
}

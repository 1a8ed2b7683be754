/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The edu device; see edu.h. Its registers are in QEMU's docs/specs/edu. */
#include "edu.h"

#include <linux/delay.h>
#include <linux/dma-mapping.h>
#include <linux/io.h>
#include <linux/ktime.h>

#define EDU_VENDOR 0x1234
#define EDU_DEVICE 0x11e8

#define REG_ID 0x00
#define REG_SRC 0x80
#define REG_DST 0x88
#define REG_COUNT 0x90
#define REG_CMD 0x98
#define ID_MASK 0xff
#define ID 0xed
#define CMD_RUN 1u
#define CMD_TO_MEMORY 2u

#define BUFFER 0x40000u /* the device's own, as its DMA names it */
#define ROOM 4092u /* of 4,096: QEMU 7.2 takes the last byte for one too many */
#define PATIENCE_NS (5ull * NSEC_PER_SEC)

/* On a 32-bit machine the mask keeps addresses below 4 GiB: the registers can't be written in two halves. */
static void put(struct edu *edu, u32 reg, dma_addr_t v)
{
#ifdef CONFIG_64BIT
	writeq(v, edu->bar + reg);
#else
	writel((u32)v, edu->bar + reg);
#endif
}

/* One way over the bus. It takes 100 ms of the device's time; we are inside the engine, so this spins. */
static int carry(struct edu *edu, dma_addr_t addr, u32 len, bool to_memory)
{
	u64 until = ktime_get_ns() + PATIENCE_NS;

	put(edu, REG_SRC, to_memory ? BUFFER : addr);
	put(edu, REG_DST, to_memory ? addr : BUFFER);
	put(edu, REG_COUNT, len);
	put(edu, REG_CMD, CMD_RUN | (to_memory ? CMD_TO_MEMORY : 0));
	while (readl(edu->bar + REG_CMD) & CMD_RUN) {
		if (ktime_get_ns() > until)
			return -ETIMEDOUT;
		udelay(200);
	}
	return 0;
}

static int edu_window_open(struct hca_mem *mem, hca_dma_addr_t addr, u64 len, enum hca_mem_op access,
			   struct hca_mem_view *w)
{
	struct edu *edu = hca_container_of(mem, struct edu, mem);
	struct edu_window *win;
	int err = 0;

	if (edu->open == EDU_WINDOWS || hca_dma_u64(addr) != (dma_addr_t)hca_dma_u64(addr))
		return -EFAULT;
	win = &edu->window[edu->open];
	win->addr = (dma_addr_t)hca_dma_u64(addr);
	win->len = min_t(u64, len, ROOM);
	win->access = access;
	if (access & HCA_MEM_READ) {
		err = carry(edu, win->addr, win->len, false);
		if (!err)
			err = carry(edu, win->dma, win->len, true);
		edu->carried += win->len;
	}
	if (err)
		return err;
	edu->open++;
	w->ptr = win->virt;
	w->len = win->len;
	return 0;
}

static void edu_window_close(struct hca_mem *mem, struct hca_mem_view *w)
{
	struct edu *edu = hca_container_of(mem, struct edu, mem);
	struct edu_window *win = &edu->window[--edu->open];

	if (!(win->access & HCA_MEM_WRITE))
		return;
	if (carry(edu, win->dma, win->len, false) || carry(edu, win->addr, win->len, true))
		dev_err(edu->dev, "edu: no answer\n");
	edu->carried += win->len;
}

static const struct hca_mem_ops edu_ops = {
	.open = edu_window_open,
	.close = edu_window_close,
};

static int enable(struct edu *edu)
{
	int err = pci_enable_device(edu->pdev);

	if (err)
		return err;
	err = dma_set_mask_and_coherent(edu->dev, DMA_BIT_MASK(BITS_PER_LONG));
	if (err)
		goto disable;
	dma_set_max_seg_size(edu->dev, UINT_MAX);
	edu->bar = pci_iomap(edu->pdev, 0, 0);
	if (!edu->bar) {
		err = -ENOMEM;
		goto disable;
	}
	err = (readl(edu->bar + REG_ID) & ID_MASK) == ID ? 0 : -ENXIO;
	if (err)
		goto unmap;
	pci_set_master(edu->pdev);
	return 0;
unmap:
	pci_iounmap(edu->pdev, edu->bar);
disable:
	pci_disable_device(edu->pdev);
	return err;
}

static void free_windows(struct edu *edu, unsigned int n)
{
	while (n--)
		dma_free_coherent(edu->dev, PAGE_SIZE, edu->window[n].virt, edu->window[n].dma);
}

static void disable(struct edu *edu)
{
	pci_clear_master(edu->pdev);
	pci_iounmap(edu->pdev, edu->bar);
	pci_disable_device(edu->pdev);
}

int edu_open(struct edu *edu)
{
	unsigned int i;
	int err;

	memset(edu, 0, sizeof(*edu));
	edu->mem.ops = &edu_ops;
	edu->pdev = pci_get_device(EDU_VENDOR, EDU_DEVICE, NULL);
	if (!edu->pdev)
		return -ENODEV;
	edu->dev = &edu->pdev->dev;
	err = enable(edu);
	if (err)
		goto put;
	for (i = 0; i < EDU_WINDOWS; i++) {
		edu->window[i].virt = dma_alloc_coherent(edu->dev, PAGE_SIZE, &edu->window[i].dma, GFP_KERNEL);
		if (!edu->window[i].virt) {
			err = -ENOMEM;
			goto free;
		}
	}
	return 0;
free:
	free_windows(edu, i);
	disable(edu);
put:
	pci_dev_put(edu->pdev);
	return err;
}

void edu_close(struct edu *edu)
{
	free_windows(edu, EDU_WINDOWS);
	disable(edu);
	pci_dev_put(edu->pdev);
}

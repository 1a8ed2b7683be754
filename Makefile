# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# The front door. Each target installs what it misses from Debian's packages,
# then leaves the work to meson, ninja and the scripts in tools/.

PREFIX ?= /usr/local
DESTDIR ?=
ONLY ?=
IMAGE ?= build/image.ext4
IMAGE_MIB ?= 96

.PHONY: all build run check check-kernel bench soak install uninstall clean help
.NOTPARALLEL:

all: build

help:
	@echo 'make               the same as make build'
	@echo 'make build         programs to build/bin, libraries to build/lib, headers to build/include'
	@echo 'make run           carry a disk image over every pair of adapters, and compare'
	@echo 'make check         every test in every variant, or in those named: ONLY="asan lint"'
	@echo 'make check-kernel  the kernel module on emulated machines, or on those named: ONLY="amd64-strict"'
	@echo 'make bench         every figure beside its floor and its goal, or the parts named: ONLY="hca-rc dma"'
	@echo 'make soak          fuzzers, sanitizers, valgrind and random traffic for SOAK_SECONDS (3600) in all'
	@echo 'make install       install below PREFIX (/usr/local), or for a package below DESTDIR'
	@echo 'make uninstall     remove what make install has put there; the same PREFIX and DESTDIR'
	@echo 'make clean         remove build/'
	@echo 'make help          this text'
	@echo
	@echo 'make run carries IMAGE, a file of your own, or makes one of IMAGE_MIB (96) MiB.'
	@echo 'Each target first installs the Debian packages that it needs and that are missing; with'
	@echo 'SOFTHCA_DEPS=skip it leaves the machine alone. docs/building.md has the rest.'
	@echo
	@echo 'ONLY of make check:'
	@tools/check.sh --list | sed 's/^/  /'
	@echo 'ONLY of make check-kernel:'
	@tools/kernel-boot.sh . list | sed 's/^/  /'
	@echo 'ONLY of make bench:'
	@echo '  dma (dma-count dma-map), hca (hca-count hca-rc hca-keys hca-threads hca-bulk hca-many), srp,'
	@echo '  verbs (verbs-latency verbs-bulk verbs-turns verbs-both verbs-idle verbs-many),'
	@echo '  cm, kernel (an emulated machine; the first time it downloads a kernel)'

build:
	@tools/deps.sh build
	@tools/build.sh '$(CURDIR)/build/obj' '$(CURDIR)/build'

run:
	@tools/image.sh --may '$(IMAGE)' '$(IMAGE_MIB)'
	@tools/deps.sh run
	@tools/build.sh '$(CURDIR)/build/obj' '$(CURDIR)/build'
	@tools/image.sh '$(IMAGE)' '$(IMAGE_MIB)'
	@build/bin/softhca matrix --image '$(IMAGE)'

check:
	@tools/check.sh --known $(ONLY)
	@tools/deps.sh check $(ONLY)
	@tools/check.sh $(ONLY)

check-kernel:
	@tools/kernel-boot.sh . known $(ONLY)
	@tools/deps.sh check kernel
	@KERNEL_MACHINES='$(ONLY)' tools/check.sh kernel

bench:
	@tools/deps.sh bench
	@tools/build.sh '$(CURDIR)/build/obj' '$(CURDIR)/build'
	@build/bin/softhca-bench $(ONLY)

soak:
	@tools/deps.sh soak
	@tools/soak.sh

install:
	@tools/install.sh install '$(PREFIX)' '$(DESTDIR)'

uninstall:
	@tools/install.sh uninstall '$(PREFIX)' '$(DESTDIR)'

clean:
	@rm -rf build

# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# The front door. Each target installs what it misses from Debian's packages,
# then leaves the work to meson, ninja and the scripts in tools/.

PREFIX ?= /usr/local
DESTDIR ?=
ONLY ?=
IMAGE ?= build/image.ext4
IMAGE_MIB ?= 96

.PHONY: all build run check check-kernel bench soak install clean help
.NOTPARALLEL:

all: build

help:
	@echo 'make build            programs to build/bin, libraries to build/lib, headers to build/include'
	@echo 'make run              carry a disk image over every pair of adapters and compare'
	@echo 'make check            every test, in every variant; ONLY="asan lint" runs a part'
	@echo 'make check-kernel     of these the module, on every emulated machine; ONLY="amd64-strict" boots that one'
	@echo 'make bench            every figure beside its floor and goal; ONLY="hca-rc dma" runs parts: dma (dma-count'
	@echo '                      dma-map), hca (hca-count hca-rc hca-keys hca-threads hca-bulk hca-many), srp, verbs'
	@echo '                      (verbs-latency verbs-bulk verbs-turns verbs-both verbs-idle verbs-many)'
	@echo 'make soak             fuzzers, sanitizers, valgrind and random traffic for SOAK_SECONDS (3600) in all'
	@echo 'make install          to PREFIX (/usr/local), below DESTDIR if given'
	@echo 'make clean            remove build/'

build:
	@tools/deps.sh build
	@tools/build.sh '$(CURDIR)/build/obj' '$(CURDIR)/build'

run:
	@tools/deps.sh run
	@tools/build.sh '$(CURDIR)/build/obj' '$(CURDIR)/build'
	@tools/image.sh '$(IMAGE)' '$(IMAGE_MIB)'
	@build/bin/softhca matrix --image '$(IMAGE)'

check:
	@tools/deps.sh check
	@tools/check.sh $(ONLY)

check-kernel:
	@tools/deps.sh check
	@KERNEL_MACHINES='$(ONLY)' tools/check.sh kernel

bench:
	@tools/deps.sh bench
	@tools/build.sh '$(CURDIR)/build/obj' '$(CURDIR)/build'
	@build/bin/softhca-bench $(ONLY)

soak:
	@tools/deps.sh soak
	@tools/soak.sh

install:
	@tools/deps.sh build
	@tools/build.sh '$(CURDIR)/build/install' '$(PREFIX)' '$(DESTDIR)'

clean:
	@rm -rf build

# Everything here sets itself up first (scripts/setup), as root on a fresh Debian 12, and is quick the second time.
.PHONY: help build test-build test test-quick interop test-heavy conformance perftest-matrix demo bench docs wheel clean
.DEFAULT_GOAL := help
ARGS ?=
# Programs that the tests and benchmarks run as they are, servers among them; none is left to start by itself.
TEST_PACKAGES = python3-pyverbs python3-numpy rdmacm-utils qperf ucx-utils libucx0 libfabric-bin libfabric1 \
	'libopenmpi3|libopenmpi40|libopenmpi3t64' openmpi-bin python3-mpi4py mpich etcd-server etcd-client openssl \
	nginx-light wrk apache2-utils curl redis-server redis-tools memcached postgresql openssh-server openssh-client \
	valgrind libjemalloc2 infiniband-diags prometheus-node-exporter netpipe-tcp nftables systemd podman runc musl musl-tools prometheus \
	'libpython3.11-testsuite|libpython3.13-testsuite'
# A guest with Linux's own RoCEv2: an emulator, what its image is made with, and a dissector.
INTEROP_PACKAGES = qemu-system-x86 busybox-static cpio kmod tshark

help:
	@echo 'make demo          unmodified perftest between two containers, through the router (under 3 minutes)'
	@echo 'make test          all tests;      make test ARGS="-k lab --seed 7"'
	@echo 'make test-quick    tidy, unit and protocol tests, one smoke test of each way in and each NIC (under 4 minutes)'
	@echo 'make test-heavy    what takes minutes each: other projects'"'"' own test suites'
	@echo 'make conformance   rdma-core'"'"'s own tests on ff0, beside Linux'"'"'s software NIC (half a minute; in make test too); ARGS="--nic roce": over the wire'
	@echo 'make perftest-matrix  every combination of options that perftest allows; ARGS=--list, ARGS=PATTERN, ARGS=--failed'
	@echo 'make interop       perftest between a container and Linux'"'"'s software NIC in an emulated machine (minutes)'
	@echo 'make bench         all benchmarks; results in benchmarks/results/'
	@echo 'make build         the set-up alone; leaves .venv/bin/freeflow'
	@echo 'make docs          the reference of freeflow.rdma, from its docstrings: build/docs/index.html'
	@echo 'make wheel         dist/freeflow-*.whl for pip install, and the sources beside it'
	@echo 'make clean         removes what was built, and .venv'

build:
	@scripts/setup

test-build:
	@scripts/setup $(TEST_PACKAGES)

test: test-build
	@.venv/bin/python -m pytest $(ARGS)

test-quick: test-build
	@.venv/bin/python -m pytest -m "quick and not heavy" $(ARGS)

test-heavy: test-build
	@.venv/bin/python -m pytest -m heavy $(ARGS)

interop:
	@scripts/setup $(TEST_PACKAGES) $(INTEROP_PACKAGES)
	@.venv/bin/python -m pytest --override-ini 'addopts=--import-mode=importlib' -v tests/interop $(ARGS)

conformance: test-build
	@.venv/bin/python tests/support/conformance.py $(ARGS)

perftest-matrix: test-build
	@.venv/bin/python -m benchmarks.perftest_matrix $(ARGS)

demo: build
	@.venv/bin/python -m freeflow demo $(ARGS)

bench: test-build
	@.venv/bin/python -m pytest -sv benchmarks $(ARGS)

docs: build
	@scripts/docs

wheel: build
	@scripts/wheel

clean:
	rm -rf build dist .venv .pytest_cache .benchmarks *.egg-info src/*.egg-info
	find src tests benchmarks -name __pycache__ -prune -exec rm -rf {} +
	find src \( -name '*.so' -o -name '*.so.1' \) -delete

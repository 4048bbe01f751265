# A thin front: what is built and tested is said in CMakeLists.txt and CMakePresets.json.
#   make               build the release binaries into build/release
#   make test          everything that is quick enough for each change, then again under ASan and UBSan
#   make demo          three incidents from start to end against real servers; SHADOW=1 only watches
#   make check-all     make test, the long tests under ASan, clang-tidy, valgrind, crash tests, planted faults
#   make crash-test    kill -9 at every point of every action, then at 10,000 random ones: three hours
#   make teeth         plants faults in a copy of the agent; each must be seen by a test: half an hour
#   make bench         figures: engine, conditions, journal, start, memory, processor, latency; three minutes
#   make install       to /usr/local, or PREFIX=...; DESTDIR is honoured
#   make clean         remove build/
.DEFAULT_GOAL := build
.PHONY: build setup test demo check-all asan-long tidy valgrind crash-test teeth bench install clean
MAKEFLAGS += --no-print-directory

setup:
	@.ci/setup

build: setup
	@.ci/build release:programs

test: setup
	@.ci/test dev asan

demo: build
	@SHADOW=$(SHADOW) tests/demo/run

check-all: test asan-long tidy valgrind crash-test teeth

asan-long: setup
	@.ci/test asan-long

tidy: setup
	@.ci/tidy

valgrind: setup
	@.ci/test valgrind

crash-test: setup
	@.ci/test crash

teeth: setup
	@tests/sim/teeth

bench: setup
	@mkdir -p build; cmake --preset release >build/bench.log && cmake --build --preset release --target bench >>build/bench.log || { tail -n 40 build/bench.log; exit 1; }
	@tests/bench/run

install: build
	@cmake --install build/release $(if $(PREFIX),--prefix $(PREFIX))

clean:
	@rm -rf build

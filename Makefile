# Ward's front door. `make demo` and `make test` install what they need first (scripts/deps), and can be repeated.
#   make demo        start a platform here, deploy Orthanc with its PostgreSQL behind HTTPS; make demo-stop removes all of it
#   make test        every tier that this machine can run; T=unit, T=unit/base/buf, T=tests/e2e/test_image.py for one
#   make test-full   the long runs too
#   make bench-NAME  one benchmark (see bench/)
BUILD = build
STAGE = $(CURDIR)/$(BUILD)/stage

.PHONY: all root deps build guest demo demo-stop test test-full lint format clean install
all: build

deps:
	@scripts/deps

build: deps
	@[ -f $(BUILD)/main/build.ninja ] || meson setup $(BUILD)/main --prefix=/usr >/dev/null
	@targets=$$(scripts/installed $(BUILD)/main) && ninja -C $(BUILD)/main $$targets
	@DESTDIR=$(STAGE) meson install -C $(BUILD)/main --quiet --no-rebuild

guest: build
	@scripts/guest $(BUILD)/guest

root:
	@[ "$$(id -u)" = 0 ] || { echo "make demo makes users, namespaces and cgroups: run it as root" >&2; exit 1; }

demo: root guest
	@scripts/demo start

demo-stop: root
	@scripts/demo stop

test: deps
	@scripts/test $(T)

test-full: deps
	@scripts/test --full $(T)

bench-%: guest
	@bench/$*

lint:
	@scripts/test checks

format:
	@git ls-files 'src/*.[ch]' 'tests/*.[ch]' | xargs clang-format -i

install: build
	@meson install -C $(BUILD)/main --quiet --no-rebuild $(if $(DESTDIR),--destdir $(abspath $(DESTDIR)))

clean:
	@[ ! -e /run/ward-demo/wardd ] || { echo "the demonstration runs from $(BUILD)/: make demo-stop first" >&2; exit 1; }
	rm -rf $(BUILD)

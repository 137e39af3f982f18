# Ward's front door. `make demo` and `make test` install what they need first (scripts/deps), and can be repeated.
SHELL = /bin/sh
BUILD = build
STAGE = $(CURDIR)/$(BUILD)/stage

.PHONY: all deps build
all: build

deps:
	@scripts/deps

$(BUILD)/main/build.ninja: | deps
	@meson setup $(BUILD)/main --prefix=/usr >/dev/null

build: $(BUILD)/main/build.ninja
	@ninja -C $(BUILD)/main
	@DESTDIR=$(STAGE) meson install -C $(BUILD)/main --quiet

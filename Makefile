# wherry: `make` builds, `make demo` shows it, `make test` tests it; `make help` lists the rest.
SHELL := /bin/bash
.DEFAULT_GOAL := build

GO      ?= $(shell command -v go || echo /usr/local/go/bin/go)
GOARCH  ?= $(shell $(GO) env GOARCH)
export CGO_ENABLED := 0
# The toolchain and go.mod are the contract; nothing of the caller's Go environment changes the build.
unexport GOFLAGS

TAGS    := containers_image_openpgp exclude_graphdriver_btrfs exclude_graphdriver_devicemapper urfave_cli_no_docs
VERSION ?= $(shell git describe --tags --exact-match 2>/dev/null || \
             { v=$$(cat VERSION); h=$$(git rev-parse --short=9 HEAD 2>/dev/null) && echo "$$v+g$$h" || echo "$$v"; })
COMMIT  := $(shell git rev-parse HEAD 2>/dev/null)
MODULE  := github.com/wherry-containers/wherry

# Every main below cmd: wherry itself, and its companions, which lie beside it in libexec.
COMPANIONS := $(notdir $(wildcard cmd/wherry-*))
MAINS      := wherry $(COMPANIONS)

# The entry stub (see pkg/earlystart): these mains run a few instructions of ours before the Go runtime, to join the
# user namespace, to become the idle monitor, to be the whole of --init. `make ENTRY=` builds without it: all but --init
# works, a little slower.
ENTRY     ?= wherry_start
STUBBED   := wherry wherry-monitor wherry-init
entryflag  = $(if $(filter $(1),$(STUBBED)),$(addprefix -E ,$(ENTRY)))

# What Compose calls itself is the version of its module.
COMPOSE   := github.com/docker/compose/v5
composever = $(if $(filter wherry-compose,$(1)),-X $(COMPOSE)/internal.Version=$(shell $(GO) list -m -f '{{.Version}}' $(COMPOSE)))
ldflags    = -s -w -X main.version=$(VERSION) -X main.commit=$(COMMIT) $(call composever,$(1)) $(call entryflag,$(1))
# $(call compile,GOARCH,MAIN,OUTPUT,EXTRA TAGS)
compile    = GOARCH=$(1) $(GO) build -trimpath -buildvcs=false -tags "$(strip $(TAGS) $(4))" -ldflags "$(strip $(call ldflags,$(2)))" -o $(3) ./cmd/$(2)
place      = $(if $(filter wherry,$(2)),$(1)/wherry,$(1)/libexec/wherry/$(2))
# $(call buildx,DIR): Compose asks for builds by the name of the docker command line's plugin
buildx     = mkdir -p "$(1)/cli-plugins" && ln -sfn ../wherry-build "$(1)/cli-plugins/docker-buildx"
# $(call all,GOARCH,DIR,EXTRA TAGS): every main into DIR
all        = $(foreach m,$(MAINS),$(call compile,$(1),$(m),$(call place,$(2),$(m)),$(3)) &&) true

PREFIX     ?= /usr/local
BINDIR     ?= $(PREFIX)/bin
LIBEXECDIR ?= $(PREFIX)/libexec/wherry
MANDIR     ?= $(PREFIX)/share/man
DATADIR    ?= $(PREFIX)/share

.PHONY: help build build-fault install uninstall test test-unit test-system test-root test-oracle arch bench metrics lint cross docs docs-check demo fuzz clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-12s %s\n", $$1, $$2}' Makefile

build: ## bin/wherry and its companions, static (the default)
	@$(call all,$(GOARCH),bin)
	@$(call buildx,bin/libexec/wherry)

build-fault: ## the same with fault points, for the tests that kill the program: bin/fault
	@$(call all,$(GOARCH),bin/fault,faultpoint)
	@$(call buildx,bin/fault/libexec/wherry)

install: ## binaries, man pages, completions (PREFIX=/usr/local DESTDIR= DOCKER=1 for links docker and docker-compose)
	@test -x bin/wherry || { echo "nothing built yet: run make first"; exit 1; }
	install -d "$(DESTDIR)$(BINDIR)" "$(DESTDIR)$(LIBEXECDIR)"
	install -m 755 bin/wherry "$(DESTDIR)$(BINDIR)/wherry"
	for m in $(COMPANIONS); do install -m 755 bin/libexec/wherry/$$m "$(DESTDIR)$(LIBEXECDIR)/$$m" || exit 1; done
	@$(call buildx,$(DESTDIR)$(LIBEXECDIR))
	if ls docs/man/*.1 >/dev/null 2>&1; then install -d "$(DESTDIR)$(MANDIR)/man1" && install -m 644 docs/man/*.1 "$(DESTDIR)$(MANDIR)/man1/"; fi
	@contrib/install-completions.sh contrib/completions "$(DESTDIR)$(DATADIR)"
	@contrib/install-systemd.sh contrib/systemd "$(DESTDIR)$(PREFIX)/lib" "$(BINDIR)"
	if [ -n "$(DOCKER)" ]; then ln -sfn wherry "$(DESTDIR)$(BINDIR)/docker" && ln -sfn wherry "$(DESTDIR)$(BINDIR)/docker-compose" && contrib/install-completions.sh contrib/completions "$(DESTDIR)$(DATADIR)" docker; fi

uninstall: ## what install put there
	rm -f "$(DESTDIR)$(BINDIR)/wherry" "$(DESTDIR)$(MANDIR)/man1/"wherry*.1
	rm -rf "$(DESTDIR)$(LIBEXECDIR)"
	rm -f "$(DESTDIR)$(PREFIX)"/lib/systemd/{user,system}/wherry.{socket,service}
	names=wherry; if [ "$$(readlink "$(DESTDIR)$(BINDIR)/docker-compose")" = wherry ]; then rm "$(DESTDIR)$(BINDIR)/docker-compose"; fi; \
	if [ "$$(readlink "$(DESTDIR)$(BINDIR)/docker")" = wherry ]; then rm "$(DESTDIR)$(BINDIR)/docker"; names='wherry docker'; fi; \
	cd "$(DESTDIR)$(DATADIR)" && for n in $$names; do rm -f bash-completion/completions/$$n zsh/site-functions/_$$n fish/vendor_completions.d/$$n.fish; done

export TAGS GO
test: build build-fault arch ## everything: set-up, unit and system tests unprivileged, then the tests that want root
	test/setup/gotest.sh all

test-unit: build build-fault ## unit tests (RUN=regexp PKG=./pkg/...)
	test/setup/gotest.sh unit

test-system: build build-fault ## scenarios in test/system and test/cli, as an unprivileged user
	test/setup/gotest.sh system

test-root: build build-fault ## the tests that want real root
	test/setup/gotest.sh root

test-oracle: build ## what wherry builds, compared with the real BuildKit (as root; RUN=regexp)
	test/oracle/run.sh

arch: ## the import table, what mains may do, sizes, cognitive complexity
	$(GO) test -count=1 -tags "$(TAGS)" ./test/arch ./test/source

bench: build ## wherry against podman and raw crun (BENCH=run,ps selects; N=20 runs a row)
	test/bench/run.sh

metrics: ## sizes, complexity, test and documentation figures
	@$(GO) run -tags "$(TAGS)" ./test/metrics

lint: ## gofmt, go vet for amd64 and arm, stale docs, shellcheck where installed
	@test/setup/lint.sh

CROSS := amd64 arm64 armv7 armv6
cross: $(CROSS:%=cross-%) ## static linux/amd64, arm64, armv7, armv6 in dist/, started under qemu-user
	@test/setup/cross-check.sh $(CROSS)
cross-%:
	@GOARM=$(patsubst armv%,%,$(filter armv%,$*)); export GOARM; $(call all,$(if $(filter armv%,$*),arm,$*),dist/linux-$*)

docs: build ## man pages, completions and docs/flags.md from the command table
	bin/wherry generate-docs docs/man contrib/completions
	UPDATE_FLAGS=1 $(GO) test -count=1 -tags "$(TAGS)" -run '^TestFlagTable$$' ./cmd/wherry

docs-check: build
	@test/setup/docs-check.sh

demo: ## see it work on this machine: installs what it needs, builds, runs a container
	contrib/demo.sh

fuzz: ## every fuzz target for a short while (FUZZTIME=10s)
	test/setup/fuzz.sh

clean: ## remove what was built
	rm -rf bin dist

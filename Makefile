# mkcdrec - make CD recovery.  `make help` says what there is.
#
#   sudo make recovery   a recovery medium of this machine, verified, in ./out
#   sudo make test       all tests

SHELL   := /bin/bash
GO      ?= $(shell command -v go || ls /usr/local/go/bin/go /usr/lib/go-*/bin/go 2>/dev/null | tail -n 1)
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
OUT     ?= out
LDFLAGS := -s -w -X github.com/mkcdrec/mkcdrec/internal/cli.Version=$(VERSION)
STATIC  := -tags netgo,osusergo -trimpath -ldflags '$(LDFLAGS) -linkmode external -extldflags "-static"'

export GOFLAGS := -buildvcs=false
# Go keeps its caches below HOME, which cron and some ways to become root leave unset.
ifeq ($(HOME),)
export HOME := $(shell getent passwd $$(id -u) | cut -d: -f6)
endif

.PHONY: help build recovery menu rescue test quick slow vm vm-grid stacks bench check arm64 setup-build setup-medium setup-test install uninstall clean

help: ## this list
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

build: setup-build bin/mkcdrec ## the program, one static binary: bin/mkcdrec

SOURCES := $(shell find cmd internal -name '*.go' -o -name '*.toml' 2>/dev/null) go.mod go.sum
bin/mkcdrec: $(SOURCES)
	@mkdir -p bin
	CGO_ENABLED=1 $(GO) build $(STATIC) -o $@ ./cmd/mkcdrec

arm64: ## compile for arm64 (without cgo)
	CGO_ENABLED=0 GOARCH=arm64 $(GO) build -o /dev/null ./cmd/mkcdrec

# backup reads everything back itself before it calls the medium good.
recovery: build setup-medium ## set up, build, make and verify a recovery medium of this machine in ./out
	@mkdir -p $(OUT)
	./bin/mkcdrec doctor --out $(OUT)
	./bin/mkcdrec backup --out $(OUT) --exclude '$(abspath $(OUT))/*'

menu: build setup-medium ## the numbered menu
	./bin/mkcdrec

rescue: build setup-medium ## a rescue medium without a backup, in ./out
	@mkdir -p $(OUT)
	./bin/mkcdrec rescue --out $(OUT)

setup-build:
	@GO='$(GO)' setup/build.sh
setup-medium: bin/mkcdrec
	@setup/medium.sh ./bin/mkcdrec
setup-test:
	@setup/test.sh

# Programs that judge file names in the tests need a locale that has the letters.
test quick slow vm vm-grid: export LC_ALL = C.UTF-8

# The quick ones first: what they find need not wait for a machine to boot.
test: setup-build setup-test ## set up and pass all tests (half an hour in emulation)
	$(MAKE) check quick
	$(MAKE) slow
	$(MAKE) vm

check: arm64 ## format, vet
	@odd=$$("$$($(GO) env GOROOT)/bin/gofmt" -l cmd internal test bench) || exit 1; \
	[ -z "$$odd" ] || { echo "$$odd"; echo 'gofmt would change these files'; exit 1; }
	$(GO) vet ./...

quick: build ## the quick tests
	$(GO) test -timeout 30m ./cmd/... ./internal/... ./test/script/... ./test/stacks/...

slow: build ## tests that boot media in a virtual machine, one after the other
	MKCDREC_SLOW=1 MKCDREC_BINARY=$(abspath bin/mkcdrec) $(GO) test -p 1 -timeout 30m ./internal/medium/... ./internal/rescue/... ./internal/rescueinit/... ./internal/rehearse/...

# Two machines at a time: while one boots, which takes one core, another works.
VM_TEST := MKCDREC_BINARY=$(abspath bin/mkcdrec) $(GO) test -v -parallel 2

vm: build ## whole machines: backed up, disk replaced, restored from the medium, booted, compared
	MKCDREC_VM=1 $(VM_TEST) -run 'TestRestore|TestListing' -timeout 80m ./test/vm

vm-grid: build ## the same, further scenarios, and a look at each machine that they begin with
	MKCDREC_VM=1 $(VM_TEST) -timeout 150m ./test/vm

# LOGS: what `make vm` and `make vm-grid` have printed.
stacks: build ## the table of what comes back, docs/stacks.md, from the tests' own results (LOGS="...")
	$(GO) test -v ./internal/... | $(GO) run ./test/stacks -commit $(VERSION) - $(LOGS)

bench: build ## speed, with other programs in the same run
	bench/archive.sh

# Where `make install` puts things; DESTDIR goes before all of them, for packages.
PREFIX  ?= /usr/local
SBINDIR ?= $(PREFIX)/sbin
DATADIR ?= $(PREFIX)/share
CONFDIR := /etc/mkcdrec
BINARY  ?= bin/mkcdrec
COMPLETIONS := bash-completion/completions/mkcdrec zsh/site-functions/_mkcdrec fish/vendor_completions.d/mkcdrec.fish
HOOKS   := $(shell cd docs/examples && ls hooks/*/*)
# What the program writes about itself depends on no settings, and is not logged.
ITSELF  := $(BINARY) --config /dev/null --log /dev/null

# Settings that are there already are somebody's, and stay.
install: build ## install the program, manual pages, completions and settings (PREFIX, DESTDIR)
	install -D -m 755 $(BINARY) $(DESTDIR)$(SBINDIR)/mkcdrec
	install -d $(DESTDIR)$(DATADIR)/man/man8 $(DESTDIR)$(CONFDIR) $(addprefix $(DESTDIR)$(DATADIR)/,$(dir $(COMPLETIONS)))
	$(ITSELF) man $(DESTDIR)$(DATADIR)/man/man8
	$(ITSELF) completion bash > $(DESTDIR)$(DATADIR)/$(word 1,$(COMPLETIONS))
	$(ITSELF) completion zsh > $(DESTDIR)$(DATADIR)/$(word 2,$(COMPLETIONS))
	$(ITSELF) completion fish > $(DESTDIR)$(DATADIR)/$(word 3,$(COMPLETIONS))
	install -D -m 644 internal/config/config.toml $(DESTDIR)$(DATADIR)/doc/mkcdrec/config.toml.example
	for h in $(HOOKS); do install -D -m 644 docs/examples/$$h $(DESTDIR)$(DATADIR)/doc/mkcdrec/examples/$$h || exit 1; done
	[ -e $(DESTDIR)$(CONFDIR)/config.toml ] || install -m 644 internal/config/config.toml $(DESTDIR)$(CONFDIR)/config.toml

# The settings go only where nobody has changed them.
uninstall: ## remove what install put there; changed settings, hooks and media stay
	rm -f $(DESTDIR)$(SBINDIR)/mkcdrec $(DESTDIR)$(DATADIR)/man/man8/mkcdrec.8 $(DESTDIR)$(DATADIR)/man/man8/mkcdrec-*.8
	rm -f $(addprefix $(DESTDIR)$(DATADIR)/,$(COMPLETIONS))
	! cmp -s $(DESTDIR)$(DATADIR)/doc/mkcdrec/config.toml.example $(DESTDIR)$(CONFDIR)/config.toml || rm $(DESTDIR)$(CONFDIR)/config.toml
	rm -rf $(DESTDIR)$(DATADIR)/doc/mkcdrec
	[ ! -d $(DESTDIR)$(CONFDIR) ] || rmdir --ignore-fail-on-non-empty $(DESTDIR)$(CONFDIR)

clean: ## remove what was built; ./out stays
	rm -rf bin

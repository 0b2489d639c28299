# Two commands: `make demo` shows Assay at work, `make test` proves it.
# Both install the Debian packages they need, or print the one apt command where they lack the rights.

CARGO ?= cargo
LISTEN ?= 127.0.0.1:8080
DEMO_DIR ?= assay-demo

# A C compiler for SQLite and ring, OpenSSL's headers, and the token.
BUILD_PACKAGES = gcc libc6-dev pkg-config libssl-dev
DEMO_PACKAGES = $(BUILD_PACKAGES) softhsm2
# SCEP clients of others, tools that judge what comes back, the PKCS#11 trace, and what makes messages without our code.
TEST_PACKAGES = $(DEMO_PACKAGES) opensc opensc-pkcs11 strongswan-pki libstrongswan-extra-plugins certmonger scep openssl gnutls-bin \
    python3 python3-asn1crypto python3-cryptography

# The steps of `make test` come one after the other: each wants the whole machine.
.NOTPARALLEL:
.PHONY: help demo build test format lint test-run deny clean-demo

help:
	@echo 'make demo    build, make a throw-away SoftHSM token, start Assay and enrol a device; serves until Ctrl-C'
	@echo 'make test    formatting, lints, every test against the real processes, licences and dependencies'

demo:
	@scripts/install-packages.sh $(DEMO_PACKAGES)
	$(CARGO) build --locked --workspace --bins
	@exec target/debug/assay demo --dir $(DEMO_DIR) --listen $(LISTEN)

test:
	@scripts/install-packages.sh $(TEST_PACKAGES)
	$(MAKE) --no-print-directory format lint build test-run deny

format:
	$(CARGO) fmt --all --check

lint:
	$(CARGO) clippy --locked --workspace --all-targets -- -D warnings

build:
	$(CARGO) build --locked --workspace --bins

# The end-to-end tests start the binaries that `build` leaves in the target directory.
test-run: build
	@if $(CARGO) nextest --version >/dev/null 2>&1; then \
	    set -x; $(CARGO) nextest run --locked --workspace; \
	else \
	    set -x; $(CARGO) test --locked --workspace --bins --lib --tests; \
	fi
	$(CARGO) test --locked --workspace --doc

# Installed here rather than left out where it is missing: the rules it holds are part of the tests.
deny:
	@$(CARGO) deny --version >/dev/null 2>&1 || $(CARGO) install --locked --quiet cargo-deny
	$(CARGO) deny --workspace check bans licenses sources

clean-demo:
	rm -rf $(DEMO_DIR)

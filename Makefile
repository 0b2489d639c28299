# Two commands: `make demo` shows Assay at work, `make test` tests it. `make test-all` and `make soak` test it at length.
# All of them install the Debian packages they need, or print the one apt command where they lack the rights.

CARGO ?= cargo
LISTEN ?= 127.0.0.1:8080
DEMO_DIR ?= assay-demo

# A C compiler for SQLite and ring, OpenSSL's headers, and the token.
BUILD_PACKAGES = gcc libc6-dev pkg-config libssl-dev
DEMO_PACKAGES = $(BUILD_PACKAGES) softhsm2
# SCEP clients of others, tools that judge what comes back, the PKCS#11 trace, and what makes messages without our code.
TEST_PACKAGES = $(DEMO_PACKAGES) opensc opensc-pkcs11 strongswan-pki libstrongswan-standard-plugins libstrongswan-extra-plugins \
    certmonger scep openssl gnutls-bin python3 python3-asn1crypto python3-cryptography python3-venv faketime

# The steps of `make test` come one after the other: each wants the whole machine.
.NOTPARALLEL:
.PHONY: help demo bench build test test-all soak format lint test-run deny fuzz fuzz-briefly fuzz-seeds clean-demo

help:
	@echo 'make demo    build, make a throw-away SoftHSM token, start Assay and enrol a device; serves until Ctrl-C'
	@echo 'make test    formatting, lints, tests against the real processes, licences and dependencies: about 15 minutes on a'
	@echo '             fresh machine with two cores; exhaustive suites in a short form'
	@echo 'make test-all the same with every suite in full, cargo-deny, and a minute of fuzzing where cargo-fuzz is installed:'
	@echo '             meant to take 60 minutes at most'
	@echo 'make soak    the tests in which times matter, 30 times, half of them beside processes that take all of the processor;'
	@echo '             another number with SOAK_RUNS=4'
	@echo 'make bench   release binaries on a machine that does nothing else: enrolments beside the token alone and beside'
	@echo '             scepserver, refusals by cause and time, OCSP responses of 100,000 certificates refreshed in time;'
	@echo '             about an hour: 20 minutes of it for the 10,000 refusals a cause, and OCSP enrols its certificates; less with'
	@echo '             BENCH_REQUESTS=100 BENCH_REFUSALS=1000 BENCH_OCSP=5000'
	@echo 'make fuzz    ten minutes of fuzzing for each parser of what strangers send; continues where it ended'

demo:
	@scripts/install-packages.sh $(DEMO_PACKAGES)
	$(CARGO) build --locked --workspace --bins
	@exec target/debug/assay demo --dir $(DEMO_DIR) --listen $(LISTEN)

# Of refusals each of two connections gets one a tick: 10,000 for each of eight causes take 19 minutes on any machine.
BENCH_REQUESTS ?= 1000
BENCH_REFUSALS ?= 10000
BENCH_OCSP ?= 100000
BENCH_PROFILE ?= release
bench:
	@scripts/install-packages.sh $(DEMO_PACKAGES) scep
	$(CARGO) build --locked --workspace --bins
	$(CARGO) build --locked --workspace --bins --profile $(BENCH_PROFILE)
	@scripts/bench.sh target/$(patsubst dev,debug,$(BENCH_PROFILE)) target/debug $(BENCH_REQUESTS) $(BENCH_REFUSALS) \
	    $(BENCH_OCSP)

# The short form of every suite, for each change. CI runs this. Our crates are compiled by clippy's compiler, which lints them on
# the way, instead of once for the lints and once more for the tests; a warning is an error. `make lint` is the usual form.
test: export RUSTC_WORKSPACE_WRAPPER = clippy-driver
test: export CLIPPY_ARGS = -D__CLIPPY_HACKERY__warnings__CLIPPY_HACKERY__
test:
	@scripts/install-packages.sh $(TEST_PACKAGES)
	$(MAKE) --no-print-directory format test-run

# Everything: what `make test` does, the suites in full, and what takes long to install.
test-all:
	@scripts/install-packages.sh $(TEST_PACKAGES)
	ASSAY_TESTS=all NEXTEST_PROFILE=all $(MAKE) --no-print-directory format lint test-run fuzz-briefly deny

SOAK_RUNS ?= 30
soak: build
	@scripts/install-packages.sh $(TEST_PACKAGES)
	@$(CARGO) nextest --version >/dev/null 2>&1 || $(CARGO) install --locked --quiet cargo-nextest
	CARGO='$(CARGO)' scripts/soak.sh $(SOAK_RUNS)

format:
	$(CARGO) fmt --all --check

lint:
	$(CARGO) clippy --locked --workspace --all-targets -- -D warnings

build:
	$(CARGO) build --locked --workspace --bins

# The end-to-end tests start the binaries in the target directory. They are built together with the tests: built alone, the
# dependencies have other features, and all of them would be compiled twice. `cargo test`, where cargo-nextest is not
# installed, knows no profiles: it runs every test, the suites in the form that ASSAY_TESTS asks for.
test-run:
	$(CARGO) build --locked --workspace --bins --tests
	@if $(CARGO) nextest --version >/dev/null 2>&1; then \
	    set -x; $(CARGO) nextest run --locked --workspace --profile $${NEXTEST_PROFILE:-default}; \
	else \
	    set -x; $(CARGO) test --locked --workspace --bins --lib --tests; \
	fi
	$(CARGO) test --locked --workspace --doc

# Installed here rather than left out where it is missing. tests/tests/dependencies.rs checks the same file in `make test`,
# without the two minutes and a half that cargo-deny takes to compile; only cargo-deny compares the texts of licences.
deny:
	@$(CARGO) deny --version >/dev/null 2>&1 || $(CARGO) install --locked --quiet cargo-deny
	$(CARGO) deny --workspace check bans licenses sources

# What is found is kept in the corpus, which is not checked in, so that each run continues where the last one ended.
# FUZZ_SECONDS each; a finding lies in artifacts/ beside the corpus, and becomes a test.
FUZZ_SECONDS ?= 600
fuzz:
	@$(CARGO) fuzz --version >/dev/null 2>&1 || $(CARGO) install --locked --quiet cargo-fuzz
	@set -e; for target in outer_message envelope csr query; do \
	    scripts/fuzz.sh crates/scep/fuzz $$target $(FUZZ_SECONDS) crates/scep/fuzz/seeds/$$target; \
	done
	@scripts/fuzz.sh crates/scep-http/fuzz get_base64 $(FUZZ_SECONDS) crates/scep-http/fuzz/seeds/get_base64
	@set -e; for target in ocsp_request ocsp_response; do \
	    scripts/fuzz.sh crates/ocsp/fuzz $$target $(FUZZ_SECONDS) crates/ocsp/fuzz/seeds/$$target; \
	done
	@scripts/fuzz.sh policy/fuzz policy_file $(FUZZ_SECONDS) policy/demo policy/examples
	@scripts/fuzz.sh policy/fuzz pkcs11_uri $(FUZZ_SECONDS) policy/fuzz/seeds/pkcs11_uri

# A short run where cargo-fuzz is at hand.
fuzz-briefly:
	@if $(CARGO) fuzz --version >/dev/null 2>&1; then \
	    $(MAKE) --no-print-directory fuzz FUZZ_SECONDS=10; \
	else \
	    echo 'cargo-fuzz is not at hand: no fuzzing'; \
	fi

# The seeds are what real clients sent once; made again when a client changes.
fuzz-seeds:
	@scripts/install-packages.sh $(TEST_PACKAGES)
	cd tests/python && /usr/bin/python3 -B -m pki_message seeds ../../crates

# The demo of root may lie elsewhere, and its name be a link.
clean-demo:
	rm -rf "$$(readlink -f $(DEMO_DIR))" $(DEMO_DIR)

# Portreeve. `make demo` shows it, `make check` proves it, `make help` lists.
#
# One archive a rank of the layer table (docs/ARCHITECTURE.md): the linker and
# tests/lint/layers.py refuse an include or a call upwards. New .c files in a
# listed folder are found by themselves.

B ?= release
O := build/$(B)
CC := gcc
VERSION := 0.1.0
DEPS := libssl libcrypto sqlite3 libsodium yaml-0.1 libhs libpcre2-8 \
	libcares libseccomp zlib libnghttp2

WARN := -Wall -Wextra -Werror -Wshadow -Wstrict-prototypes -Wvla \
	-Wmissing-prototypes -Wpointer-arith -Wwrite-strings -Wformat=2
HARDEN := -fstack-protector-strong -fstack-clash-protection \
	-fcf-protection -ftrivial-auto-var-init=zero -fPIE
LDHARDEN := -pie -Wl,-z,relro,-z,now,-z,noexecstack
OPT_release := -O2 -D_FORTIFY_SOURCE=2
OPT_asan := -O1 -fsanitize=address,undefined -fno-sanitize-recover=undefined \
	-fno-omit-frame-pointer
LD_asan := -fsanitize=address,undefined

DIRS0 := lib/base
DIRS1 := lib/text
DIRS2 := lib/sys
DIRS3 := lib/net lib/wire
DIRS4 := gateway/intercept gateway/action monitor/audit monitor/rule export/fmt
DIRS5 := gateway/mcp gateway/gate gateway/upstream monitor/detect export/sink
DIRS6 := gateway/connector
DIRS7 := gateway/flow
RANKS := 0 1 2 3 4 5 6 7
ALLDIRS := $(foreach r,$(RANKS),$(DIRS$(r)))
INC := $(addprefix -I,$(ALLDIRS)) -I.

CFLAGS := -std=gnu17 -D_GNU_SOURCE -DPORTREEVE_VERSION='"$(VERSION)"' -g \
	$(WARN) $(HARDEN) $(OPT_$(B)) $(INC)
LDFLAGS := $(LDHARDEN) $(LD_$(B))
LDLIBS := $(shell pkg-config --libs $(DEPS) 2>/dev/null) -lm

obj = $(patsubst %.c,$(O)/%.o,$(1))
srcs = $(foreach d,$(1),$(wildcard $(d)/*.c))
LIBS := $(foreach r,$(RANKS),$(O)/librank$(r).a)
# From the highest rank to the lowest: an upward call does not link.
LINK := $(foreach r,7 6 5 4 3 2 1 0,$(O)/librank$(r).a)

BINS := portreeve portreeve-setup portreeve-audit portreeve-gateway portreeve-monitor portreeve-export
BINDIR_portreeve := console
BINDIR_portreeve-setup := console/setup
ALSO_portreeve-setup := console/cli.c console/op.c
BINDIR_portreeve-audit := console/audit
ALSO_portreeve-audit := console/cli.c
BINDIR_portreeve-gateway := gateway
BINDIR_portreeve-monitor := monitor
BINDIR_portreeve-export := export

UNITS := $(patsubst tests/unit/%.c,$(O)/unit/%,$(wildcard tests/unit/test_*.c))
FUZZ := $(patsubst tests/fuzz/%.c,%,$(wildcard tests/fuzz/fuzz_*.c))

all: bins
#: make            builds the programs into build/release
#: make demo       installs what is missing, builds, shows the main job
#: make check      installs what tests need, builds, runs every test
#: make bench      measures against peers; writes build/bench.json
#: make fuzz       runs each fuzz target for FUZZ_SECONDS (60)
#: make clean
bins: $(addprefix $(O)/,$(BINS))

help:
	@sed -n 's/^#: //p' Makefile

define rank_rule
$(O)/librank$(1).a: $(call obj,$(call srcs,$(DIRS$(1))))
	@rm -f $$@
	@ar rcs $$@ $$^
endef
$(foreach r,$(RANKS),$(eval $(call rank_rule,$(r))))

define bin_rule
$(O)/$(1): $(call obj,$(call srcs,$(BINDIR_$(1))) $(ALSO_$(1))) $(LIBS)
	@echo "  LINK $$@"
	@$(CC) $(CFLAGS) $(LDFLAGS) -o $$@ $$(filter %.o,$$^) $(LINK) $(LDLIBS)
endef
$(foreach b,$(BINS),$(eval $(call bin_rule,$(b))))

$(O)/%.o: %.c
	@mkdir -p $(@D)
	@echo "  CC   $<"
	@$(CC) $(CFLAGS) -MMD -MP -c -o $@ $<

units: $(UNITS)
$(O)/unit/%: tests/unit/%.c $(LIBS)
	@mkdir -p $(@D)
	@echo "  TEST $@"
	@$(CC) $(CFLAGS) -Itests/unit $(LDFLAGS) -MMD -MP -o $@ $< $(LINK) $(LDLIBS) -lcmocka

# Replays a corpus with gcc; `make fuzz` builds the same files with libFuzzer.
replays: $(addprefix $(O)/fuzz/,$(FUZZ))
$(O)/fuzz/%: tests/fuzz/%.c tests/fuzz/replay.c $(LIBS)
	@mkdir -p $(@D)
	@echo "  FUZZ $@"
	@$(CC) $(CFLAGS) $(LDFLAGS) -MMD -MP -o $@ $< tests/fuzz/replay.c $(LINK) $(LDLIBS)

deps-%:
	@sh packaging/deps.sh $*

# pkg-config must see what deps installed, so the build is a make of its own.
demo: deps-build
	@$(MAKE) --no-print-directory B=release bins
	@python3 console/demo/demo.py $(DEMO_ARGS)

check: deps-check
	@$(MAKE) --no-print-directory -j$$(nproc) B=release bins units replays
	@$(MAKE) --no-print-directory -j$$(nproc) B=asan bins units replays
	@python3 tests/run.py --build both

bench: deps-bench
	@$(MAKE) --no-print-directory -j$$(nproc) B=release bins
	@python3 tests/bench/bench.py

FUZZ_SECONDS ?= 60
fuzz: deps-fuzz
	@FUZZ_SECONDS=$(FUZZ_SECONDS) sh tests/fuzz/fuzz.sh $(FUZZ)

clean:
	rm -rf build

.PHONY: all bins help units replays clean demo check bench fuzz
.SECONDARY:
-include $(shell find build/$(B) -name '*.d' 2>/dev/null)

#!/bin/sh
# fuzz.sh TARGET...: each with libFuzzer, ASan and UBSan for FUZZ_SECONDS. New
# inputs stay in build/fuzz/TARGET; a crash is an error and keeps its input.
set -eu
secs=${FUZZ_SECONDS:-60}
mkdir -p build/fuzz
dirs="lib/base lib/text lib/sys lib/net lib/wire gateway/intercept gateway/action
monitor/audit monitor/rule export/fmt gateway/mcp gateway/gate gateway/upstream
monitor/detect export/sink gateway/connector gateway/flow"
inc="-I."
src=""
for d in $dirs; do
	inc="$inc -I$d"
	for f in "$d"/*.c; do [ -e "$f" ] && src="$src $f"; done
done
libs=$(pkg-config --libs libssl libcrypto sqlite3 libsodium yaml-0.1 \
	libhs libpcre2-8 libcares libseccomp zlib libnghttp2)
flags="-std=gnu17 -D_GNU_SOURCE -DPORTREEVE_VERSION=\"fuzz\" -g -O1
-fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=undefined"
# A changed header makes every object stale: which ones is not tracked here.
newest=$(ls -t $(find lib gateway monitor export -name '*.h' -o -name '*.def') |
	head -n 1)
objs=""
for f in $src; do
	o=build/fuzz/obj/${f%.c}.o
	if [ ! -e "$o" ] || [ "$f" -nt "$o" ] || [ "$newest" -nt "$o" ]; then
		mkdir -p "$(dirname "$o")"
		clang $flags $inc -c -o "$o" "$f"
	fi
	objs="$objs $o"
done
rm -f build/fuzz/all.a
ar rcs build/fuzz/all.a $objs
bad=0
for t in "$@"; do
	corpus=tests/fuzz/corpus/$t
	[ -d "$corpus" ] || corpus=tests/fuzz/corpus/${t#fuzz_}
	mkdir -p "build/fuzz/$t"
	clang $flags -fsanitize=fuzzer $inc -o "build/fuzz/$t.bin" \
		"tests/fuzz/$t.c" build/fuzz/all.a $libs -lm
	echo "== $t: $secs s"
	if ! "build/fuzz/$t.bin" -max_total_time="$secs" -timeout=10 \
		-rss_limit_mb=2048 -artifact_prefix="build/fuzz/$t-" \
		-print_final_stats=1 "build/fuzz/$t" "$corpus" \
		>"build/fuzz/$t.log" 2>&1; then
		bad=1
		echo "FAIL $t: see build/fuzz/$t.log"
		tail -30 "build/fuzz/$t.log"
	else
		grep -E '^stat::number_of_executed_units|^#[0-9]+.DONE' "build/fuzz/$t.log" || true
	fi
done
exit $bad

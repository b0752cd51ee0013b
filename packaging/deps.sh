#!/bin/sh
# deps.sh build|check|bench: installs the Debian packages that are missing, and
# says which and why. Asks for root through sudo only when it is not root.
set -eu

build="gcc:compiler make:build pkg-config:build libssl-dev:TLS,certificates
libsqlite3-dev:ledger,state
libsodium-dev:vault,signatures libyaml-dev:configuration,rules
libhyperscan-dev:patterns libhyperscan5:patterns libpcre2-dev:patterns
libc-ares-dev:DNS libseccomp-dev:sandbox zlib1g-dev:gzip,deflate
libnghttp2-dev:HTTP/2
ca-certificates:trust python3:demo,tests curl:demo,tests tzdata:business-hours
openssl:demo,tests"
check="$build libcmocka-dev:unit-tests libasan8:sanitizers libubsan1:sanitizers
rsyslog:export-tests rsyslog-openssl:export-tests nginx-light:end-to-end-tests
haproxy:end-to-end-tests squid-openssl:end-to-end-tests
nftables:end-to-end-tests iproute2:end-to-end-tests
nodejs:SDK-tests npm:SDK-tests python3-venv:SDK-tests procps:tests
openjdk-17-jdk-headless:SDK-tests maven:SDK-tests
nghttp2-client:HTTP/2-tests"
bench="$check"
fuzz="$build clang:libFuzzer libclang-rt-14-dev:libFuzzer"

case "${1:-build}" in
build) want=$build ;;
check) want=$check ;;
bench) want=$bench ;;
fuzz) want=$fuzz ;;
*) echo "usage: deps.sh build|check|bench|fuzz" >&2; exit 64 ;;
esac

# A package counts as there when dpkg has it, or when the program it is wanted
# for is there by other means.
have() {
	dpkg-query -W -f '${Status}' "$1" 2>/dev/null | grep -q 'ok installed' &&
		return 0
	case "$1" in
	nodejs) command -v node >/dev/null 2>&1 ;;
	npm|gcc|make|curl|python3|clang) command -v "$1" >/dev/null 2>&1 ;;
	openjdk-17-jdk-headless) command -v javac >/dev/null 2>&1 ;;
	maven) command -v mvn >/dev/null 2>&1 ;;
	python3-venv) python3 -c 'import ensurepip, venv' 2>/dev/null ;;
	*) return 1 ;;
	esac
}

missing=""
for pw in $want; do
	p=${pw%%:*}
	have "$p" || { missing="$missing $p"; echo "needs $p (${pw#*:})"; }
done
[ -n "$missing" ] || exit 0

sudo=""
if [ "$(id -u)" != 0 ]; then
	command -v sudo >/dev/null 2>&1 || {
		echo "run as root: apt-get install$missing" >&2
		exit 1
	}
	sudo=sudo
fi
# Vectorscan provides the same library name but loses matches: keep it out.
case "$missing" in *hyperscan*) missing="$missing libvectorscan5- libvectorscan-dev-" ;; esac
echo "installing:$missing"
export DEBIAN_FRONTEND=noninteractive
# A package's own service must not start on a build machine.
$sudo apt-get update -qq
$sudo apt-get install -y -qq --no-install-recommends $missing >/dev/null

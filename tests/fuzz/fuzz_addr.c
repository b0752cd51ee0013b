/* fuzz_addr - authorities as clients write them: what is accepted is stable
 * and never passes the guard in another spelling. */
#include <stdint.h>

#include "addr.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void
check_ip(struct slice s)
{
	struct addr a, b;
	char text[ADDR_TEXT_MAX];

	if (!addr_parse_ip(s, &a))
		return;
	addr_format_ip(&a, text);
	ASSERT(addr_parse_ip(slice_str(text), &b) && addr_same_ip(&a, &b));
	ASSERT(addr_classify(&a) < ADDR_CLASSES);
	ASSERT(addr_guard_allowed(&a, NULL, 0) ==
	    (addr_classify(&a) == ADDR_GLOBAL));
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct slice s = slice_make(data, n), host;
	char name[ADDR_HOST_MAX], again[ADDR_HOST_MAX];
	struct addr_cidr c;
	uint16_t port;

	check_ip(s);
	if (addr_host_normalise(s, name)) {
		ASSERT(addr_host_normalise(slice_str(name), again));
		ASSERT(strcmp(name, again) == 0);
	}
	if (addr_split_hostport(s, 0, &host, &port))
		ASSERT(port != 0 && host.n > 0 && host.n < n);
	if (addr_parse_cidr(s, &c))
		ASSERT(addr_cidr_has(&c, &c.net));
	return 0;
}

/* fuzz_dns_conf - the bytes of resolv.conf and hosts, the same for both. */
#include <stdint.h>

#include "dns_conf.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct slice s = slice_make(data, n);
	struct dns_conf c;

	dns_conf_read(&c, s, s);
	ASSERT(c.nservers >= 1 && c.nservers <= DNS_SERVERS_MAX);
	ASSERT(c.timeout_ms >= 1000 && c.attempts >= 1);
	ASSERT(map_get(&c.hosts, SLICE("localhost")) != NULL);
	dns_conf_free(&c);
	return 0;
}

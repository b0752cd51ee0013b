/*
 * nft - the firewall's side of transparent mode: one nftables table that turns
 * TLS of one interface to our listeners, and fences all else that comes from
 * there; and the two routing rules that TPROXY needs.
 *
 * The table is written as `nft -s list` prints it, so that what stands in the
 * kernel can be compared with it as text.
 * Sources: nft(8), ip-rule(8), Documentation/networking/tproxy.rst of Linux.
 */
#ifndef NFT_H
#define NFT_H

#include "console/setup/onramp.h"

enum nft_what { NFT_PRINT, NFT_CHECK, NFT_APPLY, NFT_REMOVE, NFT_VERIFY };

/* An exit code. interface: where the agents are. */
int nft_do(const struct onramp *o, const char *interface,
    enum nft_what what);
/* Appends the table with its counters. 0: it is there, -1: nft cannot be
 * run. */
int nft_counters(struct buf *out) MUST_USE;

#endif

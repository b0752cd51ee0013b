/*
 * cmd_audit - `portreeve audit tail|search|show|verify`: reads the ledger's
 * file, needs no daemon, changes nothing.
 */
#ifndef CMD_AUDIT_H
#define CMD_AUDIT_H

/* argv[0] is "audit". Exit status: 0 done (verify: sound and anchored), 1 not
 * found or (verify) bad, 2 wrong use or not readable, 3 (verify) sound but
 * not anchored. */
int cmd_audit(int argc, char **argv);

#endif

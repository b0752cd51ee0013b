/*
 * exporter - the role that hands the ledger's events to one sink
 * (conf->sinks[index]), all of them, in the order of their seq.
 *
 *            rows in order (lib/wire/follow) --> [ window ] --> sink
 *            cursor file <------------- delivered ---------------'
 *
 * Numbered invariants:
 *  1. delivered < handed <= next: rows enter the window only as `next`, and
 *     leave it only into the sink, in order. Nothing is skipped.
 *  2. The cursor file never says more than the sink's delivered().
 *  3. The window is bounded (EXPORTER_WINDOW, but for one row). Rows that do
 *     not fit are forgotten and read again from the reader: a sink that is
 *     down, slow or hung never holds up the recorder or another sink.
 *  4. Rows the ledger itself lacks, and a ledger that is not the one exported
 *     before (restored, rolled back), are events of their own: export.gap,
 *     export.rewound.
 */
#ifndef EXPORTER_H
#define EXPORTER_H

#include "roles.h"

#define EXPORTER_WINDOW (4u << 20)	/* bytes that wait for the sink */

/* exporter_role (roles.h). Given: the directory "export" (cursors). Peers:
 * recorder, reader. */

#endif

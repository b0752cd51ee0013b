/* log - see log.h. */
#include "log.h"

#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

#include "clock.h"

static const char *log_role = "portreeve";
static enum log_level log_max = LOG_LV_INFO;

void
log_init(const char *role, enum log_level max)
{
	log_role = role;
	log_max = max;
}

void
log_write(enum log_level lv, const char *fmt, ...)
{
	static const char *const names[] = { "error", "warn", "info", "debug" };
	char text[1024], line[2400], when[CLOCK_RFC3339_LEN];
	va_list ap;
	size_t n;

	if (lv > log_max)
		return;
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	clock_format(clock_wall_ms(), when);
	n = (size_t)snprintf(line, 128, "%s %s %s[%d]: ", when, names[lv],
	    log_role, (int)getpid());
	for (const char *p = text; *p != '\0' && n < sizeof(line) - 6; p++) {
		unsigned char c = (unsigned char)*p;

		if (c < 0x20 || c == 0x7f)
			n += (size_t)snprintf(line + n, 5, "\\x%02x", c);
		else
			line[n++] = (char)c;
	}
	line[n++] = '\n';
	if (write(STDERR_FILENO, line, n) < 0)
		return;	/* nowhere left to say it */
}

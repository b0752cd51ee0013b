/*
 * log - what a daemon says of itself, on standard error: one line, a level,
 * the role, the text. Never a secret, never bytes of a body; control
 * characters are escaped here, not by callers.
 */
#ifndef LOG_H
#define LOG_H

#include "base.h"

enum log_level { LOG_LV_ERROR, LOG_LV_WARN, LOG_LV_INFO, LOG_LV_DEBUG };

void log_init(const char *role, enum log_level max);
void log_write(enum log_level lv, const char *fmt, ...) PRINTF_LIKE(2, 3);

#define log_error(...) log_write(LOG_LV_ERROR, __VA_ARGS__)
#define log_warn(...) log_write(LOG_LV_WARN, __VA_ARGS__)
#define log_info(...) log_write(LOG_LV_INFO, __VA_ARGS__)
#define log_debug(...) log_write(LOG_LV_DEBUG, __VA_ARGS__)

#endif

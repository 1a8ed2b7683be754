/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* A trace point, as kernel sources define theirs. */
#undef TRACE_SYSTEM
#define TRACE_SYSTEM ulp

#if !defined(ULP_TRACE_H) || defined(TRACE_HEADER_MULTI_READ)
#define ULP_TRACE_H

#include <linux/tracepoint.h>

TRACE_EVENT(ulp_option, TP_PROTO(const char *name, int value), TP_ARGS(name, value),
	    TP_STRUCT__entry(__field(const char *, name) __field(int, value)),
	    TP_fast_assign(__entry->name = name; __entry->value = value;),
	    TP_printk("%p %d", __entry->name, __entry->value));

#endif

#undef TRACE_INCLUDE_PATH
#define TRACE_INCLUDE_PATH .
#define TRACE_INCLUDE_FILE ulp_trace
#include <trace/define_trace.h>

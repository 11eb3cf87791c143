/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <gio/gio.h>

G_BEGIN_DECLS

/*
 * What a helper has said by now: lines of lodge-helper-protocol.h, from a process that foreign
 * bytes may have taken over.  It can claim what it likes, but not fill the daemon's memory: values
 * are cut, and results beyond LODGE_HELPER_RESULTS_MAX are dropped.  Internal to lodge-helper.c
 * and its tests.  Main thread only.
 */
#define LODGE_HELPER_RESULTS_MAX 128

typedef struct
{
  GString *partial_line;
  GHashTable *results; /* char* → char*, valid UTF-8 */
  GError *error;       /* LODGE_ERROR, of the last "error" line */
  gboolean done;
} LodgeHelperReport;

/** Every line that is not kept here; @line is valid UTF-8.  @fd: -1, or to be taken. */
typedef void (*LodgeHelperReportFunc) (const char *line, int fd, gpointer user_data);

void lodge_helper_report_init (LodgeHelperReport *report);
void lodge_helper_report_clear (LodgeHelperReport *report);

/**
 * lodge_helper_report_feed:
 * @fd: that came with these bytes, or -1; belongs to the first line that ends in them
 *
 * Takes the next bytes of the stream.  A line that is too long is cut.
 */
void lodge_helper_report_feed (LodgeHelperReport *report, const char *data, gsize size, int fd,
                               LodgeHelperReportFunc func, gpointer user_data);

/** The fields of a "progress" line, which are what they should be. */
typedef struct
{
  double fraction; /* 0 … 1, or -1 */
  guint64 done, total;
  const char *stage; /* borrowed from the line */
} LodgeHelperProgress;

/** Whether @line is a sound "progress" line. */
gboolean lodge_helper_report_read_progress (const char *line, LodgeHelperProgress *out_progress);

G_END_DECLS

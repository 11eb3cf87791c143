/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

/*
 * What lodged refused to do, for whom and why: a file of one JSON object a line, which only root
 * can read.  It is bounded (a few files of a fixed size, the oldest goes), no call waits for a
 * disk because of it, and a caller cannot push the rows of others out of it: of each user there
 * are so many rows a minute.  What could not be written is counted, and the next row says how
 * many are missing.  Main thread only.
 */
typedef struct _LodgeAudit LodgeAudit;

#define LODGE_AUDIT_DIR       "audit"         /* below the state directory */
#define LODGE_AUDIT_FILE      "refused.jsonl" /* and .1 to .3, which are older */
#define LODGE_AUDIT_MAX_BYTES (4 * 1024 * 1024)

typedef struct
{
  guint32 uid;           /* G_MAXUINT32: nobody knows */
  const char *sender;    /* the unique name on the bus; "": it is from before a restart */
  const char *operation; /* "org.lodge1.Instance.Start", or the operation of a job */
  const char *object;    /* the path on the bus */
  const GError *error;   /* in LODGE_ERROR */
} LodgeAuditRow;

/**
 * lodge_audit_new:
 * @state_dir: lodged's
 * @max_bytes: of each file
 *
 * Never fails: what is in the way of the file is told in the log, and tried again at each row.
 *
 * Returns: (transfer full)
 */
LodgeAudit *lodge_audit_new (const char *state_dir, gsize max_bytes);

void lodge_audit_free (LodgeAudit *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (LodgeAudit, lodge_audit_free)

/** Whether @error says that lodged would not, as opposed to: it could not. */
gboolean lodge_audit_is_refusal (const GError *error);

/** Writes a row when @row's error is a refusal, and nothing otherwise. */
void lodge_audit_write (LodgeAudit *self, const LodgeAuditRow *row);

G_END_DECLS

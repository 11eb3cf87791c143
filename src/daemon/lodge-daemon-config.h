/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

/* What lodged.conf says; see lodged(8). */
typedef struct
{
  guint64 remote_cache_expiry;  /* seconds; 0: never */
  guint64 auto_update_interval; /* seconds; 0: never */
  char *proxy;                  /* NULL: none */
} LodgeDaemonConfig;

/** Frees what is in it. */
void lodge_daemon_config_clear (LodgeDaemonConfig *config);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (LodgeDaemonConfig, lodge_daemon_config_clear)

/**
 * lodge_daemon_config_read:
 * @path: the file
 * @may_lack: when there is no such file the defaults count
 * @config: filled
 *
 * A file that somebody else can write to, a symbolic link and an unknown key are errors
 * (INVALID_CONFIG): lodged is root, and does not guess.  Any thread.
 */
gboolean lodge_daemon_config_read (const char *path, gboolean may_lack, LodgeDaemonConfig *config,
                                   GError **error);

G_END_DECLS

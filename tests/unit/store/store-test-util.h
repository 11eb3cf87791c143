/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "lodge-sqlite-store-private.h"

G_BEGIN_DECLS

/** A directory of the test's own, removed by test_dir_free(). */
char *test_dir_new (void);
void test_dir_free (char *dir);
typedef char TestDir;
G_DEFINE_AUTOPTR_CLEANUP_FUNC (TestDir, test_dir_free)

/** Opens; fails the test when it cannot. */
LodgeSqliteStore *test_open (const char *dir);

/** Writes @value to @key; fails the test when it cannot. */
void test_put (LodgeSqliteStore *store, const char *key, const char *value);

/** The value of @key, or NULL.  (transfer full) */
char *test_get (LodgeSqliteStore *store, const char *key);

/** Asserts that opening is refused with @code; the message.  (transfer full) */
char *test_refuse (const char *dir, LodgeErrorCode code);

/** The name, mode and contents of all files below @dir but the lock, as one text. */
char *test_snapshot (const char *dir);

/** The number of files in @dir/@folder that start with @prefix. */
guint test_count_files (const char *dir, const char *folder, const char *prefix);

/** Runs @func in a child and returns its wait status. */
int test_fork (void (*func) (const char *dir, gpointer data), const char *dir, gpointer data);

G_END_DECLS

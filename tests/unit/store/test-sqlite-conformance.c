/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lodge-fd.h"
#include "lodge-sqlite-store.h"
#include "store-conformance.h"

static LodgeStore *
open_store (gpointer *out_data)
{
  g_autoptr (GError) error = NULL;
  g_autofree char *dir = g_dir_make_tmp ("lodge-store-XXXXXX", &error);
  LodgeSqliteStore *store = NULL;

  g_assert_no_error (error);
  store = lodge_sqlite_store_open (dir, &error);
  g_assert_no_error (error);
  *out_data = g_steal_pointer (&dir);
  return LODGE_STORE (store);
}

static void
close_store (LodgeStore *store, gpointer data)
{
  g_autofree char *dir = data;
  g_autoptr (GError) error = NULL;

  g_assert_finalize_object (store);
  lodge_tree_remove (dir, &error);
  g_assert_no_error (error);
}

int
main (int argc, char **argv)
{
  static const StoreFactory factory = { open_store, close_store };

  g_test_init (&argc, &argv, NULL);
  store_conformance_add ("/store/sqlite", &factory);
  return g_test_run ();
}
